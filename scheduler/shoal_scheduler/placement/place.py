"""Place equal asks one after another: filter, rank, take, and see the result in the next round."""

from collections import Counter
from collections.abc import Sequence
from random import Random
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from shoal_scheduler.model.ask import Ask, Strategy
from shoal_scheduler.placement.equal import can_be_placed_at_once, rows_in_order
from shoal_scheduler.placement.filters import NO_ROW, buffers, fitting, refusals
from shoal_scheduler.placement.strategies import growth_on, rank_all, rank_some, with_image
from shoal_scheduler.state.instance_table import InstanceTable

Rows = NDArray[np.intp]

# As an unsigned number, every rank of a row that does not fit is at least this.
_UNFIT = 2**31


class Unplaceable(NamedTuple):
    """Why an ask fits nowhere: how many instances each rule refused."""

    reasons: Counter[str]

    @property
    def reason(self) -> str:
        """The one word ECS answers with: the rule that refused most; "no instances" has a word too."""
        if not self.reasons:
            return "INSTANCE:NONE"
        return max(sorted(self.reasons), key=lambda reason: self.reasons[reason])

    @property
    def detail(self) -> str:
        if not self.reasons:
            return "the cluster has no container instances"
        parts = [
            f"{reason} on {count} instance{'s' if count > 1 else ''}"
            for reason, count in sorted(self.reasons.items(), key=lambda item: (-item[1], item[0]))
        ]
        return ", ".join(parts)


class Spot(NamedTuple):
    """Where one task goes: a row of the table, and which of its GPUs."""

    row: int
    gpus: tuple[int, ...] = ()


class Placed(NamedTuple):
    """The spot of each task that found one, in order, and why the rest did not."""

    spots: Sequence[Spot]
    unplaceable: Unplaceable | None


def place(ask: Ask, count: int, table: InstanceTable, rng: Random, held: int = NO_ROW) -> Placed:
    """Place up to `count` equal asks. What they take is taken from `table`, which is the caller's own copy. The row
    `held` is kept for somebody else."""
    ask = with_image(ask, table)
    if count > 1 and can_be_placed_at_once(ask):
        found = _take_many(ask, rows_in_order(ask, count, table, rng, held), table)
        return Placed(found, None if len(found) == count else Unplaceable(refusals(ask, table, held)))
    spots: list[Spot] = []
    while len(spots) < count:
        rows = _best(ask, table, held)
        if not len(rows):
            return Placed(spots, Unplaceable(refusals(ask, table, held)))
        row = int(rows[0] if len(rows) == 1 else rows[int(rng.random() * len(rows))])
        spots.append(_take(ask, row, table))
    return Placed(spots, None)


def gpus_on(ask: Ask, row: int, table: InstanceTable) -> tuple[int, ...]:
    """Which GPUs of the instance a task takes: where fragments count, those that were weighed; else the fullest."""
    wanted = ask.resources
    if not wanted.gpus:
        return ()
    if any(strategy.type == "fragmentation" for strategy in ask.strategies):
        return growth_on(ask, table, np.array([row])).gpus(0)
    return table.gpus.choose(row, wanted.gpus, wanted.gpu_milli)


def _take_many(ask: Ask, rows: Rows, table: InstanceTable) -> list[Spot]:
    if ask.resources.gpus:
        return [_take(ask, row, table) for row in rows.tolist()]
    table.take_many(rows, ask.resources, ask.group)
    return [Spot(row) for row in rows.tolist()]


def _take(ask: Ask, row: int, table: InstanceTable) -> Spot:
    gpus = gpus_on(ask, row, table)
    table.take(row, ask.resources, ask.group, gpus)
    return Spot(row, gpus)


def place_on(ask: Ask, row: int, table: InstanceTable) -> Spot | Unplaceable:
    """On this instance and no other: the caller schedules. Constraints bind all the same."""
    if fitting(ask, table)[row]:
        return Unplaceable(refusals(ask, table, only=row))
    return _take(ask, row, table)


def best(ask: Ask, table: InstanceTable, held: int = NO_ROW) -> Rows:
    """The rows that fit, that the strategies hold equal, and that have as much of the images; one of them is drawn."""
    return _best(with_image(ask, table), table, held)


def _best(ask: Ask, table: InstanceTable, held: int) -> Rows:
    if not table.instances:
        return np.zeros(0, np.intp)
    bad = fitting(ask, table, held)
    if not ask.strategies:
        fit: Rows = (bad == 0).nonzero()[0]
        return fit
    first, *others = ask.strategies
    if first.type == "fragmentation":
        return _best_of((bad == 0).nonzero()[0], ask.strategies, ask, table)
    _, rank, unsigned, equal = buffers(len(table.instances))
    rank_all(first, ask, table, rank)
    np.bitwise_or(rank, bad, out=rank)
    lowest = unsigned[unsigned.argmin()]
    if lowest >= _UNFIT:
        return np.zeros(0, np.intp)
    np.equal(unsigned, lowest, out=equal)
    return _best_of(equal.nonzero()[0], others, ask, table)


def _best_of(rows: Rows, strategies: Sequence[Strategy], ask: Ask, table: InstanceTable) -> Rows:
    for strategy in strategies:
        if len(rows) <= 1:
            break
        ranks = rank_some(strategy, ask, table, rows)
        rows = rows[ranks == ranks.min()]
    return rows
