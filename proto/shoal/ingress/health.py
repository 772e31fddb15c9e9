"""Whether a target is well, by what its checks said one after another. Pure.

As an ELB target group does it: a new target is `initial` until a check passes; a healthy one becomes unhealthy after so
many failed checks, an unhealthy one healthy after so many passed ones.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from shoal.v1 import traffic_pb2 as pb

INITIAL, HEALTHY, UNHEALTHY = "initial", "healthy", "unhealthy"

# A target that is new is asked so often, until it is well or its group's checks have failed: what starts is not made
# to wait for the interval.
INITIAL_SECONDS = 1.0


class Verdict(NamedTuple):
    """Of one check."""

    is_well: bool
    reason: str = ""
    description: str = ""


@dataclass(frozen=True, slots=True)
class Health:
    """`since`: when it became that, in milliseconds. `passed`, `failed`: checks one after another."""

    since: int
    state: str = INITIAL
    reason: str = "Elb.InitialHealthChecking"
    description: str = "Initial health checks in progress"
    passed: int = 0
    failed: int = 0


def after(known: Health, verdict: Verdict, group: pb.TargetGroup, now: int) -> Health:
    """What is known once a check has said that. `now` in milliseconds."""
    passed = known.passed + 1 if verdict.is_well else 0
    failed = 0 if verdict.is_well else known.failed + 1
    counted = replace(known, passed=passed, failed=failed)
    if verdict.is_well:
        needed = 1 if known.state == INITIAL else group.healthy_threshold_count
        if known.state == HEALTHY or passed < needed:
            return counted
        return Health(now, HEALTHY, "", "", passed, 0)
    if known.state == UNHEALTHY:
        return replace(counted, reason=verdict.reason, description=verdict.description)
    if known.state == INITIAL:  # which is asked more often: it is the time that counts
        over = now - known.since >= group.unhealthy_threshold_count * group.health_check_interval_seconds * 1000
    else:
        over = failed >= group.unhealthy_threshold_count
    return Health(now, UNHEALTHY, verdict.reason, verdict.description, 0, failed) if over else counted


def pause_seconds(known: Health, group: pb.TargetGroup) -> float:
    """Until the next check."""
    interval = float(group.health_check_interval_seconds)
    return min(INITIAL_SECONDS, interval) if known.state == INITIAL else interval


class Key(NamedTuple):
    """What names a target."""

    target_group: str
    task: str


def serving(targets: Sequence[pb.RoutedTarget], health: Mapping[Key, Health]) -> dict[str, list[tuple[str, int]]]:
    """Who gets requests, by target group: the healthy ones; all, if none is. Always in the same order."""
    found: dict[str, list[tuple[str, int]]] = {}
    rest: dict[str, list[tuple[str, int]]] = {}
    for target in sorted(targets, key=lambda each: (each.target_group, each.host, each.port)):
        known = health.get(Key(target.target_group, target.task_id))
        place = found if known is not None and known.state == HEALTHY else rest
        place.setdefault(target.target_group, []).append((target.host, target.port))
    return rest | found
