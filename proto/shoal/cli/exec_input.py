"""What `shoal exec` sends to the command: its input, the terminal's size, and signals."""

import asyncio
import contextlib
import os
import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import TypeVar

from shoal.cli.terminal import size
from shoal.v1 import command_pb2

Result = TypeVar("Result")

STDIN = 0
STDIN_BYTES_MAX = 64 * 1024

# Of the contract: so much may be on its way to a command that does not read.
STDIN_AHEAD_BYTES_MAX = 256 * 1024

_ENDING = (signal.SIGTERM, signal.SIGHUP)


class Inputs:
    """What is to be sent to the command; stdin only as far ahead as the command may be behind."""

    def __init__(self, start: command_pb2.ExecuteCommandStart) -> None:
        self.start = start
        if start.tty:
            start.size.CopyFrom(_size())
        self._waiting: asyncio.Queue[command_pb2.CommandInput] = asyncio.Queue()
        self._sent_bytes = self._taken_bytes = 0
        self._changed = asyncio.Event()
        self.has_begun = False
        self.ended_by: int | None = None

    async def requests(self) -> AsyncIterator[command_pb2.ExecuteCommandRequest]:
        yield command_pb2.ExecuteCommandRequest(start=self.start)
        while True:
            yield command_pb2.ExecuteCommandRequest(input=await self._waiting.get())

    def send(self, message: command_pb2.CommandInput) -> None:
        self._waiting.put_nowait(message)

    async def send_stdin(self, data: bytes) -> None:
        """Waits until the command has taken most of what was sent before."""
        self._sent_bytes += len(data)
        while self._sent_bytes - self._taken_bytes > STDIN_AHEAD_BYTES_MAX:
            self._changed.clear()
            await self._changed.wait()
        self.send(command_pb2.CommandInput(stdin=data))

    def taken(self, total_bytes: int) -> None:
        self._taken_bytes = total_bytes
        self._changed.set()


async def copy_stdin(inputs: Inputs) -> None:
    with contextlib.suppress(OSError):  # closed, or a terminal that is gone: it has ended
        while data := await in_thread(os.read, STDIN, STDIN_BYTES_MAX):
            await inputs.send_stdin(data)
    inputs.send(command_pb2.CommandInput(stdin_end=True))


async def in_thread(function: Callable[..., Result], *arguments: object) -> Result:
    """As asyncio.to_thread; but what waits for somebody who never reads or writes keeps nobody from leaving."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Result] = loop.create_future()

    def settle(result: Result | None, error: OSError | None) -> None:
        if done.cancelled():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)  # type: ignore[arg-type]

    def work() -> None:
        try:
            outcome: tuple[Result | None, OSError | None] = function(*arguments), None
        except OSError as error:
            outcome = None, error
        with contextlib.suppress(RuntimeError):  # the loop is closed: we have left
            loop.call_soon_threadsafe(settle, *outcome)

    threading.Thread(target=work, daemon=True).start()
    return await done


@contextlib.contextmanager
def signals(inputs: Inputs) -> Iterator[None]:
    """Ctrl-C goes to the command, and a second one ends the call, as SIGTERM and SIGHUP do; a new size of the terminal
    is passed on."""
    loop, calling = asyncio.get_running_loop(), asyncio.current_task()
    assert calling is not None
    interrupted = False

    def end(number: int) -> None:
        inputs.ended_by = number
        calling.cancel()

    def interrupt() -> None:
        nonlocal interrupted
        if interrupted or not inputs.has_begun:
            end(signal.SIGINT)
        interrupted = True
        inputs.send(command_pb2.CommandInput(signal="SIGINT"))

    def resized() -> None:
        inputs.send(command_pb2.CommandInput(resize=_size()))

    before = signal.getsignal(signal.SIGINT)
    actions: dict[signal.Signals, Callable[[], None]] = {signal.SIGINT: interrupt}
    actions |= {number: partial(end, number) for number in _ENDING}
    if inputs.start.tty:
        actions[signal.SIGWINCH] = resized
    # What was told to ignore one, as by nohup, does.
    heeded = [number for number in actions if signal.getsignal(number) is not signal.SIG_IGN]
    for number in heeded:
        loop.add_signal_handler(number, actions[number])
    try:
        yield
    finally:
        for number in heeded:
            loop.remove_signal_handler(number)
        signal.signal(signal.SIGINT, before)


def _size() -> command_pb2.TerminalSize:
    rows, columns = size(0, 1, 2)
    return command_pb2.TerminalSize(rows=rows, columns=columns)
