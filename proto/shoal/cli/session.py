"""Runs a command's asynchronous part: opens the client, shows progress, turns Ctrl-C into a clean end."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from shoal import errors
from shoal.cli.options import target

if TYPE_CHECKING:
    from shoal.client import Client

Result = TypeVar("Result")
SHOWN_AFTER_SECONDS = 1.0


class Progress:
    """One line on stderr that says what is being waited for; appears after a second, on a terminal only."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._status: Any = None
        self._timer: asyncio.TimerHandle | None = None

    def say(self, text: str) -> None:
        self._text = text
        if self._status is not None:
            self._status.update(text)

    def begin(self) -> None:
        if sys.stderr.isatty() and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(SHOWN_AFTER_SECONDS, self._show)

    def end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._status is not None:
            self._status.stop()
            self._status = None

    def _show(self) -> None:
        from rich.console import Console

        self._status = Console(stderr=True).status(self._text)
        self._status.start()


@contextlib.contextmanager
def progress(text: str) -> Iterator[Progress]:
    shown = Progress(text)
    shown.begin()
    try:
        yield shown
    finally:
        shown.end()


@dataclass(frozen=True, slots=True)
class Session:
    """What a command works with."""

    client: "Client"
    cluster: str
    progress: Progress


def call(
    work: Callable[[Session], Awaitable[Result]],
    text: str = "Waiting for the cluster",
    timeout_seconds: float = 30.0,
) -> Result:
    """Runs `work` with a session on the chosen cluster. Raises the errors of shoal.errors."""
    return asyncio.run(_call(work, text, timeout_seconds))


async def _call(work: Callable[[Session], Awaitable[Result]], text: str, timeout_seconds: float) -> Result:
    from shoal import context
    from shoal.client import Client

    chosen = context.load().choose(target().context)
    if target().endpoints:
        chosen = replace(chosen, endpoints=target().endpoints)
    cluster = target().cluster or os.environ.get("SHOAL_CLUSTER") or chosen.cluster
    async with Client(chosen, timeout_seconds) as client:
        with woken_by_signals(), progress(text) as shown:
            try:
                return await work(Session(client, cluster, shown))
            except errors.NotFound as error:
                if error.reason == "ClusterNotFoundException" and not error.hint:
                    error.hint = _cluster_hint(cluster, error.message)
                raise


@contextlib.contextmanager
def woken_by_signals() -> Iterator[None]:
    """Has a Ctrl-C seen at once, whatever the loop is waiting for.

    The handler of asyncio.run is Python code, for which a signal only leaves a mark. If another thread took it (the
    transport has some), or if it came just before the loop began to wait, nothing ends that wait, which may be long.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # no handler runs here anyway
        return
    loop = asyncio.get_running_loop()
    ours, written = socket.socketpair()
    with ours, written:
        ours.setblocking(False)
        written.setblocking(False)
        loop.add_reader(ours, ours.recv, 4096)
        before = signal.set_wakeup_fd(written.fileno(), warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(before)
            loop.remove_reader(ours)


def _cluster_hint(cluster: str, message: str) -> str:
    """To create it is a hint only if it is the cluster the command was to work with."""
    return f"shoal clusters; shoal clusters create {cluster}" if repr(cluster) in message else "shoal clusters"
