"""Moves off the fullest instances onto the emptiest ones, for services to which that is all the same. Pure.

After hosts joined, services with one task on each of the others are even as they are, and the new hosts stay empty.
So where the fullest and the emptiest instance are far apart, tasks move that leave their service as even as it is: at
each level over which it is spread, source and target are alike, or the source has more. Both together are less full
than the source was, so that no move is ever worth taking back; and that far apart that it is worth one.

Placement knows nothing of that: the replacement of such a task is pinned to its target.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shoal_scheduler.control.assignment import held_row
from shoal_scheduler.control.rebalance.candidates import Candidate, is_steady, may_move, newest_first
from shoal_scheduler.control.rebalance.spread import id_of, levels
from shoal_scheduler.model.ask import Ask, Resources
from shoal_scheduler.model.rebalance import Move
from shoal_scheduler.model.task import Task
from shoal_scheduler.placement.filters import NO_ROW, fitting
from shoal_scheduler.placement.place import gpus_on
from shoal_scheduler.state.instance_table import InstanceTable
from shoal_scheduler.state.overlay import Overlay

# Of what an instance has, in parts of 1: the fullest and the emptiest are to be farther apart.
GAP = 0.25

# Of the emptiest instances, so many are tried for each task; and so many tries in one plan.
TARGETS_TRIED = 3
TRIES_MAX = 5_000

Shares = NDArray[np.float64]


@dataclass(slots=True)
class Load:
    """What is taken of each row, once all that moves has moved."""

    room: InstanceTable
    cpu: Shares
    memory: Shares

    @classmethod
    def of(cls, room: InstanceTable) -> "Load":
        cpu = (room.total_cpu - room.free_cpu).astype(np.float64)
        return cls(room, cpu, (room.total_memory - room.free_memory).astype(np.float64))

    def shares(self) -> Shares:
        """Of what is scarcer on each row."""
        found: Shares = np.maximum(
            self.cpu / np.maximum(self.room.total_cpu, 1), self.memory / np.maximum(self.room.total_memory, 1)
        )
        return found

    def leave(self, row: int, wanted: Resources) -> None:
        self.cpu[row] -= wanted.cpu
        self.memory[row] -= wanted.memory_mib

    def come(self, row: int, wanted: Resources) -> None:
        self.cpu[row] += wanted.cpu
        self.memory[row] += wanted.memory_mib

    def is_better(self, wanted: Resources, source: int, target: int) -> bool:
        """Whether the target is with such a task still less full than the source would be without."""
        cpu, memory = max(1, int(self.room.total_cpu[target])), max(1, int(self.room.total_memory[target]))
        there = max((self.cpu[target] + wanted.cpu) / cpu, (self.memory[target] + wanted.memory_mib) / memory)
        cpu, memory = max(1, int(self.room.total_cpu[source])), max(1, int(self.room.total_memory[source]))
        here = max((self.cpu[source] - wanted.cpu) / cpu, (self.memory[source] - wanted.memory_mib) / memory)
        return bool(there <= here)


def relieving(
    view: Overlay, services: Mapping[str, Candidate], room: InstanceTable, planned: Sequence[Move], now: int, most: int
) -> Iterator[Move]:
    """No more than `most`, after those that are `planned` already, whose targets are taken from `room`."""
    load = Load.of(room)
    for move in planned:
        load.leave(room.rows[move.source], services[move.service].ask.resources)
    movable = _Movable(view, services, {move.task for move in planned}, now)
    is_open, tries, count = room.away == 0, 0, 0
    while count < most and tries < TRIES_MAX and is_open.any():
        shares = load.shares()
        source = int(np.where(is_open, shares, -1.0).argmax())
        if shares[source] - shares[room.away == 0].min() <= GAP:
            return
        emptiest = np.where(room.away == 0, shares, np.inf).argsort(kind="stable")[:TARGETS_TRIED].tolist()
        for task, ask in movable.on(id_of(room, source)):
            tries += len(emptiest)
            target = _target(load, ask, source, emptiest, held_row(view, task.launch.cluster))
            if target != NO_ROW:
                break
        else:
            is_open[source] = False
            continue
        movable.gone.add(task.id)
        why = f"its instance is {shares[source]:.0%} full, the other one {shares[target]:.0%}"
        load.leave(source, ask.resources)
        load.come(target, ask.resources)
        room.take(target, ask.resources, ask.group, gpus_on(ask, target, room))
        room.group(ask.group).add(source, -1, len(room))
        count += 1
        service = task.launch.service
        assert service is not None, "only services' tasks move"
        yield Move(task.id, service.service, task.instance, id_of(room, target), why, is_pinned=True)


def is_as_even(ask: Ask, room: InstanceTable, source: int, target: int) -> bool:
    """Whether its service is as even with a task there instead."""
    return all(
        level.slots[source] == level.slots[target] or level.sums[level.slots[source]] > level.sums[level.slots[target]]
        for level in levels(ask, room)
    )


def _target(load: Load, ask: Ask, source: int, emptiest: Sequence[int], held: int) -> int:
    fits = fitting(ask, load.room, held) == 0
    for target in emptiest:
        if target == source or not fits[target] or not load.is_better(ask.resources, source, target):
            continue
        if is_as_even(ask, load.room, source, target):
            return target
    return NO_ROW


@dataclass(slots=True)
class _Movable:
    view: Overlay
    services: Mapping[str, Candidate]
    gone: set[str]
    now: int

    def on(self, instance: str) -> Iterator[tuple[Task, Ask]]:
        """Tasks there that may move, of services that are spread and not packed."""
        for task in newest_first(self.view.tasks_on(instance)):
            part = task.launch.service
            candidate = self.services.get(part.service) if part is not None else None
            if candidate is None or task.id in self.gone or not may_move(task, self.now):
                continue
            if is_indifferent(candidate.ask) and self._is_steady(candidate):
                yield task, candidate.ask

    def _is_steady(self, candidate: Candidate) -> bool:
        service = candidate.service
        return is_steady(service, self.view.tasks_of_service((service.cluster, service.name)))


def is_indifferent(ask: Ask) -> bool:
    """Whether the instance does not matter to it beyond what it is spread over."""
    return bool(ask.strategies) and all(strategy.type == "spread" for strategy in ask.strategies)
