"""Why a task goes where it goes: how each strategy ranked the instance, and how many were equal after it."""

from collections.abc import Sequence
from typing import NamedTuple

from shoal_scheduler.model.ask import Ask, Strategy
from shoal_scheduler.placement.filters import NO_ROW, fitting
from shoal_scheduler.placement.place import Spot
from shoal_scheduler.placement.strategies import IMAGE, rank_some, with_image
from shoal_scheduler.state.instance_table import InstanceTable

# A pass over all rows each; and so many tasks are followed to find them.
EXPLAINED_MAX = 10
_FOLLOWED_MAX = 1000
KIB_PER_MIB = 1024


class Ranked(NamedTuple):
    """By one strategy: in words, and how many instances are as good after it. That of images is there unasked where
    it decided."""

    strategy: Strategy
    value: str
    equal: int


class Choice(NamedTuple):
    """`fit` instances could take the task; the strategies left so many; of more than one, chance chose."""

    row: int
    fit: int
    ranked: tuple[Ranked, ...]

    @property
    def equal(self) -> int:
        return self.ranked[-1].equal if self.ranked else self.fit


def choices(ask: Ask, spots: Sequence[Spot], table: InstanceTable, held: int = NO_ROW) -> dict[int, Choice]:
    """By row: why the first task that goes there does, of the first rows. What they take is taken from `table`, which
    is the caller's own copy and as it was before they were placed."""
    found: dict[int, Choice] = {}
    for spot in spots[:_FOLLOWED_MAX]:
        if spot.row not in found:
            found[spot.row] = _choice(ask, spot.row, table, held)
            if len(found) == EXPLAINED_MAX:
                break
        table.take(spot.row, ask.resources, ask.group, spot.gpus)
    return found


def _choice(ask: Ask, row: int, table: InstanceTable, held: int) -> Choice:
    rows = (fitting(ask, table, held) == 0).nonzero()[0]
    fit, ranked = len(rows), []
    for strategy in with_image(ask, table).strategies:
        ranks = rank_some(strategy, ask, table, rows)
        best, before = int(ranks.min()), len(rows)
        rows = rows[ranks == best]
        if strategy == IMAGE and strategy not in ask.strategies and len(rows) == before:
            continue
        ranked.append(Ranked(strategy, _value(strategy, ask, table, row, best), len(rows)))
    return Choice(row, fit, tuple(ranked))


def _value(strategy: Strategy, ask: Ask, table: InstanceTable, row: int, rank: int) -> str:
    """The rank in words, as `512 MiB of memory left`."""
    if strategy.type == "binpack":
        return f"{_left(strategy.field, rank)} left after it"
    if strategy.type == "spread":
        there = f"{rank} task{'' if rank == 1 else 's'} of {ask.group}"
        if strategy.field in ("instanceId", "host"):
            return f"{there} on it"
        name, instance = strategy.field.removeprefix("attribute:"), table.instances[row]
        value = instance.attribute(name) if instance is not None else None
        return f"{there} where {name} is {value}" if value is not None else f"{there} without {name}"
    if strategy.type == "image" and table.images.ranks(ask.images, len(table)) is not None:
        return _missing(rank, len(ask.images))
    return (
        "all are alike to it"
        if strategy.type in ("random", "image")
        else "leaves the most room for what else is asked for"
    )


def _missing(kib: int, images: int) -> str:
    """`images`: how many there are, each of which counts 1 where it is not held."""
    of_it = "its image" if images == 1 else "its images"
    if not kib:
        return f"has {of_it} already"
    if kib <= images:
        return f"has to fetch {of_it}"
    return f"has to fetch {kib / KIB_PER_MIB:.1f} MiB of {of_it}"


def _left(field: str, rank: int) -> str:
    if field == "memory":
        return f"{rank} MiB of memory"
    return f"{rank} cpu units" if field == "cpu" else f"{rank / 1000:g} GPUs"
