"""Locks in a folder, by flock: the kernel ends them with the process that held them, however that ended.

A lock's file is there while somebody holds it or waits for it, so that there are never more than those.
"""

import asyncio
import contextlib
import fcntl
import hashlib
import os
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from weakref import WeakValueDictionary

# Between tries for what another process holds: a thread that waited in flock could not be called back.
PAUSE_SECONDS_MIN = 0.001
PAUSE_SECONDS_MAX = 0.02


class FolderLocks:
    """`folder` is there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # Tasks of this process wait in line, so that one of them at a time tries.
        self._lines: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def hold(self, name: str) -> AsyncIterator[None]:
        line = self._lines.setdefault(name, asyncio.Lock())
        # Names may be longer than a file's may.
        path = self._folder / hashlib.sha256(name.encode()).hexdigest()
        async with line:
            file = await _taken(path)
            try:
                yield
            finally:
                await asyncio.shield(asyncio.to_thread(release, path, file))


def take(path: Path, flags: int = os.O_RDWR | os.O_CREAT) -> int | None:
    """The lock's descriptor; None if another holds it."""
    while True:
        file = os.open(path, flags | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The holder before may have removed the file after it was opened here.
            if os.fstat(file).st_ino == path.stat().st_ino:
                return file
        except BlockingIOError:
            os.close(file)
            return None
        except FileNotFoundError:
            pass
        except BaseException:
            os.close(file)
            raise
        os.close(file)


def release(path: Path, file: int) -> None:
    path.unlink(missing_ok=True)
    os.close(file)


async def _taken(path: Path) -> int:
    pause = PAUSE_SECONDS_MIN
    while True:
        taking = asyncio.ensure_future(asyncio.to_thread(take, path))
        try:
            file = await asyncio.shield(taking)
        except asyncio.CancelledError:
            # The thread goes on, and may take what nobody waits for any more.
            taking.add_done_callback(lambda taken: _give_back(path, taken))
            raise
        if file is not None:
            return file
        await asyncio.sleep(pause * random.uniform(0.5, 1))
        pause = min(pause * 1.5, PAUSE_SECONDS_MAX)


def _give_back(path: Path, taken: "asyncio.Future[int | None]") -> None:
    with contextlib.suppress(OSError):
        if not taken.cancelled() and (file := taken.result()) is not None:
            release(path, file)
