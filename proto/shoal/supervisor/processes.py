"""Who runs. A pid alone may name another program by now; a pid with its start time cannot."""

import asyncio
import contextlib
import json
import os
import select
import signal
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from shoal.supervisor.settings import write_json

# A killed process is gone at once, unless the kernel holds it in the middle of something.
KILL_TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Process:
    """started: clock ticks after boot, as the kernel tells. restarts: how often in a row it was started again."""

    pid: int
    started: int
    restarts: int = 0

    @property
    def is_alive(self) -> bool:
        return start_time(self.pid) == self.started


def start_time(pid: int) -> int | None:
    """None if there is no such process, or only its remains that nobody has collected."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()  # the name in parentheses may itself hold spaces and parentheses
    return None if fields[0] in "ZX" else int(fields[19])


def identify(pid: int, restarts: int = 0) -> Process | None:
    started = start_time(pid)
    return None if started is None else Process(pid, started, restarts)


def load(path: Path) -> dict[str, Process]:
    """By program. Empty if the file is not there, or is of before the machine was last started."""
    try:
        document = json.loads(path.read_text())
        if document["boot"] != _boot():
            return {}
        return {name: Process(**each) for name, each in document["processes"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def save(path: Path, processes: Mapping[str, Process]) -> None:
    write_json(path, {"boot": _boot(), "processes": {name: asdict(each) for name, each in processes.items()}})


def _boot() -> str:
    """Start times count from it: those of another boot mean nothing."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def send(process: Process, number: signal.Signals) -> bool:
    """Signals that very process, never a later one with its pid. False if it is gone."""
    try:
        descriptor = os.pidfd_open(process.pid)
    except OSError:
        return False
    try:
        # The descriptor holds whoever has the pid now; only then is the start time worth comparing.
        if not process.is_alive:
            return False
        signal.pidfd_send_signal(descriptor, number)
        return True
    except ProcessLookupError:
        return False
    finally:
        os.close(descriptor)


def stop(process: Process, grace_seconds: float) -> None:
    """SIGTERM, then SIGKILL when the grace is over; returns when it has ended. Blocks."""
    if send(process, signal.SIGTERM) and not wait_end(process, grace_seconds):
        kill(process)


def kill(process: Process) -> None:
    """SIGKILL; returns when it has ended. Nothing if it has already. Blocks."""
    if send(process, signal.SIGKILL):
        wait_end(process, KILL_TIMEOUT_SECONDS)


def wait_end(process: Process, timeout_seconds: float) -> bool:
    """True if it has ended within that time. Blocks."""
    try:
        descriptor = os.pidfd_open(process.pid)
    except OSError:
        return True
    try:
        if not process.is_alive:
            return True
        return bool(select.select([descriptor], [], [], timeout_seconds)[0])
    finally:
        os.close(descriptor)


async def ended(process: Process) -> None:
    """Returns when it has ended; works for processes that are not our children, too."""
    try:
        descriptor = os.pidfd_open(process.pid)
    except OSError:
        return
    loop, event = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(descriptor, event.set)
    try:
        if process.is_alive:
            await event.wait()
    finally:
        loop.remove_reader(descriptor)
        with contextlib.suppress(OSError):
            os.close(descriptor)
