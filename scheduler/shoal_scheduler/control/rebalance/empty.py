"""Moves that take the tasks of services off instances: off those that are named, or off as many as the others have
room for. Pure.

Of named instances every task that may move goes where placement puts it, as far as there is room.

Consolidation takes the emptiest instances first, each wholly or not at all: one that keeps a single task is not free.
It never places on an instance that is empty, and never leaves a service less even over its zones. It goes on until no
more instance can be emptied, so that to ask again finds nothing more.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec
import numpy as np

from shoal_scheduler.control.assignment import held_row
from shoal_scheduler.control.rebalance.candidates import Candidate, may_move, newest_first
from shoal_scheduler.control.rebalance.spread import id_of, levels
from shoal_scheduler.model.ask import Ask
from shoal_scheduler.model.rebalance import INSTANCES_MAX, Move
from shoal_scheduler.model.task import Task
from shoal_scheduler.placement.filters import NO_ROW, refusals
from shoal_scheduler.placement.place import Spot, Unplaceable, best, gpus_on
from shoal_scheduler.state.instance_table import InstanceTable
from shoal_scheduler.state.overlay import Overlay

NAMED = "its instance is emptied"
CONSOLIDATED = "its instance is emptied: others have the room"

GOES_BY_ITSELF = "its instance is drained, silent or impaired: what runs there goes without being moved"


class Stays(NamedTuple):
    """A task that is to move and does not: why."""

    task: str
    service: str
    instance: str
    reason: str


@dataclass(slots=True)
class Emptied:
    """`closed`: where nothing of a service is placed meanwhile. `note`: why there is nothing, where that is to be
    said."""

    moves: list[Move] = field(default_factory=list)
    stays: list[Stays] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)
    note: str = ""


def named(
    view: Overlay,
    services: Mapping[str, Candidate],
    room: InstanceTable,
    instances: Sequence[str],
    moves_max: int,
    now: int,
) -> Emptied:
    """Takes from `room`, the caller's own copy."""
    found = Emptied(closed=list(instances))
    out_of_service = {each for each in instances if room.away[room.rows[each]]}
    for instance_id in instances:
        instance = view.instance(instance_id)
        if instance is not None:
            room.put(msgspec.structs.replace(instance, status="DRAINING"), connected=bool(view.session(instance_id)))
    for instance_id in instances:
        for task in newest_first(view.tasks_on(instance_id)):
            reason = GOES_BY_ITSELF if instance_id in out_of_service else _why_it_stays(services, task, now)
            if not reason and len(found.moves) >= moves_max:
                reason = f"no more than {moves_max} tasks move at a time"
            reason = reason or _move(view, services, room, task, found.moves)
            if reason:
                found.stays.append(Stays(task.id, _service_of(task), instance_id, reason))
    return found


def _move(view: Overlay, services: Mapping[str, Candidate], room: InstanceTable, task: Task, moves: list[Move]) -> str:
    """Adds its move, or says why there is none."""
    ask, held = services[_service_of(task)].ask, held_row(view, task.launch.cluster)
    rows = best(ask, room, held)
    if not len(rows):
        return f"no other instance has room: {Unplaceable(refusals(ask, room, held)).detail}"
    target = int(rows[0])
    room.take(target, ask.resources, ask.group, gpus_on(ask, target, room))
    room.group(ask.group).add(room.rows[task.instance], -1, len(room))
    moves.append(Move(task.id, _service_of(task), task.instance, id_of(room, target), NAMED))
    return ""


def _why_it_stays(services: Mapping[str, Candidate], task: Task, now: int) -> str:
    candidate = services.get(_service_of(task))
    if candidate is None:
        return "it is no service's"
    if candidate.fixed:
        return candidate.fixed
    if task.protected_until > now:
        return "it is protected"
    return "" if may_move(task, now) else f"it is {task.last_status}"


def _service_of(task: Task) -> str:
    part = task.launch.service
    return "" if part is None else part.service


class _Lodged(NamedTuple):
    """A task where it is by now, in the plan; `home`: where it is in truth."""

    task: Task
    ask: Ask
    home: int


@dataclass(slots=True)
class _Consolidation:
    """The cluster as it will be."""

    view: Overlay
    services: Mapping[str, Candidate]
    room: InstanceTable
    held: int
    now: int

    # Of rows that were looked at: what would have to move for them to be empty; None if it cannot.
    tasks: dict[int, list[_Lodged] | None] = field(default_factory=dict)

    # By row, what came there in the plan.
    came: dict[int, list[_Lodged]] = field(default_factory=dict)
    moved: dict[str, tuple[_Lodged, int]] = field(default_factory=dict)
    emptied: list[int] = field(default_factory=list)

    def empty(self, row: int, moves_max: int) -> bool:
        """All of its tasks, or none."""
        if row not in self.tasks:
            self.tasks[row] = _lodged(self.view, self.services, self.room, row, self.now)
        own = self.tasks[row]
        if own is None:
            return False
        lodged = sorted([*own, *self.came.get(row, ())], key=_biggest_first)
        if len(self.moved.keys() | {each.task.id for each in lodged}) > moves_max:
            return False
        before, self.room.free_cpu[row] = int(self.room.free_cpu[row]), -1  # nothing fits there any more
        went: list[tuple[_Lodged, Spot]] = []
        for each in lodged:
            target = self._target(each.ask, row)
            if target == NO_ROW:
                self._take_back(row, went)
                self.room.free_cpu[row] = before
                return False
            spot = Spot(target, gpus_on(each.ask, target, self.room))
            self.room.take(target, each.ask.resources, each.ask.group, spot.gpus)
            self.room.group(each.ask.group).add(row, -1, len(self.room))
            went.append((each, spot))
        for each, spot in went:
            self.moved[each.task.id] = (each, spot.row)
            self.came.setdefault(spot.row, []).append(each)
        self.came.pop(row, None)
        self.emptied.append(row)
        return True

    def _target(self, ask: Ask, row: int) -> int:
        """Where placement puts the task that leaves the row; NO_ROW if there is no room, or zones would be less
        even."""
        rows = best(ask, self.room, self.held)
        if not len(rows):
            return NO_ROW
        target = int(rows[0])
        for level in levels(ask, self.room):
            if level.name == "instanceId" or level.slots[row] == level.slots[target]:
                continue
            if level.sums[level.slots[row]] <= level.sums[level.slots[target]]:
                return NO_ROW
        return target

    def _take_back(self, row: int, went: Iterable[tuple[_Lodged, Spot]]) -> None:
        for each, spot in went:
            self.room.give_back(spot.row, each.ask.resources, each.ask.group, spot.gpus)
            self.room.group(each.ask.group).add(row, 1, len(self.room))


def consolidated(
    view: Overlay, services: Mapping[str, Candidate], room: InstanceTable, cluster: str, moves_max: int, now: int
) -> Emptied:
    """Takes from `room`, the caller's own copy."""
    daemons = [each.ask.group for each in services.values() if each.service.is_daemon]
    there = room.running + room.pending - sum(room.group(group).as_array(len(room)) for group in daemons)
    is_open = room.away == 0
    empty = ((there == 0) & is_open).nonzero()[0].tolist()
    more = INSTANCES_MAX - len(empty)
    if more <= 0:
        return Emptied(note=f"{len(empty)} instances are empty already: drain or deregister them first.")
    room.free_cpu[empty] = -1  # these stay as they are
    known = _Consolidation(view, services, room, held_row(view, cluster), now)
    left = set(((there > 0) & is_open).nonzero()[0].tolist())
    while True:
        by_use = sorted(left, key=lambda row: (_used(room, row), row))
        emptied = {row for row in by_use if len(known.emptied) < more and known.empty(row, moves_max)}
        if not emptied:
            break
        left -= emptied
    moves = [
        Move(task_id, _service_of(lodged.task), id_of(room, lodged.home), id_of(room, target), CONSOLIDATED)
        for task_id, (lodged, target) in known.moved.items()
    ]
    return Emptied(moves, closed=[id_of(room, row) for row in (*empty, *known.emptied)])


def _biggest_first(lodged: _Lodged) -> tuple[int, int, str]:
    wanted = lodged.ask.resources
    return (-wanted.memory_mib, -wanted.cpu, lodged.task.id)


def _lodged(
    view: Overlay, services: Mapping[str, Candidate], room: InstanceTable, row: int, now: int
) -> list[_Lodged] | None:
    """The tasks that would have to move for it to be empty, which those of DAEMON services need not; None if one of
    them cannot."""
    found = []
    for task in view.tasks_on(id_of(room, row)):
        candidate = services.get(_service_of(task))
        if candidate is not None and candidate.service.is_daemon:
            continue
        if candidate is None or _why_it_stays(services, task, now):
            return None
        found.append(_Lodged(task, candidate.ask, row))
    return found


def _used(room: InstanceTable, row: int) -> float:
    """The part of it that is taken, of what is scarcer."""
    cpu = 1 - room.free_cpu[row] / max(1, room.total_cpu[row])
    return float(np.maximum(cpu, 1 - room.free_memory[row] / max(1, room.total_memory[row])))
