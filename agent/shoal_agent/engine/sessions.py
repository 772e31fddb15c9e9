"""Processes of a command in a container, as this host's /proc shows them.

The engine's API can start a command but not end one. Each command leads a session of its own (setsid(2)), by which
all that it started is found, unless it left the session on purpose, as daemons do.
"""

import os
import signal
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Process:
    """`foreground`: the group that the session's terminal obeys; -1 without a terminal."""

    pid: int
    group: int
    session: int
    foreground: int


def members(leader: int, container: str) -> list[Process]:
    """The session that process `leader` began in the container with that id. A pid that was used again is none of
    it: its control group names another container."""
    found = (_process(entry) for entry in PROC.iterdir() if entry.name.isdigit())
    return [each for each in found if each is not None and each.session == leader and _is_in(each.pid, container)]


def in_foreground(session: list[Process], leader: int) -> list[Process]:
    """Those a terminal's Ctrl-C would reach; without a terminal, the leader's own group."""
    foreground = {each.foreground for each in session if each.foreground > 0}
    return [each for each in session if each.group in (foreground or {leader})]


def send(processes: list[Process], name: str) -> None:
    """Raises PermissionError if this user may not."""
    for each in processes:
        try:
            os.kill(each.pid, signal.Signals[name])
        except ProcessLookupError:
            continue


def inner_pid(pid: int) -> int | None:
    """The number that it has inside of its container."""
    try:
        status = (PROC / str(pid) / "status").read_text()
    except OSError:
        return None
    numbers = [line.split()[1:] for line in status.splitlines() if line.startswith("NSpid:")]
    return int(numbers[0][-1]) if numbers else None


def _process(entry: Path) -> Process | None:
    try:
        text = (entry / "stat").read_text()
    except OSError:  # it has ended
        return None
    # The program's name, in parentheses, may hold anything; after it: state, parent, group, session, terminal, ...
    state, _, group, session, _, foreground = text.rpartition(")")[2].split()[:6]
    if state in ("Z", "X"):
        return None
    return Process(int(entry.name), int(group), int(session), int(foreground))


def _is_in(pid: int, container: str) -> bool:
    try:
        return container in (PROC / str(pid) / "cgroup").read_text()
    except OSError:
        return False
