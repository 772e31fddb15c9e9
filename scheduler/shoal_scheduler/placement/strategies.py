"""Preferences among the instances that passed, applied in order as tie-breakers (ECS: up to five).

A strategy ranks a candidate: the lowest rank is best, and the next strategy decides among equals.
"""

from collections.abc import Callable

from shoal_scheduler.model.ask import Ask, Strategy
from shoal_scheduler.model.candidate import Candidate

# binpack fields -> what would be left on the instance; the least remaining that still fits wins.
_REMAINING: dict[str, Callable[[Ask, Candidate], int]] = {
    "cpu": lambda ask, candidate: candidate.free_cpu - ask.resources.cpu,
    "memory": lambda ask, candidate: candidate.free_memory_mib - ask.resources.memory_mib,
    "gpu": lambda ask, candidate: candidate.free_gpus - ask.resources.gpus,
}


def ranks(strategy: Strategy, ask: Ask, candidates: list[Candidate]) -> list[float]:
    """One rank per candidate. `random` ranks all alike: the seeded draw among the last equals decides."""
    if strategy.type == "binpack":
        remaining = _REMAINING[strategy.field.lower()]
        return [remaining(ask, candidate) for candidate in candidates]
    if strategy.type == "spread":
        return _tasks_of_group_by_value(strategy.field, ask.group, candidates)
    return [0.0] * len(candidates)


def _tasks_of_group_by_value(field: str, group: str, candidates: list[Candidate]) -> list[float]:
    """How many tasks of the group already run on instances with the same value of the field."""
    values = [_value(field, candidate) for candidate in candidates]
    counts: dict[str | None, int] = {}
    for value, candidate in zip(values, candidates, strict=True):
        counts[value] = counts.get(value, 0) + candidate.used.groups.get(group, 0)
    return [counts[value] for value in values]


def _value(field: str, candidate: Candidate) -> str | None:
    if field in ("instanceId", "host"):
        return candidate.instance.id
    return candidate.instance.attributes.get(field.removeprefix("attribute:"))
