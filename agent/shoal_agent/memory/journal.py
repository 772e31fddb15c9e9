"""The agent's memory on disk: an append-only file, synced before anything that depends on it is done.

One thread writes. It takes all entries that wait, writes and syncs them together, and tells their writers: many
tasks at once share one sync, and the event loop never waits for a disk. A file grown well beyond what it says is
rewritten beside itself and renamed. What memory this is and how damage is met: record.py.
"""

import asyncio
import fcntl
import logging
import os
import queue
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from shoal_agent.memory.record import Entry, Memory, line, read

log = logging.getLogger(__name__)

SIZE_BYTES_MAX = 1024 * 1024


class JournalFault(OSError):  # noqa: N818 - reads as what it says
    """The entries are not on disk; nothing that depends on them may be done."""


class StateInUse(OSError):  # noqa: N818 - reads as what it says
    """Another agent works with this state folder."""


@dataclass(frozen=True, slots=True)
class _Work:
    entries: tuple[Entry, ...]
    done: asyncio.Future[None]


class Journal:
    """Open it once per process; `memory` is what the file said then and grows with what is appended."""

    def __init__(self, folder: Path) -> None:
        """Raises StateInUse, or OSError if the folder cannot be written."""
        self._file = JournalFile(folder)
        self._waiting: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write_all, name="journal", daemon=True)
        self._thread.start()

    @property
    def memory(self) -> Memory:
        return self._file.memory

    async def append(self, *entries: Entry) -> None:
        """Returns when all `entries` are on disk. Raises JournalFault if they are not."""
        done = asyncio.get_running_loop().create_future()
        self._waiting.put(_Work(entries, done))
        await done

    def close(self) -> None:
        """Writes what waits, then lets the folder go."""
        self._waiting.put(None)
        self._thread.join()
        self._file.close()

    def _write_all(self) -> None:
        while True:
            batch = [self._waiting.get()]
            while not self._waiting.empty():
                batch.append(self._waiting.get())
            works = [work for work in batch if work is not None]
            fault = self._file.write([entry for work in works for entry in work.entries]) if works else None
            for work in works:
                _tell(work.done, fault)
            if None in batch:
                return


class JournalFile:
    """The file alone: whoever writes waits for the disk."""

    def __init__(self, folder: Path) -> None:
        """As Journal."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder = folder
        self._lock = _lock(folder / "lock")
        self._path = folder / "journal"
        content = self._path.read_bytes() if self._path.exists() else b""
        self.memory, damaged = read(content)
        if damaged:
            log.warning("journal damaged lines=%d tasks=%d", damaged, len(self.memory.tasks))
        self._file = self._rewritten()

    def close(self) -> None:
        os.close(self._file)
        os.close(self._lock)

    def write(self, entries: Sequence[Entry]) -> OSError | None:
        """All of them are on disk, or none and the fault is returned."""
        end = os.fstat(self._file).st_size
        try:
            _write_synced(self._file, b"".join(map(line, entries)))
        except OSError as error:
            log.error("journal not written error=%s", error)
            _cut(self._file, end)
            return error
        for entry in entries:
            self.memory.apply(entry)
        if end > max(SIZE_BYTES_MAX, 4 * self._rewritten_bytes):
            self._compact(end)
        return None

    def _compact(self, size_bytes: int) -> None:
        try:
            before, self._file = self._file, self._rewritten()
            os.close(before)
        except OSError as error:  # the long file is as good
            log.warning("journal not compacted size_bytes=%d error=%s", size_bytes, error)

    def _rewritten(self) -> int:
        """Writes the memory as a new file in place of the old one; returns it, open for appending."""
        beside = self._folder / "journal.new"
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC
        file = os.open(beside, flags, 0o600)
        try:
            _write_synced(file, b"".join(map(line, self.memory.entries())))
            beside.rename(self._path)
            folder = os.open(self._folder, os.O_RDONLY)
            os.fsync(folder)
            os.close(folder)
            self._rewritten_bytes = os.fstat(file).st_size
        except OSError:
            os.close(file)
            raise
        return file


def _lock(path: Path) -> int:
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        raise StateInUse(f"another agent works in {path.parent}; give this one a folder of its own") from None
    return file


def _write_synced(file: int, content: bytes) -> None:
    written = 0
    while written < len(content):
        written += os.write(file, content[written:])
    os.fdatasync(file)


def _cut(file: int, size_bytes: int) -> None:
    """Takes back half a write; if even that fails, the checksum of the torn line is what saves us."""
    try:
        os.ftruncate(file, size_bytes)
    except OSError as error:
        log.error("journal not cut error=%s", error)


def _tell(done: asyncio.Future[None], fault: OSError | None) -> None:
    def settle() -> None:
        if done.done():
            return
        if fault is None:
            done.set_result(None)
        else:
            done.set_exception(JournalFault(*fault.args))

    try:
        done.get_loop().call_soon_threadsafe(settle)
    except RuntimeError:  # the loop has ended; nobody waits any more
        log.debug("journal outlived its loop")
