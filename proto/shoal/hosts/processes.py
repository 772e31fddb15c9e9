"""Who belongs to a host: whatever is in its network namespace, and all that descends from it, as containers do that
have a network of their own."""

import os
import signal
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from shoal.hosts.plan import Host
from shoal.hosts.programs import NAMESPACES
from shoal.supervisor import processes
from shoal.supervisor.processes import Process

KILL_SECONDS = 20.0
POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Seen:
    """A process as /proc shows it. network: the number of its namespace, 0 if it may not be known."""

    pid: int
    parent: int
    network: int
    command: bytes


def namespace_number(host: Host) -> int | None:
    """None if the host has no namespace of its name, and so is switched off."""
    try:
        return (NAMESPACES / host.namespace).stat().st_ino
    except FileNotFoundError:
        return None


def members(network: int) -> list[Seen]:
    return belonging(look(), network)


def belonging(seen: Mapping[int, Seen], network: int) -> list[Seen]:
    """Pure. In no particular order."""
    children: dict[int, list[Seen]] = {}
    for each in seen.values():
        children.setdefault(each.parent, []).append(each)
    found: dict[int, Seen] = {}
    waiting = [each for each in seen.values() if each.network == network]
    while waiting:
        each = waiting.pop()
        if each.pid not in found:
            found[each.pid] = each
            waiting += children.get(each.pid, ())
    return list(found.values())


def look() -> dict[int, Seen]:
    """Every process of the machine that has not ended."""
    found = (_see(int(entry.name)) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return {each.pid: each for each in found if each is not None}


def _see(pid: int) -> Seen | None:
    folder = Path(f"/proc/{pid}")
    try:
        stat = (folder / "stat").read_text().rpartition(")")[2].split()
        if stat[0] in "ZX":
            return None
        network = (folder / "ns/net").stat().st_ino
        return Seen(pid, int(stat[1]), network, (folder / "cmdline").read_bytes())
    except OSError:
        return None


def containers(found: Iterable[Seen]) -> list[Seen]:
    """The first process of each container among them: who is a shim's child."""
    everybody = list(found)
    shims = {each.pid for each in everybody if b"containerd-shim" in each.command}
    return [each for each in everybody if each.parent in shims and each.pid not in shims]


def ask_to_end(found: Iterable[Seen], grace_seconds: float) -> None:
    """SIGTERM to all of them, and time to heed it."""
    asked = _identified(found)
    for each in asked:
        processes.send(each, signal.SIGTERM)
    _wait(lambda: not any(each.is_alive for each in asked), grace_seconds)


def kill_all(network: int) -> None:
    """SIGKILL, until nobody is left: who was just being started is found a moment later.

    Raises TimeoutError if some will not go.
    """

    def none_left() -> bool:
        found = _identified(members(network))
        for each in found:
            processes.send(each, signal.SIGKILL)
        return not found

    if not _wait(none_left, KILL_SECONDS):
        left = ", ".join(str(each.pid) for each in members(network))
        raise TimeoutError(f"processes do not end: {left}")


def _identified(found: Iterable[Seen]) -> list[Process]:
    """Never ourselves, should somebody have started this program inside of a host."""
    identified = (processes.identify(each.pid) for each in found if each.pid != os.getpid())
    return [each for each in identified if each is not None]


def _wait(done: Callable[[], bool], seconds: float) -> bool:
    give_up = time.monotonic() + seconds
    while not done():
        if time.monotonic() > give_up:
            return False
        time.sleep(POLL_SECONDS)
    return True
