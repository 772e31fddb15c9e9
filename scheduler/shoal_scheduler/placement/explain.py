"""Why an ask fits nowhere now, and what to do about it. Worked out when somebody asks, from the table as it is."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from shoal_scheduler.model.ask import Ask
from shoal_scheduler.model.instance import Instance
from shoal_scheduler.placement.demand import Shortfall
from shoal_scheduler.placement.demands import ANY, Least
from shoal_scheduler.placement.filters import NO_ROW, refusals
from shoal_scheduler.placement.kinds import Kind, one_more
from shoal_scheduler.placement.place import Unplaceable
from shoal_scheduler.placement.suggest import Suggestion, Survey, kept_away, nearest, shortfalls, suggestion, survey
from shoal_scheduler.state.instance_table import InstanceTable

NEAREST_MAX = 10
NEXT_TURN = "it fits now and is placed in its turn"
_SHOWN_MAX = 80
_PLURAL = re.compile(r"(?<=\w)s(?= of|$)")


class Near(NamedTuple):
    """An instance, and every rule that it fails."""

    instance: Instance
    shortfalls: tuple[Shortfall, ...]


class Explanation(NamedTuple):
    """Of an ask that fits nowhere. `kept_away` are instances that would take it as it is, if they were activated,
    their agents came back, or they were not held for somebody else."""

    instances: int
    refusals: Counter[str]
    nearest: tuple[Near, ...]
    suggestion: Suggestion | None
    kept_away: tuple[Near, ...]
    one_more: Kind

    @property
    def reason(self) -> str:
        return _reason(self.refusals, self.nearest)


def explain(ask: Ask, table: InstanceTable, held: int = NO_ROW, least: Least = ANY) -> Explanation | None:
    """None if it fits somewhere."""
    found = survey(ask, table, held, least)
    if (found.is_open & (found.refused == 0)).any():
        return None
    return Explanation(
        instances=table.registered,
        refusals=refusals(ask, table, held),
        nearest=_near(found, table, nearest(found, NEAREST_MAX)),
        suggestion=suggestion(ask, found),
        kept_away=_near(found, table, kept_away(found)[:NEAREST_MAX]),
        one_more=one_more(ask, table),
    )


def waiting_reason(ask: Ask, table: InstanceTable, held: int = NO_ROW) -> str:
    """The same in one sentence, for a task that waits."""
    found = survey(ask, table, held)
    if (found.is_open & (found.refused == 0)).any():
        return NEXT_TURN
    return _reason(refusals(ask, table, held), _near(found, table, nearest(found, 1)))


def _near(found: Survey, table: InstanceTable, rows: Sequence[int]) -> tuple[Near, ...]:
    pairs = ((table.instances[row], shortfalls(found, row)) for row in rows)
    return tuple(Near(instance, tuple(lacks)) for instance, lacks in pairs if instance is not None)


def _reason(refused: Counter[str], near: Sequence[Near]) -> str:
    said = Unplaceable(refused).detail
    if not near:
        return said
    first, *_ = near
    return f"{said}; the nearest, {name_of(first.instance)}, {_lacks(first.shortfalls)}"


def name_of(instance: Instance) -> str:
    """As people know it."""
    return instance.hostname or instance.id[:8]


def _lacks(shortfalls: Sequence[Shortfall]) -> str:
    """`is draining, lacks 2 GPUs, 512 MiB of memory and has port 80/tcp taken`"""
    parts = [_lack(shortfall) for shortfall in shortfalls]
    shorter_parts = [
        part.removeprefix("lacks ") if before.startswith("lacks ") else part
        for before, part in zip(["", *parts], parts, strict=False)
    ]
    *most, last = shorter_parts
    return f"{', '.join(most)} and {last}" if most else last


def _lack(shortfall: Shortfall) -> str:
    match shortfall.reason:
        case "INSTANCE:DRAINING":
            return "is draining"
        case "AGENT":
            return "has no agent connected"
        case "INSTANCE:IMPAIRED":
            return "has a container engine that does not answer"
        case "HELD":
            return "is held for another task that waits"
        case "ATTRIBUTE":
            return f"is not {shortfall.field} {shortfall.wanted}"
        case "MEMBEROF":
            return f"does not match {shorter(shortfall.wanted)}"
        case "DISTINCT_INSTANCE":
            return "runs a task of the group already"
        case "RESOURCE:PORTS":
            return f"has port {shortfall.wanted} {shortfall.has}"
    return f"lacks {shortfall.missing} {_counted(shortfall)}"


def _counted(shortfall: Shortfall) -> str:
    """`MiB of memory`, `GPUs`, `GPU` if it is one, `licence`."""
    if shortfall.field == "memory":
        return f"{shortfall.unit} of memory"
    unit = shortfall.unit or shortfall.field
    return _PLURAL.sub("", unit, 1) if shortfall.missing == 1 and shortfall.unit else unit


def shorter(text: str) -> str:
    return text if len(text) <= _SHOWN_MAX else f"{text[:_SHOWN_MAX]}..."
