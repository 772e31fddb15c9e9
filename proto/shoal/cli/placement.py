"""Words of the command line for where tasks go, and words for people on why they did not. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from shoal import arn
from shoal.cli import text
from shoal.v1 import resource_pb2, task_pb2

_REASONS = {
    "RESOURCE:CPU": "not enough cpu",
    "RESOURCE:MEMORY": "not enough memory",
    "RESOURCE:GPU": "not enough GPUs",
    "RESOURCE:PORTS": "a host port is taken",
    "MEMBEROF": "the memberOf constraint does not hold",
    "DISTINCT_INSTANCE": "a task of this group is there already, and distinctInstance forbids a second",
    "INSTANCE:NONE": "the cluster has no container instances",
    "INSTANCE:DRAINING": "instances are draining",
    "AGENT": "the agent is not connected",
    "INSTANCE:IMPAIRED": "the container engine does not answer",
    "HELD": "it is held for a task that waits longer",
    "ATTRIBUTE": "an attribute the definition requires is missing",
    "INACTIVE": "not active",
    "MISSING": "does not exist",
}
_HINTS = {
    "MEMBEROF": "shoal attributes",
    "ATTRIBUTE": "shoal attributes",
    "INSTANCE:NONE": "shoal doctor says why no instance is there",
    "INSTANCE:DRAINING": "shoal activate INSTANCE",
    "AGENT": "its agent is reconnecting or down: shoal doctor",
    "INSTANCE:IMPAIRED": "shoal instances describe INSTANCE says what is wrong with its engine",
}
_ROOM_HINT = "the same with --dry-run, which says what would help; with --queue, to wait for room"


def strategy(words: str) -> task_pb2.PlacementStrategy:
    """`binpack:memory`, `spread:attribute:ecs.availability-zone`, `random`. The cluster checks the words."""
    kind, _, field = words.partition(":")
    return task_pb2.PlacementStrategy(type=kind, field=field or None)


def constraint(words: str) -> task_pb2.PlacementConstraint:
    """`distinctInstance`, or `memberOf(expression)`. Raises ValueError with a sentence."""
    if words == "distinctInstance":
        return task_pb2.PlacementConstraint(type=words)
    if words.startswith("memberOf(") and words.endswith(")"):
        return task_pb2.PlacementConstraint(type="memberOf", expression=words[len("memberOf(") : -1])
    raise ValueError(f"{words!r} is neither distinctInstance nor memberOf(expression)")


def words_of(reason: str) -> str:
    """What a rule's name means, for people."""
    return _REASONS.get(reason) or f"not enough {reason.removeprefix('RESOURCE:')}"


def failure_lines(failures: Iterable[resource_pb2.Failure]) -> Sequence[str]:
    """One line for each reason, with how often and where."""
    by_reason: dict[tuple[str, str], list[str]] = defaultdict(list)
    for failure in failures:
        by_reason[failure.reason, failure.detail].append(failure.arn)
    return [_line(reason, detail, arns) for (reason, detail), arns in by_reason.items()]


def hint(failures: Iterable[resource_pb2.Failure]) -> str:
    """What to do about them, once for each kind of reason."""
    return "; ".join(dict.fromkeys(_HINTS.get(failure.reason, _ROOM_HINT) for failure in failures))


def _line(reason: str, detail: str, arns: Sequence[str]) -> str:
    """`not enough memory: RESOURCE:MEMORY on 3 instances (284 times)`"""
    places = sorted({text.short_instance(arn.short(each)) for each in arns if each})
    where = f" on {text.plural(len(places), 'instance')} ({text.sentence_list(places)})" if places else ""
    times = f" ({len(arns):,} times)" if not places and len(arns) > 1 else ""
    said = detail or f"{reason}{where}"
    words = _REASONS.get(reason)
    # A detail may say just what the words do.
    return f"{words}: {said}{times}" if words and words != said else f"{said}{times}"
