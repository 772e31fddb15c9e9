"""Several registries on one store, in virtual time; each can be killed at any moment, and another takes its place."""

import asyncio
import hashlib
import inspect
import random
from collections.abc import AsyncIterator, Awaitable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from shoal_registry.garbage import Collector
from shoal_registry.links import Links
from shoal_registry.names import Digest, UploadId
from shoal_registry.repositories import Repositories
from shoal_registry.uploads import Uploads

from tests.registry.interleavings.checks import Checks
from tests.registry.interleavings.memory import MemoryStore
from tests.simulation.ring2.loop import Process, VirtualLoop

GRACE_SECONDS = 1_000.0
# Clocks of two of them differ by no more than twice that, which is the margin.
SKEW_SECONDS = GRACE_SECONDS / 8
EPOCH_SECONDS = 1_893_456_000.0

T = TypeVar("T")


class GoneError(Exception):
    """The registry that was asked died, and never answered."""


class Instance:
    """One process of the registry."""

    def __init__(self, world: "World", number: int) -> None:
        self.world = world
        self.process = Process(f"registry {number}", world.chance.uniform(-SKEW_SECONDS, SKEW_SECONDS))
        store = world.store
        links = Links(store, GRACE_SECONDS, self.now)
        self.repositories = Repositories(store, links)
        self.uploads = Uploads(store, self.repositories, world.new_upload)
        self.collector = Collector(store, self.repositories, GRACE_SECONDS, self.now)
        self._waiting: dict[asyncio.Future[Any], Coroutine[Any, Any, Any]] = {}
        self.process.on_death.append(self._leave)

    def now(self) -> float:
        return EPOCH_SECONDS + self.world.loop.now + self.process.skew_seconds

    async def ask(self, work: Coroutine[Any, Any, T]) -> T:
        """Raises what it raises, GoneError if the process dies before it answers."""
        if self.process.killed:
            work.close()
            raise GoneError
        answer = self.world.loop.create_future()
        self._waiting[answer] = work
        self.world.loop.start(self.process, self._answer(work, answer))
        try:
            result: T = await answer
            return result
        finally:
            self._waiting.pop(answer, None)

    async def _answer(self, work: Awaitable[object], answer: "asyncio.Future[object]") -> None:
        try:
            result = await work
        except Exception as error:
            if not answer.done():
                answer.set_exception(error)
        else:
            if not answer.done():
                answer.set_result(result)

    def _leave(self) -> None:
        self.world.store.end(self.process)
        for answer, work in self._waiting.items():
            if inspect.getcoroutinestate(work) == inspect.CORO_CREATED:
                work.close()
            if not answer.done():
                answer.set_exception(GoneError())


class World:
    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.loop = VirtualLoop()
        self.clients = Process("clients")
        self.checks = Checks(lambda: self.loop.now)
        self.store = MemoryStore(self.loop, self.chance, self.checks.written)
        self.checks.files = self.store.files
        self._made = 0
        self._all: list[Instance] = []
        self.instances: list[Instance] = [self._start() for _ in range(self.chance.choice((1, 2, 2, 3)))]

    @property
    def instance(self) -> Instance:
        """Any of those that live."""
        return self.chance.choice(self.instances)

    def crash(self, instance: Instance) -> None:
        """kill -9, and another is started."""
        instance.process.kill()
        if instance in self.instances:
            self.instances[self.instances.index(instance)] = self._start()

    def new_upload(self) -> UploadId:
        text = hashlib.md5(self.chance.randbytes(16), usedforsecurity=False).hexdigest()
        return UploadId(f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}")

    def close(self) -> None:
        """What is still under way is dropped."""
        self.loop.over = True
        for process in (self.clients, *(each.process for each in self._all)):
            process.killed = True
            for task in process.tasks:
                if not task.done():
                    task._log_destroy_pending = False  # type: ignore[attr-defined]
                    with suppress(BaseException):
                        task.get_coro().close()
            process.tasks.clear()
        self.loop.close()

    def _start(self) -> Instance:
        self._made += 1
        self._all.append(Instance(self, self._made))
        return self._all[-1]


async def whole(stream: AsyncIterator[bytes]) -> bytes:
    return b"".join([piece async for piece in stream])


async def once(content: bytes) -> AsyncIterator[bytes]:
    for piece in (content[:3], content[3:]):
        if piece:
            yield piece


def is_of(content: bytes, digest: Digest) -> bool:
    return Digest.of(content, digest.algorithm) == digest
