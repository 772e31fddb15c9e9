"""The host's log store: what containers wrote, kept beyond their removal.

While a container is there, the engine's own bounded files are its log: nothing is copied, a silent container costs
nothing, one that writes at full speed costs the engine's rotation, and an agent that was away has missed nothing.
When it has ended, what the engine holds is copied here as it came over the wire, compressed; only then may the
container be removed. Whoever reads gets the same lines, at the same places (position.py), from either.

    logs/<task>.<container>     512 bytes of JSON, then a zlib stream of what lines.py reads

A file appears whole, by renaming, or not at all: a copy that a crash cut short is made again from the container.
The oldest files go when all have more than `host_bytes`, or are older than `keep_seconds`.
"""

import asyncio
import json
import logging
import os
import re
import time
import zlib
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

from shoal_agent.engine.lines import LineReader
from shoal_agent.engine.port import (
    ContainerGone,
    Engine,
    EngineError,
    EngineFault,
    EngineTimeout,
    EngineUnavailable,
    LogLine,
)
from shoal_agent.logs.loss import Held, Measure, missing_at_the_beginning
from shoal_agent.slots import Slots

log = logging.getLogger(__name__)

HEADER_BYTES = 512
PIECE_BYTES = 256 * 1024
COPIES_AT_ONCE = 2
TIDY_SECONDS = 600.0

# What the smallest file takes of a disk.
_BLOCK_BYTES = 4096
_NAME = re.compile(r"[A-Za-z0-9_-]{1,255}\.[A-Za-z0-9_-]{1,255}")


@dataclass(frozen=True, slots=True)
class Kept:
    """One container's output in the store. Times as in Inspected."""

    path: Path
    tty: bool
    held: Held
    started_at: int | None
    bytes_max: int | None

    @property
    def missing(self) -> LogLine | None:
        return missing_at_the_beginning(self.held, self.started_at, self.bytes_max)


class LogStore:
    """Needs a folder of its own, which it makes. Raises OSError if it cannot."""

    def __init__(self, folder: Path, host_bytes: int, keep_seconds: float) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder = folder
        self._host_bytes = host_bytes
        self._keep_seconds = keep_seconds
        self._copies = Slots(COPIES_AT_ONCE, patience_seconds=3600.0)
        self._under_way: dict[str, asyncio.Task[None]] = {}
        self._sizes = _found(folder)  # the oldest first

    @property
    def size_bytes(self) -> int:
        return sum(self._sizes.values())

    async def keep(self, engine: Engine, task_id: str, container: str, handle: str) -> None:
        """Returns when the output of an ended container is here, or cannot be had. Raises EngineUnavailable and
        EngineTimeout: what the engine may still have is not given up."""
        name = f"{task_id}.{container}"
        if name in self._sizes or not _NAME.fullmatch(name):
            return
        copy = self._under_way.get(name)
        if copy is None:
            copy = self._under_way[name] = asyncio.create_task(self._keep(engine, name, handle))
            copy.add_done_callback(lambda _: self._under_way.pop(name, None))
        await asyncio.shield(copy)

    def keep_soon(self, engine: Engine, task_id: str, container: str, handle: str) -> None:
        """As `keep`, in the background: if it fails, it is tried again before the container is removed."""
        asyncio.ensure_future(self.keep(engine, task_id, container, handle)).add_done_callback(_unheard)

    def find(self, task_id: str, container: str) -> Kept | None:
        name = f"{task_id}.{container}"
        return _header(self._folder / name) if name in self._sizes else None

    def containers(self, task_id: str) -> list[str]:
        """Those of a task whose output is here."""
        return [name.partition(".")[2] for name in self._sizes if name.startswith(f"{task_id}.")]

    async def lines(
        self, kept: Kept, since: float | None = None, tail: int | None = None
    ) -> AsyncGenerator[LogLine, None]:
        """`since` in seconds since the epoch. Raises OSError if the file is damaged or gone."""
        last: deque[LogLine] = deque(maxlen=tail)
        async for line in _read(kept):
            if since is not None and line.moment < since * 1e9:
                continue
            if tail is None:
                yield line
            else:
                last.append(line)
        for line in last:
            yield line

    async def run(self) -> None:
        """For ever: what is too old goes, also when nothing new comes."""
        while True:
            self._tidy(time.time())
            await asyncio.sleep(TIDY_SECONDS)

    async def close(self) -> None:
        for copy in list(self._under_way.values()):
            copy.cancel()
        await asyncio.gather(*self._under_way.values(), return_exceptions=True)

    async def _keep(self, engine: Engine, name: str, handle: str) -> None:
        beside = self._folder / f"{name}.new"
        try:
            async with self._copies.one():
                await _copy(engine, handle, beside)
            beside.rename(self._folder / name)
            self._sizes[name] = _blocks(self._folder / name)
            self._tidy(time.time())
        except (EngineUnavailable, EngineTimeout):
            raise
        except ContainerGone:
            log.info("output lost log=%s reason=its container is gone", name)
        except EngineFault as fault:  # a log driver that sends it elsewhere and keeps nothing
            log.info("output not kept log=%s reason=%s", name, fault)
        except (EngineError, OSError) as error:
            log.warning("output not kept log=%s error=%s", name, error)
        finally:
            beside.unlink(missing_ok=True)

    def _tidy(self, now: float) -> None:
        """`now` in seconds since the epoch."""
        size_bytes = self.size_bytes
        for name, own_bytes in list(self._sizes.items()):
            path = self._folder / name
            if size_bytes <= self._host_bytes and not _older_than(path, now - self._keep_seconds):
                return
            with suppress(OSError):
                path.unlink(missing_ok=True)
            del self._sizes[name]
            size_bytes -= own_bytes


async def _copy(engine: Engine, handle: str, target: Path) -> None:
    """Bytes go through as they come, in pieces: nothing is parsed, and compressing waits in another thread."""
    found = await engine.inspect(handle)
    measure, deflate, waiting = Measure(), zlib.compressobj(1), bytearray()
    with target.open("wb") as file:
        file.seek(HEADER_BYTES)
        async with aclosing(engine.log_bytes(handle)) as chunks:
            async for chunk in chunks:
                measure.feed(chunk)
                waiting += chunk
                if len(waiting) >= PIECE_BYTES:
                    piece, waiting = bytes(waiting), bytearray()
                    await asyncio.to_thread(_write, file, deflate, piece)
        file.write(deflate.compress(bytes(waiting)) + deflate.flush())
        header = {
            "tty": found.tty,
            "startedAt": found.started_at,
            "bytesMax": found.log_bytes_max,
            "held": asdict(measure.held),
        }
        file.seek(0)
        file.write(json.dumps(header).encode().ljust(HEADER_BYTES))


async def _read(kept: Kept) -> AsyncGenerator[LogLine, None]:
    """A piece at a time: a line that was compressed well must not become a hundred megabytes at once."""
    reader, inflate = LineReader(kept.tty), zlib.decompressobj()
    with kept.path.open("rb") as file:
        file.seek(HEADER_BYTES)
        while not inflate.eof:
            raw = inflate.unconsumed_tail or await asyncio.to_thread(file.read, PIECE_BYTES // 8)
            if not raw:
                raise OSError("it is not complete")
            for line in reader.feed(_inflated(inflate, raw)):
                yield line
    for line in reader.flush():
        yield line


def _write(file: BinaryIO, deflate: "zlib._Compress", piece: bytes) -> None:
    file.write(deflate.compress(piece))


def _inflated(inflate: "zlib._Decompress", raw: bytes) -> bytes:
    try:
        return inflate.decompress(raw, PIECE_BYTES)
    except zlib.error as error:
        raise OSError(f"the file is damaged: {error}") from None


def _header(path: Path) -> Kept | None:
    try:
        with path.open("rb") as file:
            header = json.loads(file.read(HEADER_BYTES))
        return Kept(path, header["tty"], Held(**header["held"]), header["startedAt"], header["bytesMax"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("kept output cannot be read path=%s error=%s", path, error)
        return None


def _found(folder: Path) -> dict[str, int]:
    """The store's files, the oldest first; what a crash left half made is removed."""
    entries = []
    for entry in os.scandir(folder):
        if entry.name.endswith(".new"):
            Path(entry.path).unlink(missing_ok=True)
        elif _NAME.fullmatch(entry.name):
            entries.append((entry.stat().st_mtime, entry.name))
    return {name: _blocks(folder / name) for _, name in sorted(entries)}


def _blocks(path: Path) -> int:
    return -(-path.stat().st_size // _BLOCK_BYTES) * _BLOCK_BYTES


def _older_than(path: Path, moment: float) -> bool:
    try:
        return path.stat().st_mtime < moment
    except OSError:
        return True


def _unheard(copy: "asyncio.Future[None]") -> None:
    if not copy.cancelled() and (error := copy.exception()) is not None:
        log.info("output not kept yet reason=%s", error)
