"""Preferences among the instances that passed, applied in order as tie-breakers (ECS: up to five).

A strategy ranks rows: the lowest rank is best, and the next strategy decides among equals.
"""

import numpy as np
from numpy.typing import NDArray

from shoal_scheduler.model.ask import Ask, Strategy
from shoal_scheduler.placement.fragmentation import Growth, growth
from shoal_scheduler.state.columns import Column
from shoal_scheduler.state.instance_table import InstanceTable
from shoal_scheduler.state.row_counts import Ints
from shoal_scheduler.state.seen import shape_of

# So that a task need not fetch what is there already, among instances that are equal otherwise.
IMAGE = Strategy("image")
_HOST_FIELDS = ("instanceId", "host")


def with_image(ask: Ask, table: InstanceTable) -> Ask:
    """The ask with that as its last strategy; itself where it makes no difference. Who asks for chance gets it."""
    if not table.images or any(strategy.type in ("random", "image") for strategy in ask.strategies):
        return ask
    if table.images.ranks(ask.images, len(table)) is None:
        return ask
    return ask._replace(strategies=(*ask.strategies, IMAGE))


def rank_all(strategy: Strategy, ask: Ask, table: InstanceTable, out: Ints) -> None:
    """One rank a row into `out`: not negative for rows that fit. `random` ranks all alike."""
    if strategy.type == "binpack":
        np.subtract(_packed(strategy, table), binpack_amount(strategy, ask), out=out)
    elif is_by_host(strategy):
        counts = table.groups.get(ask.group)
        out[:] = 0 if counts is None else counts.as_array(len(table))
    elif is_by_value(strategy):
        column = spread_column(strategy, table)
        out[:] = sums_by_value(ask, table, column)[column.slots]
    elif strategy.type == "image":
        ranks = table.images.ranks(ask.images, len(table))
        out[:] = 0 if ranks is None else ranks
    else:
        out[:] = 0


def rank_some(strategy: Strategy, ask: Ask, table: InstanceTable, rows: NDArray[np.intp]) -> NDArray[np.signedinteger]:
    """The same for these rows only, and for `fragmentation`: all of them fit."""
    if strategy.type == "fragmentation":
        return growth_on(ask, table, rows).cost
    if strategy.type == "binpack":
        return _packed(strategy, table)[rows] - np.int32(binpack_amount(strategy, ask))
    if is_by_host(strategy):
        counts = table.groups.get(ask.group)
        return np.zeros(len(rows), np.int32) if counts is None else counts.as_array(len(table))[rows]
    if is_by_value(strategy):
        column = spread_column(strategy, table)
        return sums_by_value(ask, table, column)[column.slots[rows]]
    if strategy.type == "image":
        ranks = table.images.ranks(ask.images, len(table))
        return np.zeros(len(rows), np.int32) if ranks is None else ranks[rows]
    return np.zeros(len(rows), np.int32)


def growth_on(ask: Ask, table: InstanceTable, rows: NDArray[np.intp]) -> Growth:
    gpus = table.gpus.free[rows]
    return growth(shape_of(ask.resources), table.free_cpu[rows], table.free_memory[rows], gpus, table.seen)


def _packed(strategy: Strategy, table: InstanceTable) -> Ints:
    """ECS: so that the least is left of cpu or memory; of GPUs, ours, in thousandths."""
    if strategy.field == "memory":
        return table.free_memory
    return table.free_cpu if strategy.field == "cpu" else table.gpus.total


def binpack_amount(strategy: Strategy, ask: Ask) -> int:
    """What one task takes of what is packed: so much less is left after each."""
    wanted = ask.resources
    if strategy.field == "memory":
        return wanted.memory_mib
    return wanted.cpu if strategy.field == "cpu" else wanted.gpus * wanted.gpu_milli


def is_by_host(strategy: Strategy) -> bool:
    return strategy.type == "spread" and strategy.field in _HOST_FIELDS


def is_by_value(strategy: Strategy) -> bool:
    """Spreads over an attribute: a task changes the rank of every row with the same value."""
    return strategy.type == "spread" and strategy.field not in _HOST_FIELDS


def spread_column(strategy: Strategy, table: InstanceTable) -> Column:
    return table.texts(f"attribute:{strategy.field.removeprefix('attribute:')}")


def sums_by_value(ask: Ask, table: InstanceTable, column: Column) -> Ints:
    """How many tasks of the group run on all instances with each value, full ones included; slot 0: without it."""
    counts = table.groups.get(ask.group)
    slots = len(column.values) + 1
    return np.zeros(slots, np.int32) if counts is None else counts.tally(column.slots, slots)
