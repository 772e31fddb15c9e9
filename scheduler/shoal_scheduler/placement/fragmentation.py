"""Where a task leaves the most capacity that the asks seen so far could still use.

After "Beware of Fragmentation" (ATC'23): capacity that is free but that an ask cannot use is a fragment for that
ask, and a task goes where the fragments, expected over the asks, grow least. Two things differ. The asks are not
known beforehand: `Seen` counts the ones that arrived. And what an ask could use is limited by the CPU and memory
left to feed it: eight free GPUs beside four CPUs are not eight GPUs to anyone. An ask that can use some of an
instance counts only what could be fed at its own proportion, so that GPUs keep CPU and memory with them, light asks
go where little is left, and asks without GPUs go where there is more CPU than the GPUs can use.

Of free capacity an ask either can use a part or not, and every placement takes the same amount: the least growth of
fragments is the least loss of usable capacity, which is what is computed. Every number is a whole one, below 2**53,
so that sums of floats are exact, and equal states are exact ties, on every machine.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from shoal_scheduler.state.gpu_table import WHOLE
from shoal_scheduler.state.seen import Seen, Shape

# A task without GPUs is worth this many thousandths of one: what it loses decides only where GPUs lose alike.
TASK_MILLI = 10

# Weights are whole numbers of such parts of one ask for a whole GPU.
WEIGHT_PARTS = 32

# What a row of GPUs offers is summed up in one number: free thousandths below, how many GPUs fit above.
_FIT = 1 << 20

# More than the error of a rate, less than what lies between a result and the next whole number.
_HAIR = 1 + 2.0**-44

# More than any instance has: where an ask needs none of something, that limits nothing.
_UNLIMITED = float(1 << 30)

Ints = NDArray[np.int32]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Growth:
    """`cost` of each row: the usable capacity that is lost, as a sum over the asks seen, weighted. The least is best;
    costs compare between calls with an equal `Seen`."""

    cost: NDArray[np.int64]
    shape: Shape
    gpu_free: Ints
    free_of_taken: Ints

    def gpus(self, row: int) -> tuple[int, ...]:
        """Which GPUs of the row to take: as free as in the choice that was weighed; of equals the lowest."""
        free = self.gpu_free[row]
        if self.shape.gpus == 1:
            return (int(np.argmax(free == self.free_of_taken[row])),)
        fitting = np.flatnonzero(free >= self.shape.gpu_milli)
        fullest_first = fitting[np.argsort(free[fitting], kind="stable")]
        return tuple(sorted(fullest_first[: self.shape.gpus].tolist()))


def growth(shape: Shape, free_cpu: Ints, free_memory: Ints, gpu_free: Ints, seen: Seen) -> Growth:
    """What placing `shape` costs on each row. All rows fit it; of a row, `gpu_free` has the thousandths free of each
    GPU, -1 where there is none."""
    if not len(free_cpu):
        return Growth(np.zeros(0, np.int64), shape, gpu_free, np.zeros(0, np.int32))
    fullest_first = np.sort(gpu_free, axis=1)
    first, state_of_row = _distinct(free_cpu, free_memory, fullest_first)
    shapes, counts = seen.weighed()
    demand = _demand(shapes)
    states = _States(free_cpu[first], free_memory[first], fullest_first[first])
    cost, free_of_taken = _costs(shape, states, demand, _weights(demand, counts))
    return Growth(cost[state_of_row], shape, gpu_free, free_of_taken[state_of_row])


def _distinct(free_cpu: Ints, free_memory: Ints, gpus: Ints) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """One row of each state, and the state of each row: many instances are alike."""
    state = np.column_stack((free_cpu, free_memory, gpus)).astype(np.uint64)
    hashed = (state * _multipliers(state.shape[1])).sum(axis=1)
    _, first, state_of_row = np.unique(hashed, return_index=True, return_inverse=True)
    if (state[first[state_of_row]] == state).all():
        return first, state_of_row
    every = np.arange(len(state))
    return every, every


@lru_cache(maxsize=64)
def _multipliers(count: int) -> NDArray[np.uint64]:
    """Odd numbers without a pattern, always the same. A collision is noticed and costs only time."""
    return np.random.default_rng(1).integers(0, 2**63, count, dtype=np.uint64) * np.uint64(2) + np.uint64(1)


class _Demand(NamedTuple):
    """The shapes as columns; `milli` is what one task takes of all its GPUs, and of shapes without GPUs just 1: of
    those whole tasks are counted."""

    cpu: Floats
    memory: Floats
    milli: Floats

    # What one unit of CPU or memory feeds at the shape's own proportion, a hair more so that whole results stay whole.
    cpu_rate: Floats
    memory_rate: Floats

    # Shapes that want as many GPUs of the same size see the GPUs alike: they are of one kind.
    kind: NDArray[np.int64]
    kind_gpus: NDArray[np.int64]

    # By the thousandths free of one GPU (-1 is the last line) and by kind: what it adds to what a row offers.
    offers: NDArray[np.int64]


@lru_cache(maxsize=64)
def _demand(shapes: tuple[Shape, ...]) -> _Demand:
    kinds = sorted({(each.gpus, each.gpu_milli) for each in shapes})
    kind_milli = np.array([milli for _, milli in kinds])
    free = np.append(np.arange(WHOLE + 1), -1)[:, None]
    cpu = np.array([each.cpu for each in shapes], np.float64)
    memory = np.array([each.memory_mib for each in shapes], np.float64)
    milli = np.array([each.gpus * each.gpu_milli or 1 for each in shapes], np.float64)
    return _Demand(
        cpu,
        memory,
        milli,
        milli / np.maximum(cpu, 1) * _HAIR,
        milli / np.maximum(memory, 1) * _HAIR,
        np.array([kinds.index((each.gpus, each.gpu_milli)) for each in shapes], np.int64),
        np.array([gpus for gpus, _ in kinds], np.int64),
        np.where(free >= np.maximum(kind_milli, 1), free + _FIT, 0),
    )


def _weights(demand: _Demand, counts: Floats) -> Floats:
    """How much one usable unit of each shape counts: half way between the number of asks and what they ask for, so
    by the square root of their size. By number alone, the few that need a whole instance of GPUs find none left; by
    size alone, those few rule. A task without GPUs counts by its size beside the mean of those."""
    by_size: Floats = np.rint(WEIGHT_PARTS * counts * np.sqrt(demand.milli / WHOLE))
    without_gpus = (demand.kind_gpus == 0)[demand.kind]
    asked = counts * without_gpus
    number = asked.sum()
    if not number:
        return by_size
    cpu_mean, memory_mean = max(asked @ demand.cpu / number, 1), max(asked @ demand.memory / number, 1)
    size = (demand.cpu / cpu_mean + demand.memory / memory_mean) / 2
    return np.where(without_gpus, np.rint(WEIGHT_PARTS * TASK_MILLI * counts * size), by_size)


class _States(NamedTuple):
    """Distinct states of instances; the GPUs of each with the fullest first, after those that are not there."""

    cpu: Ints
    memory: Ints
    gpus: Ints


def _costs(shape: Shape, states: _States, demand: _Demand, weights: Floats) -> tuple[NDArray[np.int64], Ints]:
    """Of each state the least loss, and how much was free of the GPU that it takes (of several, of the fullest)."""
    offered = demand.offers[states.gpus].sum(axis=1)
    fed = _fed(states.cpu, states.memory, demand)
    fed_after = _fed(states.cpu - shape.cpu, states.memory - shape.memory_mib, demand)
    before = _usable(offered, fed, demand) @ weights
    if shape.gpus == 1:
        state, free = _choices(states.gpus, shape.gpu_milli)
        offered_after = offered[state] - demand.offers[free] + demand.offers[free - shape.gpu_milli]
        lost = before[state] - _usable(offered_after, fed_after[state], demand) @ weights
        return _least(lost, state, free)
    taken = _take(states.gpus, shape)
    offered_after = demand.offers[states.gpus - taken].sum(axis=1) if shape.gpus else offered
    lost = before - _usable(offered_after, fed_after, demand) @ weights
    return lost.astype(np.int64), np.full(len(lost), -1, np.int32)


def _fed(cpu: Ints, memory: Ints, demand: _Demand) -> Floats:
    """By state and shape: how much CPU and memory can feed; nothing where there is not room for one task."""
    fed = cpu[:, None] * demand.cpu_rate
    fed[:, demand.cpu == 0] = _UNLIMITED
    by_memory = memory[:, None] * demand.memory_rate
    by_memory[:, demand.memory == 0] = _UNLIMITED
    np.minimum(fed, by_memory, out=fed)
    np.floor(fed, out=fed)
    fed *= fed >= demand.milli
    return fed


def _usable(offered: NDArray[np.int64], fed: Floats, demand: _Demand) -> Floats:
    """By state and shape: the thousandths of GPU, or the tasks without GPUs, that there is still use for."""
    free = (offered & (_FIT - 1)).astype(np.float64)
    free[offered < demand.kind_gpus * _FIT] = 0
    free[:, demand.kind_gpus == 0] = _UNLIMITED
    usable = free.take(demand.kind, axis=1)
    return np.minimum(usable, fed, out=usable)


def _choices(gpus: Ints, milli: int) -> tuple[NDArray[np.int64], Ints]:
    """Every way to take a part of one GPU: its state, and how much is free of the GPU. Equal GPUs are one way."""
    fits = gpus >= milli
    fits[:, 1:] &= gpus[:, 1:] != gpus[:, :-1]
    state, column = np.nonzero(fits)
    return state, gpus[state, column]


def _least(lost: Floats, state: NDArray[np.int64], free: Ints) -> tuple[NDArray[np.int64], Ints]:
    """The best way of each state; of equals the one with the fullest GPU. Ways are in the order of states."""
    least = np.minimum.reduceat(lost, _starts(state))
    (best,) = (lost == least[state]).nonzero()
    return least.astype(np.int64), free[best[_starts(state[best])]]


def _starts(ordered: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where each run of equal numbers begins."""
    begins = np.ones(len(ordered), np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=begins[1:])
    return begins.nonzero()[0]


def _take(gpus: Ints, shape: Shape) -> Ints:
    """What several GPUs lose, the fullest that fit first."""
    fits = gpus >= max(shape.gpu_milli, 1)
    return np.where(fits & (np.cumsum(fits, axis=1) <= shape.gpus), shape.gpu_milli, 0).astype(np.int32)
