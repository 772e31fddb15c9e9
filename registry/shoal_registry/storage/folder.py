"""A folder as the store: files appear by an atomic rename, after their bytes are on the disk.

    locks/             what is held at the moment: see `flocks`
    temporary/<own>/   what one process is writing; removed by it, or by the next that starts after a kill
    …                  the rest is in `paths`

Several processes may run on one folder. All of it happens in threads: no disk makes the loop wait.
"""

import asyncio
import contextlib
import itertools
import os
import secrets
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path, PurePosixPath

from shoal_registry.ranges import Span
from shoal_registry.storage.flocks import FolderLocks, take

PIECE_BYTES = 512 * 1024
# The kernel takes memory for what is written in blocks as large as the write. A virtual machine may have given large
# free blocks back to its host: then 256 MiB take 0.65 s by writes of 1 MiB, 0.08 s by these.
BLOCK_BYTES = 32 * 1024


class FolderStore:
    def __init__(self, root: Path) -> None:
        self._root = root
        self._numbers = itertools.count()
        _make_folder(root / "locks")
        _make_folder(root / "temporary")
        self._locks = FolderLocks(root / "locks")
        _remove_leftovers(root / "temporary")
        self._temporary, self._own = _make_own(root / "temporary")

    def close(self) -> None:
        shutil.rmtree(self._temporary, ignore_errors=True)
        os.close(self._own)

    def lock(self, name: str) -> AbstractAsyncContextManager[None]:
        return self._locks.hold(name)

    async def size(self, path: PurePosixPath) -> int | None:
        return await asyncio.to_thread(_size, f"{self._root}/{path}")

    async def read(self, path: PurePosixPath) -> bytes | None:
        return await asyncio.to_thread(_read, f"{self._root}/{path}")

    async def stream(self, path: PurePosixPath, span: Span) -> AsyncIterator[bytes]:
        file = await asyncio.to_thread(os.open, self._root / path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            position, end = span.start, span.start + span.length
            while position < end:
                piece = await asyncio.to_thread(os.pread, file, min(PIECE_BYTES, end - position), position)
                if not piece:
                    raise EOFError(f"{path} ends at {position}, before {end}")
                position += len(piece)
                yield piece
        finally:
            os.close(file)

    async def put(self, path: PurePosixPath, content: bytes, durable: bool = True) -> None:
        await asyncio.to_thread(self._put, self._root / path, content, durable)

    async def delete(self, path: PurePosixPath) -> bool:
        return await asyncio.to_thread(_delete, self._root / path)

    async def names(self, path: PurePosixPath) -> Sequence[str]:
        return await asyncio.to_thread(_names, self._root / path)

    async def append(self, path: PurePosixPath, offset: int, piece: bytes | bytearray) -> None:
        await asyncio.to_thread(_append, self._root / path, offset, piece)

    async def flush(self, path: PurePosixPath) -> None:
        """There is nothing to do: the kernel shows every process what one of them wrote."""

    async def truncate(self, path: PurePosixPath, size: int) -> None:
        await asyncio.to_thread(os.truncate, self._root / path, size)

    async def adopt(self, source: PurePosixPath, target: PurePosixPath) -> None:
        await asyncio.to_thread(_adopt, self._root / source, self._root / target)

    async def remove(self, path: PurePosixPath) -> None:
        await asyncio.to_thread(shutil.rmtree, self._root / path, ignore_errors=True)

    async def changed(self, path: PurePosixPath) -> float:
        return await asyncio.to_thread(_changed, self._root / path)

    def _put(self, path: Path, content: bytes, durable: bool) -> None:
        beside = self._temporary / str(next(self._numbers))
        try:
            beside.write_bytes(content)
            if durable:
                _adopt(beside, path)
            else:
                _make_folder(path.parent)
                beside.replace(path)
        except OSError:
            beside.unlink(missing_ok=True)
            raise


def _make_own(parent: Path) -> tuple[Path, int]:
    """A folder that nobody removes while the descriptor is open."""
    while True:
        made = parent / secrets.token_hex(8)
        made.mkdir(mode=0o700)
        with contextlib.suppress(FileNotFoundError):
            if (own := take(made, os.O_RDONLY)) is not None:
                return made, own


def _remove_leftovers(parent: Path) -> None:
    """Of processes that were killed."""
    for each in parent.iterdir():
        with contextlib.suppress(FileNotFoundError):
            if (own := take(each, os.O_RDONLY)) is not None:
                shutil.rmtree(each, ignore_errors=True)
                os.close(own)


# These two are what every pull asks for many times: a Path costs more than the system's own answer.


def _size(path: str) -> int | None:
    try:
        return os.stat(path).st_size  # noqa: PTH116
    except FileNotFoundError:
        return None


def _read(path: str) -> bytes | None:
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    with open(file, "rb", buffering=0) as opened:  # noqa: PTH123
        return opened.readall()


def _delete(path: Path) -> bool:
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    _sync(path.parent)
    return True


def _names(path: Path) -> Sequence[str]:
    try:
        return sorted(os.listdir(path))  # noqa: PTH208  names, not paths: a repository may have 100,000 tags
    except FileNotFoundError:
        return []


def _append(path: Path, offset: int, piece: bytes | bytearray) -> None:
    _make_folder(path.parent)
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        view, position = memoryview(piece), offset
        while view:
            written = os.pwrite(file, view[: BLOCK_BYTES - position % BLOCK_BYTES], position)
            view, position = view[written:], position + written
        # The disk begins at once, so that there is little left to wait for when the file is adopted; but not with a
        # block of which the rest is still to come: that would wait for the disk.
        begin, end = offset // BLOCK_BYTES * BLOCK_BYTES, position // BLOCK_BYTES * BLOCK_BYTES
        if begin < end:
            os.posix_fadvise(file, begin, end - begin, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(file)


def _adopt(source: Path, target: Path) -> None:
    _sync(source)
    _make_folder(target.parent)
    source.replace(target)
    _sync(target.parent)


def _changed(path: Path) -> float:
    times = [path.stat().st_mtime]
    for each in path.iterdir() if path.is_dir() else ():
        with contextlib.suppress(FileNotFoundError):
            times.append(each.stat().st_mtime)
    return max(times)


def _make_folder(path: Path) -> None:
    """With those above it, each of them there after a power cut as well."""
    if path.is_dir():
        return
    _make_folder(path.parent)
    path.mkdir(mode=0o700, exist_ok=True)
    _sync(path.parent)


def _sync(path: Path) -> None:
    """A file's bytes, or a folder's names, are on the disk."""
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)
