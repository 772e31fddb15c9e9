"""Moves that even out each service's tasks, over what its placement strategies spread them: zones first, then
instances. Pure.

A move is planned only if it strictly improves: at the first of these levels at which source and target are not alike,
the source has at least two tasks more; or one more, which changes nothing there, and the next level decides. So the
counts, level by level, come nearer to each other with every move, and no move is ever worth taking back.

The target is always where placement itself would put the next task: that is where the replacement goes.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from shoal_scheduler.control.assignment import held_row
from shoal_scheduler.control.rebalance.candidates import Candidate, is_steady, may_move, newest_first
from shoal_scheduler.model.ask import Ask
from shoal_scheduler.model.rebalance import Move
from shoal_scheduler.model.service import Service
from shoal_scheduler.model.task import Task
from shoal_scheduler.placement.filters import NO_ROW
from shoal_scheduler.placement.place import Spot, best, gpus_on
from shoal_scheduler.placement.strategies import is_by_host, is_by_value, spread_column, sums_by_value
from shoal_scheduler.state.instance_table import InstanceTable
from shoal_scheduler.state.overlay import Overlay
from shoal_scheduler.state.row_counts import Ints

Rows = NDArray[np.intp]

# More than an ask has.
ALL_LEVELS = 99


class Level(NamedTuple):
    """What a strategy spreads over: the slot of each row, and how many tasks of the service each slot has."""

    name: str
    slots: Rows
    sums: Ints


def spread(
    view: Overlay, services: Iterable[Candidate], room: InstanceTable, moves_max: int, now: int, depth: int = ALL_LEVELS
) -> list[Move]:
    """Takes from `room`, the caller's own copy. `depth`: no more levels than so many."""
    of_each: list[list[Move]] = []
    left = moves_max
    for candidate in services:
        if left <= 0:
            break
        moves = list(_of_one(view, candidate, room, left, now, depth))
        of_each.append(moves)
        left -= len(moves)
    # Those of several services take turns, so that what is under way at once is of many.
    return [move for turn in zip_longest(*of_each) for move in turn if move is not None]


def improving(
    ask: Ask, room: InstanceTable, sources: Rows, held: int = NO_ROW, depth: int = ALL_LEVELS
) -> tuple[int, int]:
    """The best row to take a task from, of these, and where placement would put it; NO_ROW twice if that improves
    nothing."""
    rows = best(ask, room, held)
    if not len(rows) or not len(sources):
        return NO_ROW, NO_ROW
    target = int(rows[0])
    source = _best_source(levels(ask, room), sources, target, depth)
    return (source, target) if source != NO_ROW else (NO_ROW, NO_ROW)


def improves(ask: Ask, room: InstanceTable, source: int, target: int, depth: int = ALL_LEVELS) -> bool:
    """Whether a task is better there."""
    return _best_source(levels(ask, room), np.array([source]), target, depth) != NO_ROW


def levels(ask: Ask, room: InstanceTable) -> list[Level]:
    """As far as its strategies spread, before one that prefers otherwise."""
    found: list[Level] = []
    for strategy in ask.strategies:
        if is_by_value(strategy):
            column = spread_column(strategy, room)
            found.append(Level(strategy.field, column.slots, sums_by_value(ask, room, column)))
        elif is_by_host(strategy):
            counts = room.groups.get(ask.group)
            sums = np.zeros(len(room), np.int32) if counts is None else counts.as_array(len(room))
            found.append(Level("instanceId", np.arange(len(room)), sums))
        else:
            break
    return found


def _of_one(
    view: Overlay, candidate: Candidate, room: InstanceTable, moves_max: int, now: int, depth: int
) -> Iterator[Move]:
    ask, service = candidate.ask, candidate.service
    counts = room.groups.get(ask.group)
    if counts is None or not levels(ask, room):
        return
    held = held_row(view, service.cluster)
    # What most services need no more than: nothing is to be gained, whatever may move.
    if improving(ask, room, np.fromiter(counts.rows(), np.intp), held, depth)[0] == NO_ROW:
        return
    tasks = view.tasks_of_service((service.cluster, service.name))
    if not is_steady(service, tasks):
        return
    at = _Places(room, ask, by_row(room, newest_first([task for task in tasks if may_move(task, now)])))
    while len(at.moves) < moves_max:
        source, target = improving(ask, room, at.rows(), held, depth)
        if source == NO_ROW:
            break
        at.move(service, source, target, _why(ask, room, source, target))
    yield from at.moves.values()


@dataclass(slots=True)
class _Places:
    """Where the tasks of one service are, in the plan. `staying`: those that have not moved yet, by row."""

    room: InstanceTable
    ask: Ask
    staying: dict[int, list[Task]]
    moves: dict[str, Move] = field(default_factory=dict)

    # By row, the tasks that came there, with the GPUs that they take.
    came: dict[int, list[tuple[str, Spot]]] = field(default_factory=dict)

    def rows(self) -> Rows:
        return np.array([*self.staying, *(row for row, tasks in self.came.items() if tasks)], np.intp)

    def move(self, service: Service, source: int, target: int, why: str) -> None:
        """The newest there; or one that was to come there, which goes further instead."""
        spot = Spot(target, gpus_on(self.ask, target, self.room))
        if self.staying.get(source):
            task = self.staying[source].pop(0)
            if not self.staying[source]:
                del self.staying[source]
            name, move = task.id, Move(task.id, service.name, task.instance, reason=why)
            self.room.group(self.ask.group).add(source, -1, len(self.room))
        else:
            name, before = self.came[source].pop()
            move = self.moves.pop(name)
            self.room.give_back(source, self.ask.resources, self.ask.group, before.gpus)
        self.room.take(target, self.ask.resources, self.ask.group, spot.gpus)
        self.came.setdefault(target, []).append((name, spot))
        self.moves[name] = msgspec.structs.replace(move, target=id_of(self.room, target))


def _best_source(over: Sequence[Level], sources: Rows, target: int, depth: int) -> int:
    """NO_ROW if none improves at one of the first `depth` levels; of those that do equally, the next levels say."""
    undecided = np.ones(len(sources), bool)
    gains = [level.sums[level.slots[sources]] - level.sums[level.slots[target]] for level in over]
    for at, (level, gain) in enumerate(zip(over[:depth], gains, strict=False)):
        differs = level.slots[sources] != level.slots[target]
        better = (undecided & differs & (gain >= 2)).nonzero()[0]
        if len(better):
            order = np.lexsort([-each[better] for each in reversed(gains[at:])])
            return int(sources[better[order[0]]])
        undecided &= ~differs | (gain == 1)
    return NO_ROW


def _why(ask: Ask, room: InstanceTable, source: int, target: int) -> str:
    """`4 tasks of it where ecs.availability-zone is a, 1 where it is b`."""
    for level in levels(ask, room):
        there, here = int(level.sums[level.slots[source]]), int(level.sums[level.slots[target]])
        if level.slots[source] == level.slots[target] or there - here < 2:
            continue
        if level.name == "instanceId":
            return f"{_tasks(there)} of it on one instance, {here} on the other"
        name = level.name.removeprefix("attribute:")
        one, other = _value(room, source, name), _value(room, target, name)
        return f"{_tasks(there)} of it where {name} is {one}, {here} where it is {other}"
    return ""


def _tasks(count: int) -> str:
    return f"{count} task{'' if count == 1 else 's'}"


def _value(room: InstanceTable, row: int, name: str) -> str:
    instance = room.instances[row]
    return (instance.attribute(name) if instance is not None else None) or "not set"


def by_row(room: InstanceTable, tasks: Iterable[Task]) -> dict[int, list[Task]]:
    """Those whose instance is in service: off the others they go anyway. In the order of the rows."""
    found: dict[int, list[Task]] = {}
    for task in tasks:
        row = room.rows.get(task.instance)
        if row is not None and room.away[row] == 0:
            found.setdefault(row, []).append(task)
    return dict(sorted(found.items()))


def id_of(room: InstanceTable, row: int) -> str:
    instance = room.instances[row]
    assert instance is not None, "a row with a task, or with room for one, is an instance"
    return instance.id
