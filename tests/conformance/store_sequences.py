"""Random sequences of what leaders, old and new, do to the store, made from a seed; the answers compare.

Each leader keeps what it knows. Of a commit the request or the answer may be lost: then it is settled, and a request
that was lost may arrive after that.
"""

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal

from shoal_scheduler.state import keys
from shoal_scheduler.state.store import Deposed, KeyRange, NotStored, Store, Write, prefix_range

NAMES = tuple(f"{keys.ROOT}c/o/{name}".encode() for name in ("a", "b", "c/1", "c/2", "d"))
Loss = Literal["", "request", "answer", "request, which comes late", "answer, twice"]
LOSSES: tuple[Loss, ...] = ("", "request", "answer", "request, which comes late", "answer, twice")


@dataclass(frozen=True, slots=True)
class Elect:
    """A new leader, which reads all there is."""


@dataclass(frozen=True, slots=True)
class Commit:
    """`leader`: 0 is the newest, 1 the one before."""

    leader: int
    write: Write
    loss: Loss


@dataclass(frozen=True, slots=True)
class Load:
    leader: int


Call = Elect | Commit | Load


def sequence(seed: int) -> list[Call]:
    chance = random.Random(seed)
    calls: list[Call] = [Elect()]
    for number in range(chance.randint(3, 9)):
        match chance.choices(("elect", "load", "commit"), (1, 1, 6))[0]:
            case "elect":
                calls.append(Elect())
            case "load":
                calls.append(Load(chance.choice((0, 0, 1, 2))))
            case _:
                loss = chance.choices(LOSSES, (8, 1, 1, 1, 1))[0]
                calls.append(Commit(chance.choice((0, 0, 0, 0, 1, 2)), _write(chance, f"{seed}-{number}"), loss))
    return calls


def _write(chance: random.Random, step: str) -> Write:
    names = chance.sample(NAMES, k=chance.randint(0, len(NAMES)))
    gone: list[bytes | KeyRange] = [*names[3:]]
    puts = {name: chance.choice((b"", b"x", b"y")) for name in names[:3]}
    if not any(name.startswith(NAMES[2][:-1]) for name in names) and chance.random() < 0.4:
        gone.append(prefix_range(NAMES[2][:-1]))
    if chance.random() < 0.02:  # more than fit into one transaction without nesting
        puts |= {f"{keys.ROOT}c/o/n{number:03d}".encode(): b"n" for number in range(chance.choice((127, 128, 250)))}
    return Write(step, puts, gone)


class Play:
    """`elect` gives the store of a new leader, which has not read anything."""

    def __init__(self, elect: Callable[[], Awaitable[Store]]) -> None:
        self._elect = elect
        self._leaders: list[Any] = []

    async def answers(self, calls: list[Call]) -> list[Any]:
        return [(call, await self._one(call)) for call in calls]

    async def _one(self, call: Call) -> Any:
        match call:
            case Elect():
                self._leaders.insert(0, await self._elect())
                return await self._records(0)
            case Load(leader):
                return await self._records(leader)
            case Commit(leader, write, loss):
                if leader >= len(self._leaders):
                    return None
                return await self._commit(self._leaders[leader], write, loss)

    async def _records(self, leader: int) -> Any:
        """With the order in which they were written in place of revisions: an election costs some."""
        if leader >= len(self._leaders):
            return None
        found = [record async for record in self._leaders[leader].load()]
        order = sorted({record.mod_revision for record in found})
        return [(record.key, record.value, order.index(record.mod_revision)) for record in found]

    async def _commit(self, store: Any, write: Write, loss: Loss) -> Any:
        guard, said = store._step_revision, []
        if not loss or loss.startswith("answer"):
            said.append(await _outcome(store.commit(write)))
        if not loss or said == ["Deposed"]:
            return said
        store._step_revision = guard
        said.append(await _outcome(store.settle(write)))
        if loss == "answer, twice":
            store._step_revision = guard
            said.append(await _outcome(store.settle(write)))
        if loss == "request, which comes late":
            known, store._step_revision = store._step_revision, guard
            said.append(await _outcome(store.commit(write)))
            store._step_revision = known
        return said


async def _outcome(work: Awaitable[int | None]) -> str:
    try:
        return "not stored" if await work is None else "stored"
    except (Deposed, NotStored) as error:
        return type(error).__name__
