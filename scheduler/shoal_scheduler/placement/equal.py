"""Many equal asks at once: rows as one call of `place` after another could choose them, in a few passes.

Placing a task changes the rank of its own row, and it changes it one way only. It falls where the first strategy that
moves it is `binpack`: a row that was taken once is taken until it is full. It rises where that is `spread` over
hosts: rows are taken in rounds. Where a spread over an attribute comes first, rows with the same value form a cell;
the order within a cell depends on no other cell, and cells are taken in rounds. Where `image` comes first, which no
task changes, those that are as good by it are taken before the next best. What is not of this form is placed one by
one.
"""

from collections.abc import Sequence
from random import Random
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from shoal_scheduler.model.ask import Ask, Strategy
from shoal_scheduler.placement.filters import NO_ROW, fitting, is_volatile
from shoal_scheduler.placement.strategies import binpack_amount, is_by_value, rank_some, spread_column, sums_by_value
from shoal_scheduler.state.gpu_table import WHOLE
from shoal_scheduler.state.instance_table import InstanceTable

Rows = NDArray[np.intp]
Numbers = NDArray[np.int64]


class Run(NamedTuple):
    """What a cell gives, best first: the row of each task, and its rank by each strategy that looks at rows alone."""

    rows: Rows
    ranks: Sequence[Numbers]


def can_be_placed_at_once(ask: Ask) -> bool:
    """Not where a task changes more than what is free and how many of its group there are, nor where the order of a
    row's tasks is not the one described above."""
    if is_volatile(ask):
        return False
    if ask.resources.gpus > 1 and ask.resources.gpu_milli != WHOLE:
        return False
    moving = _moving(ask)
    if moving and moving[0].type == "image" and not any(map(is_by_value, moving)):
        moving = moving[1:]
    by_row = moving[1:] if moving and is_by_value(moving[0]) else moving
    if any(is_by_value(strategy) or strategy.type == "fragmentation" for strategy in by_row):
        return False
    moves = [_move(strategy, ask) for strategy in by_row]
    return not moves or moves[0] != 0 or max(moves) == 0


def rows_in_order(ask: Ask, count: int, table: InstanceTable, rng: Random, held: int = NO_ROW) -> Rows:
    """The rows of up to `count` tasks. Nothing is taken."""
    rows: Rows = (fitting(ask, table, held) == 0).nonzero()[0]
    if not len(rows):
        return rows
    draws = np.random.default_rng(rng.getrandbits(64))
    rows = draws.permutation(rows)
    room = np.minimum(_room(ask, table)[rows], count)
    moving = _moving(ask)
    if len(moving) > 1 and moving[0].type == "image" and _move(moving[1], ask) > 0:
        return _best_first(ask, moving, table, rows, room, count, draws)
    if not moving or not is_by_value(moving[0]):
        return _run(ask, moving, table, rows, room, count, draws).rows
    column = spread_column(moving[0], table)
    slots = column.slots[rows]
    values = np.unique(slots)
    cells = [(slots == value).nonzero()[0] for value in values]
    runs = [_run(ask, moving[1:], table, rows[cell], room[cell], count, draws) for cell in cells]
    return _in_rounds(sums_by_value(ask, table, column)[values].astype(np.int64), runs, count, draws)


def _moving(ask: Ask) -> list[Strategy]:
    """`random` ranks all alike."""
    return [strategy for strategy in ask.strategies if strategy.type != "random"]


def _room(ask: Ask, table: InstanceTable) -> Numbers:
    """How many more of the ask each row can take, at least one for those that fit."""
    wanted = ask.resources
    room = np.full(len(table), 1 if wanted.ports or ask.distinct_instance else np.iinfo(np.int32).max, np.int64)
    amounts = [(table.free_cpu, wanted.cpu), (table.free_memory, wanted.memory_mib)]
    amounts += [(table.free_custom[name], amount) for name, amount in wanted.custom]
    if wanted.gpus and wanted.gpu_milli == WHOLE:
        amounts.append((table.gpus.whole, wanted.gpus))
    for free, amount in amounts:
        if amount:
            np.minimum(room, free // amount, out=room)
    if wanted.gpus and wanted.gpu_milli != WHOLE:
        np.minimum(room, (np.maximum(table.gpus.free, 0) // wanted.gpu_milli).sum(axis=1), out=room)
    return room


def _run(
    ask: Ask,
    own: Sequence[Strategy],
    table: InstanceTable,
    rows: Rows,
    room: Numbers,
    count: int,
    draws: np.random.Generator,
) -> Run:
    """By the strategies that look at rows alone. `rows` come in the order that decides between equals."""
    first = [rank_some(strategy, ask, table, rows).astype(np.int64) for strategy in own]
    moves = [_move(strategy, ask) for strategy in own]
    direction = next((move for move in moves if move), 0)
    order = np.lexsort(first[::-1]) if first else np.arange(len(rows))
    if direction < 0:
        order = order[: int(np.searchsorted(np.cumsum(room[order]), count)) + 1]
        place, turn = _turns(order, room)
    elif direction > 0:
        place, turn = _turns(order, _below_level(first[0], room, count))
    else:
        place = _drawn(order, first, room, count, draws)
        turn = np.zeros(len(place), np.int64)
    ranks = [start[place] + move * turn for start, move in zip(first, moves, strict=True)]
    if direction > 0:
        in_rounds = np.lexsort([draws.random(len(place)), *ranks[::-1]])
        place, ranks = place[in_rounds], [rank[in_rounds] for rank in ranks]
    return Run(rows[place[:count]], [rank[:count] for rank in ranks])


def _best_first(
    ask: Ask,
    moving: Sequence[Strategy],
    table: InstanceTable,
    rows: Rows,
    room: Numbers,
    count: int,
    draws: np.random.Generator,
) -> Rows:
    """By a first strategy that no task changes, then by the others."""
    ranks = rank_some(moving[0], ask, table, rows)
    chosen = [rows[:0]]
    for rank in np.unique(ranks):
        as_good = ranks == rank
        chosen.append(_run(ask, moving[1:], table, rows[as_good], room[as_good], count, draws).rows)
        count -= len(chosen[-1])
        if not count:
            break
    return np.concatenate(chosen)


def _move(strategy: Strategy, ask: Ask) -> int:
    """How a row's rank changes with each task it takes."""
    if strategy.type == "binpack":
        return -binpack_amount(strategy, ask)
    return 1 if strategy.type == "spread" else 0


def _turns(order: Rows, room: Numbers) -> tuple[Rows, Numbers]:
    """Each place of `order` as often as it has room, and the how-manieth time it is, from 0."""
    times = room[order]
    ends = np.cumsum(times)
    turn = np.arange(int(ends[-1]) if len(ends) else 0) - np.repeat(ends - times, times)
    return np.repeat(order, times), turn


def _below_level(start: Numbers, room: Numbers, count: int) -> Numbers:
    """The part of each room that lies below the level at which `count` tasks are spread evenly: more would only be
    thrown away."""
    low, high = int(start.min()), int((start + room).max())
    while low < high:
        level = (low + high) // 2
        if int(np.clip(level - start, 0, room).sum()) >= count:
            high = level
        else:
            low = level + 1
    return np.clip(low - start, 0, room)


def _drawn(order: Rows, first: Sequence[Numbers], room: Numbers, count: int, draws: np.random.Generator) -> Rows:
    """Ranks that never move: among equals each task is drawn anew, and the next best come when those are full."""
    keys = np.stack(first)[:, order] if first else np.zeros((1, len(order)), np.int64)
    changes = (np.diff(keys, axis=1) != 0).any(axis=0).nonzero()[0] + 1
    chosen: list[int] = []
    for equals in np.split(order, changes):
        open_places, left = equals.tolist(), room[equals].tolist()
        for draw in draws.random(min(count - len(chosen), sum(left))).tolist():
            at = int(draw * len(open_places))
            chosen.append(open_places[at])
            left[at] -= 1
            if not left[at]:
                open_places[at], left[at] = open_places[-1], left[-1]
                open_places.pop()
                left.pop()
        if len(chosen) == count:
            break
    return np.array(chosen, np.intp)


def _in_rounds(sums: Numbers, runs: Sequence[Run], count: int, draws: np.random.Generator) -> Rows:
    """One spread over a value comes first: a cell's rank rises by one with each of its tasks, so that all that the
    cells give need only be sorted. `sums` are the tasks that run in each cell's value already."""
    lengths = np.array([len(run.rows) for run in runs])
    lengths = _below_level(sums, lengths, count)
    rounds = np.concatenate([start + np.arange(length) for start, length in zip(sums, lengths, strict=True)])
    rows = np.concatenate([run.rows[:length] for run, length in zip(runs, lengths, strict=True)])
    ranks = [
        np.concatenate([run.ranks[number][:length] for run, length in zip(runs, lengths, strict=True)])
        for number in range(len(runs[0].ranks))
    ]
    order = np.lexsort([draws.random(len(rows)), *ranks[::-1], rounds])
    return rows[order[:count]]
