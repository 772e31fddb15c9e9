"""A store in memory: each operation takes a while before and after it happens, of which chance says how long.

Whatever is under way at the same time thereby happens in every order. What one operation does happens at once, but
`adopt` and `remove` do theirs step by step, as stores may. Like a folder it keeps folders that are empty, or like S3
it does not: by chance, too.
"""

import asyncio
import random
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath

from shoal_registry.ranges import Span

from tests.simulation.ring2.loop import CURRENT, Process, VirtualLoop

PAUSE_SECONDS = 0.01
LONG_PAUSE_SECONDS = 0.5
LONG_PAUSES = 0.03
LATE_ANSWERS = 0.1


@dataclass(eq=False, slots=True)
class File:
    content: bytes
    written_at: float


@dataclass(slots=True)
class Ambush:
    """`act` is called at the operation of that number on a path that has `part`."""

    part: str
    number: int
    act: Callable[[], None]


class MemoryStore:
    """`told` hears of each write after it happened: the path, and what is there now."""

    def __init__(self, loop: VirtualLoop, chance: random.Random, told: Callable[[PurePosixPath, bytes | None], None]):
        self.files: dict[PurePosixPath, File] = {}
        self.operations = 0
        self.ambushes: list[Ambush] = []
        self._loop = loop
        self._chance = chance
        self._told = told
        self._folders: defaultdict[PurePosixPath, set[str]] = defaultdict(set)
        self._keeps_folders = chance.random() < 0.5
        self._holders: dict[str, Process | None] = {}
        self._lines: defaultdict[str, deque[tuple[Process | None, asyncio.Future[None]]]] = defaultdict(deque)

    # Operations

    async def size(self, path: PurePosixPath) -> int | None:
        content = await self.read(path)
        return None if content is None else len(content)

    async def read(self, path: PurePosixPath) -> bytes | None:
        await self._pause(path)
        file = self.files.get(path)
        await self._answer()
        return None if file is None else file.content

    async def stream(self, path: PurePosixPath, span: Span) -> AsyncIterator[bytes]:
        """In two pieces, each of which has to be there when its turn comes."""
        half = span.length // 2
        for start, length in ((span.start, half), (span.start + half, span.length - half)):
            content = await self.read(path)
            if content is None:
                raise FileNotFoundError(path)
            if len(content) < start + length:
                raise EOFError(path)
            yield content[start : start + length]

    async def put(self, path: PurePosixPath, content: bytes, durable: bool = True) -> None:
        await self._pause(path)
        self._write(path, content)
        await self._answer()

    async def delete(self, path: PurePosixPath) -> bool:
        await self._pause(path)
        was_there = self._remove(path)
        await self._answer()
        return was_there

    async def names(self, path: PurePosixPath) -> Sequence[str]:
        await self._pause(path)
        found = sorted(self._folders.get(path, ()))
        await self._answer()
        return found

    async def append(self, path: PurePosixPath, offset: int, piece: bytes | bytearray) -> None:
        await self._pause(path)
        before = self.files[path].content if path in self.files else b""
        assert len(before) >= offset, "a hole in an upload"
        self._write(path, before[:offset] + piece)
        await self._answer()

    async def flush(self, path: PurePosixPath) -> None:
        await self._pause(path)

    async def truncate(self, path: PurePosixPath, size: int) -> None:
        await self._pause(path)
        self._write(path, self.files[path].content[:size])
        await self._answer()

    async def adopt(self, source: PurePosixPath, target: PurePosixPath) -> None:
        await self._pause(target)
        if source not in self.files:
            raise FileNotFoundError(source)
        self._write(target, self.files[source].content)
        await self._pause()
        self._remove(source)

    async def remove(self, path: PurePosixPath) -> None:
        await self._pause(path)
        for each in sorted(file for file in self.files if path in file.parents):
            self._remove(each)
            await self._pause()
        self._forget(path)

    async def changed(self, path: PurePosixPath) -> float:
        await self._pause(path)
        times = [file.written_at for each, file in self.files.items() if path in (each, each.parent)]
        if not times:
            raise FileNotFoundError(path)
        return max(times)

    @asynccontextmanager
    async def lock(self, name: str) -> AsyncIterator[None]:
        await self._pause()
        process = CURRENT.get()
        if name in self._holders:
            turn = self._loop.create_future()
            self._lines[name].append((process, turn))
            await self._wait(name, turn)
        else:
            self._holders[name] = process
        try:
            yield
        finally:
            self._pass_on(name)

    # What happens to it

    def end(self, process: Process) -> None:
        """It was killed: what it held ends, and what it waited for."""
        for name, line in self._lines.items():
            self._lines[name] = deque(each for each in line if each[0] is not process)
        for name in [name for name, holder in self._holders.items() if holder is process]:
            self._pass_on(name)

    def plant(self, path: PurePosixPath, content: bytes | None) -> None:
        """At once, and nobody is told."""
        if content is not None:
            self.files[path] = File(content, self._loop.now)
        else:
            del self.files[path]
            self._folders[path.parent].discard(path.name)

    async def _wait(self, name: str, turn: "asyncio.Future[None]") -> None:
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():
                self._pass_on(name)
            raise

    def _pass_on(self, name: str) -> None:
        line = self._lines[name]
        while line and line[0][1].done():
            line.popleft()
        if not line:
            self._holders.pop(name, None)
            return
        self._holders[name], turn = line.popleft()
        turn.set_result(None)

    def _write(self, path: PurePosixPath, content: bytes) -> None:
        self.files[path] = File(content, self._loop.now)
        for each in (path, *path.parents[:-1]):
            self._folders[each.parent].add(each.name)
        self._told(path, content)

    def _remove(self, path: PurePosixPath) -> bool:
        if self.files.pop(path, None) is None:
            return False
        self._folders[path.parent].discard(path.name)
        if not self._keeps_folders:
            self._forget(path.parent)
        self._told(path, None)
        return True

    def _forget(self, folder: PurePosixPath) -> None:
        """And those above it that are empty then."""
        while folder.name and not self._folders.get(folder):
            self._folders.pop(folder, None)
            self._folders[folder.parent].discard(folder.name)
            if self._keeps_folders:
                return
            folder = folder.parent

    def _spring(self, path: PurePosixPath) -> None:
        for each in [each for each in self.ambushes if each.part in path.parts]:
            each.number -= 1
            if each.number < 0:
                self.ambushes.remove(each)
                each.act()

    async def _answer(self) -> None:
        """It is on its way for a while, in which its asker may die."""
        if self._chance.random() < LATE_ANSWERS:
            await self._pause()

    async def _pause(self, path: PurePosixPath | None = None) -> None:
        if self._loop.over:
            raise OSError("all is over")
        self.operations += 1
        if path and self.ambushes:
            self._spring(path)
        is_long = self._chance.random() < LONG_PAUSES
        await asyncio.sleep(self._chance.expovariate(1 / (LONG_PAUSE_SECONDS if is_long else PAUSE_SECONDS)))
