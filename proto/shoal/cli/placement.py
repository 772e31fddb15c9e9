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
    "RESOURCE:ENI": "no network interface left",
    "AGENT": "the agent is not connected",
    "ATTRIBUTE": "an attribute the definition requires is missing",
    "LOCATION": "not in the location asked for",
    "INACTIVE": "not active",
    "MISSING": "does not exist",
    "DRAINING": "is draining",
    "distinctInstance": "runs a task of this group already",
    "memberOf": "does not match the constraint",
}


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


def failure_lines(failures: Iterable[resource_pb2.Failure]) -> Sequence[str]:
    """One line for each reason, with how often and where."""
    by_reason: dict[tuple[str, str], list[str]] = defaultdict(list)
    for failure in failures:
        by_reason[failure.reason, failure.detail].append(failure.arn)
    return [_line(reason, detail, arns) for (reason, detail), arns in by_reason.items()]


def _line(reason: str, detail: str, arns: Sequence[str]) -> str:
    words = _REASONS.get(reason, "")
    places = sorted({text.short_instance(arn.short(each)) for each in arns if each})
    where = f" on {text.plural(len(places), 'instance')} ({text.sentence_list(places)})" if places else ""
    times = f" ({len(arns)} times)" if not places and len(arns) > 1 else ""
    said = " - ".join(part for part in (words, detail) if part)
    return f"{reason}{where}{times}{': ' + said if said else ''}"
