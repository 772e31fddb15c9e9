"""Processes of a benchmark beside its own: each is told what to do by lines of JSON and answers each with a line.

The program that is measured shares the machine with them, so they do little: collections of garbage are rare and
the event loop is the fast one.
"""

import asyncio
import contextlib
import gc
import json
import resource
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Any

import uvloop

LINE_BYTES_MAX = 64 * 1024 * 1024
GARBAGE_THRESHOLD = 100_000

Command = Callable[..., Awaitable[Any]]


def run(main: Coroutine[Any, Any, None]) -> None:
    """As a process of the benchmark: one that may have thousands of connections."""
    raise_file_limit()
    gc.set_threshold(GARBAGE_THRESHOLD)
    uvloop.run(main)


def raise_file_limit() -> None:
    """To what the system lets a process have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def obey(commands: Mapping[str, Command]) -> None:
    """Until whoever started this process goes."""
    reader = asyncio.StreamReader(LINE_BYTES_MAX)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async for line in reader:
        request = json.loads(line)
        answer = await commands[request.pop("do")](**request)
        print(json.dumps(answer), flush=True)


class Worker:
    """One such process, seen from the benchmark."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._turn = asyncio.Lock()

    @property
    def pid(self) -> int:
        return self._process.pid

    async def ask(self, do: str, **arguments: Any) -> Any:
        assert self._process.stdin is not None and self._process.stdout is not None
        async with self._turn:
            self._process.stdin.write(json.dumps({"do": do, **arguments}).encode() + b"\n")
            line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError("a process of the benchmark ended: what it said is above")
        return json.loads(line)


@asynccontextmanager
async def worker(module: str, *arguments: str) -> AsyncIterator[Worker]:
    """`python -m module`, which runs `obey`. It is killed in the end: it has nothing to tidy up."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, *arguments, stdin=pipe, stdout=pipe, limit=LINE_BYTES_MAX
    )
    try:
        yield Worker(process)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
