"""Starts programs and starts each again when it ends, until told to stop."""

import asyncio
import contextlib
import ctypes
import logging
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from shoal.supervisor import processes
from shoal.supervisor.layout import Layout
from shoal.supervisor.processes import Process
from shoal.supervisor.programs import Program

BACKOFF_FIRST_SECONDS = 0.1
BACKOFF_MAX_SECONDS = 5.0
# Who lived this long was well: the next end is a new trouble, not the old one again.
WELL_AFTER_SECONDS = 10.0
LOG_BYTES_MAX = 10 * 1024 * 1024
LOG_CHECK_SECONDS = 10.0
NEED_CHECK_SECONDS = 0.1

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)
log = logging.getLogger("shoal.supervisor")


def next_delay_seconds(previous: float, lived_seconds: float) -> float:
    """How long to wait before the next start. `previous` is what this returned before; 0.0 at first."""
    if lived_seconds >= WELL_AFTER_SECONDS or previous == 0.0:
        return BACKOFF_FIRST_SECONDS
    return min(BACKOFF_MAX_SECONDS, previous * 2)


class Registry:
    """Which processes run, on disk, so that whoever comes next finds them."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._running = processes.load(path)

    def find(self, name: str) -> Process | None:
        return self._running.get(name)

    def pids(self) -> set[int]:
        return {process.pid for process in self._running.values()}

    def put(self, name: str, process: Process) -> None:
        self._running[name] = process
        processes.save(self._path, self._running)

    def drop(self, name: str) -> None:
        if self._running.pop(name, None):
            processes.save(self._path, self._running)


def end_leftovers(registry: Registry, programs: list[Program]) -> None:
    """Ends what a supervisor that was killed may have left, except what is meant to survive it."""
    for program in programs:
        left = registry.find(program.name)
        if left is not None and left.is_alive and not program.survives:
            log.warning("ends a leftover name=%s pid=%d", program.name, left.pid)
            processes.kill(left)


async def keep(program: Program, layout: Layout, registry: Registry) -> None:
    """Runs for ever; cancel it, then `end` the program."""
    delay, restarts = 0.0, 0
    taken_over = registry.find(program.name) if program.survives else None
    while True:
        if program.needs is not None:
            await _there(program.needs)
        began, child = time.monotonic(), None
        if taken_over is not None and taken_over.is_alive:
            process = taken_over
        else:
            child = spawn(program, layout)
            process = processes.identify(child.pid, restarts) or Process(child.pid, 0, restarts)
            registry.put(program.name, process)
        log.info("runs name=%s pid=%d restarts=%d", program.name, process.pid, restarts)
        taken_over = None
        await processes.ended(process)
        code = child.poll() if child else None
        lived_seconds = time.monotonic() - began
        delay = next_delay_seconds(delay, lived_seconds)
        restarts = 1 if lived_seconds >= WELL_AFTER_SECONDS else restarts + 1
        log.warning("ended name=%s pid=%d code=%s again_in=%.1fs", program.name, process.pid, code, delay)
        await asyncio.sleep(delay)


async def _there(path: Path) -> None:
    while not path.exists():  # noqa: ASYNC110 - the kernel makes it, and tells nobody
        await asyncio.sleep(NEED_CHECK_SECONDS)


async def end(program: Program, registry: Registry) -> None:
    """Asks it to end, and ends it when its grace is over. What survives us is left alone."""
    process = registry.find(program.name)
    if process is None or program.survives:
        return
    log.info("stops name=%s pid=%d", program.name, process.pid)
    await asyncio.to_thread(processes.stop, process, program.stop_grace_seconds)
    registry.drop(program.name)
    _collect(process.pid)


async def rotate_logs(layout: Layout, names: list[str]) -> None:
    """Keeps each log and one older half. The programs write on into the same file, cut to nothing."""
    while True:
        for name in names:
            path = layout.log(name)
            with contextlib.suppress(OSError):
                if path.stat().st_size > LOG_BYTES_MAX:
                    path.with_suffix(".log.1").write_bytes(path.read_bytes())
                    os.truncate(path, 0)
        await asyncio.sleep(LOG_CHECK_SECONDS)


def _collect(pid: int) -> None:
    """Takes the remains of a child that has ended; nothing if it was not ours."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def spawn(program: Program, layout: Layout) -> "subprocess.Popen[bytes]":
    """Starts it in its folder, with its log; it dies with us unless it is meant to survive."""
    folder, path = layout.work(program.name), layout.log(program.name)
    folder.mkdir(mode=0o700, exist_ok=True)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    with path.open("ab") as output:
        return subprocess.Popen(
            list(program.arguments),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=folder,
            # A Ctrl-C in the terminal is for the supervisor, which ends them in order.
            process_group=None if program.survives else 0,
            start_new_session=program.survives,
            preexec_fn=None if program.survives else _die_with(os.getpid()),
        )


def _die_with(parent: int) -> Callable[[], None]:
    """For the child between fork and exec: the kernel kills it when its parent dies."""

    def ask_kernel() -> None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before we asked
            os._exit(1)

    return ask_kernel
