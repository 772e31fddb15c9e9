"""A command that the Docker Engine executes: its streams, its terminal, its end.

The engine ends no command when its streams are closed, and its API has no call to signal one. So signals are sent to
the processes themselves: by this host's kernel, or, where this user may not, by `kill` in the container. An engine on
another host shows no processes here; there, a command that ignores the end of its input goes on.
"""

import asyncio
import base64
import logging
from collections.abc import Awaitable, Callable, Collection
from typing import Any

import aiohttp
from aiodocker.exceptions import DockerError
from aiodocker.stream import Message, Stream

from shoal_agent.engine import sessions
from shoal_agent.engine.port import CannotExecute, Command, EngineError, EngineUnavailable, Piece

log = logging.getLogger(__name__)

QUIET_SECONDS = 1.0
STARTED_SECONDS = 30.0
ENDED_SECONDS = 10.0

# Between being asked to end and being killed.
GRACE_SECONDS = 3.0
LOOK_EVERY_SECONDS = 0.05

# How it says that there is no such program.
_MISSING = (b"executable file not found", b"no such file or directory")

# The engine's own keys, Ctrl-P Ctrl-Q, would leave the command behind; nobody types these. They also tell our commands
# from others' and from health checks: an inspection shows them, in base64.
DETACH_KEYS = "ctrl-^,s,h,o,a,l,ctrl-^"
_DETACH_BYTES = b"\x1eshoal\x1e"

_STREAMS = {1: "stdout", 2: "stderr"}

Ask = Callable[..., Awaitable[Any]]


def body_of(command: Command) -> dict[str, Any]:
    """As the Docker Engine API has it. An engine older than API 1.42 learns the size only once the command runs."""
    rows, columns = command.size
    return {
        "Cmd": list(command.arguments),
        "Tty": command.tty,
        "AttachStdin": command.interactive,
        "AttachStdout": True,
        "AttachStderr": True,
        "DetachKeys": DETACH_KEYS,
        **({"ConsoleSize": [rows, columns]} if command.tty and rows and columns else {}),
    }


class DockerExecution:
    """`ask(path, method="GET", params=None, body=None)` is the engine's API, its answers read as JSON."""

    def __init__(self, ask: Ask, exec_id: str, container: str, stream: Stream, tty: bool) -> None:
        self._ask = ask
        self._id = exec_id
        self._container = container
        self._stream = stream
        self._tty = tty
        self._pid = 0
        self._is_over = False
        self._is_missing = False
        self._input_ended = self._is_writing = False

    async def begin(self, size: tuple[int, int]) -> None:
        """Opens the streams, which starts the command, and waits until it runs or could not be started."""
        try:
            await self._stream._init()
        except DockerError as error:
            raise CannotExecute(error.message) from None
        except (aiohttp.ClientError, ConnectionError) as error:
            raise EngineUnavailable(f"the connection to the engine broke: {error}") from None
        seen = await self._until(lambda seen: seen["Pid"] or not seen["Running"], STARTED_SECONDS)
        self._pid = seen["Pid"] or 0
        if self._tty and all(size) and seen["Running"]:
            await self.resize(*size)

    async def read(self) -> Piece | None:
        message = await self._message()
        if message is None:
            return None
        if not self._pid:
            # Why it could not be started, the engine says as if the command had written it.
            self._is_missing = self._is_missing or any(words in message.data for words in _MISSING)
            return Piece("stderr", message.data)
        return Piece(_STREAMS.get(message.stream, "stdout"), message.data)

    async def _message(self) -> Message | None:
        """While input waits for a command that has ended, the engine does not end its output: it has to be asked."""
        while True:
            try:
                async with asyncio.timeout(QUIET_SECONDS):
                    return await self._stream.read_out()
            except TimeoutError:
                if self._is_writing and not (await self._ask(f"exec/{self._id}/json"))["Running"]:
                    return None
            except (aiohttp.ClientError, ConnectionError) as error:
                raise EngineUnavailable(f"the connection to the engine broke: {error}") from None

    async def write(self, data: bytes) -> None:
        if self._input_ended:
            return
        self._is_writing = True
        try:
            await self._stream.write_in(data)
        except (aiohttp.ClientError, ConnectionError, AssertionError):  # the stream has none left
            self._input_ended = True
        finally:
            self._is_writing = False

    async def end_input(self) -> None:
        """aiodocker closes both directions only."""
        if self._input_ended:
            return
        self._input_ended = True
        connection = self._stream._resp.connection if self._stream._resp is not None else None
        if connection is not None and connection.transport is not None and connection.transport.can_write_eof():
            connection.transport.write_eof()

    async def resize(self, rows: int, columns: int) -> None:
        await self._ask(f"exec/{self._id}/resize", "POST", {"h": str(rows), "w": str(columns)})

    async def signal(self, name: str) -> None:
        session = sessions.members(self._pid, self._container) if self._pid else []
        await _send(self._ask, self._container, sessions.in_foreground(session, self._pid), name)

    async def exit_code(self) -> int:
        seen = await self._until(lambda seen: not seen["Running"], ENDED_SECONDS)
        self._is_over = True
        # Engines differ in the code for a program that is not there.
        return 127 if self._is_missing else int(seen["ExitCode"])

    async def end(self) -> None:
        await self._stream.close()
        if self._pid and not self._is_over:
            await _end_session(self._ask, self._container, self._pid, self._tty)

    async def _until(self, true: Callable[[Any], Any], seconds: float) -> Any:
        """What the engine says of the command, once it is so."""
        try:
            async with asyncio.timeout(seconds):
                while not true(seen := await self._ask(f"exec/{self._id}/json")):  # noqa: ASYNC110 - the API has no wait
                    await asyncio.sleep(LOOK_EVERY_SECONDS)
        except TimeoutError:
            raise EngineError("the engine does not say what became of the command") from None
        return seen


async def end_left(ask: Ask, container: str, living: Collection[str]) -> None:
    """Ends the commands in a container that an agent of ours began, who is gone: all but the `living`."""
    exec_ids = (await ask(f"containers/{container}/json")).get("ExecIDs") or ()
    for exec_id in exec_ids:
        seen = await ask(f"exec/{exec_id}/json")
        is_ours = base64.b64decode(seen.get("DetachKeys") or "") == _DETACH_BYTES
        if is_ours and seen["Running"] and seen["Pid"] and exec_id not in living:
            log.info("command left by an agent that is gone container=%s", container)
            await _end_session(ask, container, seen["Pid"], seen["ProcessConfig"]["tty"])


async def _end_session(ask: Ask, container: str, pid: int, tty: bool) -> None:
    await _send(ask, container, sessions.members(pid, container), "SIGHUP" if tty else "SIGTERM")
    try:
        async with asyncio.timeout(GRACE_SECONDS):
            while sessions.members(pid, container):  # noqa: ASYNC110 - the kernel tells nobody but a parent
                await asyncio.sleep(LOOK_EVERY_SECONDS)
    except TimeoutError:
        await _send(ask, container, sessions.members(pid, container), "SIGKILL")


async def _send(ask: Ask, container: str, processes: list[sessions.Process], name: str) -> None:
    """By the container's own shell, if it has one, where this user may not."""
    try:
        sessions.send(processes, name)
    except PermissionError:
        numbers = [str(pid) for each in processes if (pid := sessions.inner_pid(each.pid)) is not None]
        script = ["sh", "-c", 'kill -s "$0" "$@"', name.removeprefix("SIG"), *numbers]
        made = await ask(f"containers/{container}/exec", "POST", None, {"Cmd": script, "User": "0"})
        await ask(f"exec/{made['Id']}/start", "POST", None, {"Detach": True})
