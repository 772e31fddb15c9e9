"""Several processes that serve one port, so that more than one core works; and the one that starts them.

The kernel shares new connections out among those that listen (SO_REUSEPORT). A worker that dies is started again, after
a pause that grows while it keeps dying; meanwhile the others have its share. Workers end with the process that started
them, however that ends: what they read from it ends then.
"""

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence

log = logging.getLogger(__name__)

PAUSE_SECONDS_MIN = 0.5
PAUSE_SECONDS_MAX = 30.0
# Who lived for so long did not die of how it was started.
WELL_SECONDS = 60.0
STOP_SECONDS = 15.0
READY = b"ready\n"


async def run(listen: str, arguments: Sequence[str], count: int) -> int:
    """Until SIGTERM. The exit code: not 0 if none of the workers ever listened. `arguments` are the program's own."""
    with reserve(listen) as reserved:
        host = listen.rpartition(":")[0]
        command = [sys.executable, *(["-P"] if sys.flags.safe_path else []), "-m", "shoal_registry", *arguments]
        command += ["--listen", f"{host}:{reserved.getsockname()[1]}"]
        return await Workers(command).run(count)


def reserve(listen: str) -> socket.socket:
    """Bound, but not listening: the port, which may have been 0, is this program's from now on."""
    host, _, port = listen.rpartition(":")
    family, kind, protocol, _, address = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)[0]
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    made.bind(address)
    return made


class Workers:
    def __init__(self, command: Sequence[str]) -> None:
        self._command = command
        self._running: set[asyncio.subprocess.Process] = set()
        self._ended = asyncio.Event()
        self._has_listened = False
        self._code = 0

    async def run(self, count: int) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._ended.set)
        keeping = [asyncio.create_task(self._keep(number)) for number in range(count)]
        await self._ended.wait()
        for process in self._running:
            process.terminate()
        _, late = await asyncio.wait(keeping, timeout=STOP_SECONDS)
        for process in self._running:
            process.kill()
        await asyncio.gather(*late)
        return self._code

    async def _keep(self, number: int) -> None:
        """One worker after the other, until the end."""
        pause = PAUSE_SECONDS_MIN
        while not self._ended.is_set():
            began = asyncio.get_running_loop().time()
            code = await self._serve(number)
            if self._ended.is_set():
                return
            if not self._has_listened:
                self._code = code or 1
                self._ended.set()
                return
            lived = asyncio.get_running_loop().time() - began
            pause = PAUSE_SECONDS_MIN if lived >= WELL_SECONDS else pause
            log.error("a worker ended; it is started again number=%d code=%d pause_seconds=%.1f", number, code, pause)
            await self._pause(pause)
            pause = min(2 * pause, PAUSE_SECONDS_MAX)

    async def _serve(self, number: int) -> int:
        """Its exit code."""
        process = await asyncio.create_subprocess_exec(
            *(*self._command, "--worker", str(number)), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        self._running.add(process)
        try:
            if self._ended.is_set():
                process.terminate()
            assert process.stdout is not None
            if await process.stdout.readline() == READY:
                self._has_listened = True
            return await process.wait()
        finally:
            self._running.discard(process)

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._ended.wait()
        except TimeoutError:
            pass


async def report_ready(ended: Callable[[], None]) -> "asyncio.Task[None]":
    """Within a worker that listens. While the task is kept, `ended` is called once who started the worker is gone."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    os.write(sys.stdout.fileno(), READY)

    async def wait() -> None:
        await reader.read()
        ended()

    return asyncio.create_task(wait())
