"""Looks into network namespaces from the host, and clears what the kernel remembers there.

The files of /proc/<pid>/net show the namespace of that process without anybody entering it. What is remembered of
other hosts (neighbours, how TCP fared with them, exceptions to routes) goes by iproute2, which does enter it.
"""

import os
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from shoal_agent.engine.port import Inspected
from shoal_agent.networks import snapshot
from shoal_agent.networks.snapshot import Counters, Snapshot

CLEAR_SECONDS = 10.0
FILE_BYTES_MAX = 64 * 1024
LINGER_SECONDS, REST_SECONDS = 0.05, 2.0
_CLEAR = "neigh flush all\ntcp_metrics flush all\nroute flush cache\n"
_FLUSH_ROUTES_V6 = "-6", "route", "flush", "cache"

# From which of them the engine takes the name servers of containers.
_RESOLVERS = ("/etc/resolv.conf", "/run/systemd/resolve/resolv.conf")


@dataclass(frozen=True, slots=True)
class Namespace:
    """One that was made: by the process that keeps it, and as it was then."""

    container_id: str
    pid: int
    inode: int
    made: Snapshot


@dataclass(frozen=True, slots=True)
class Used:
    """`before`: its counters when it was lent."""

    namespace: Namespace
    before: Counters


@dataclass(frozen=True, slots=True)
class Finding:
    """changed    for good; occupied    so far. Both empty: it is as it was made. In words."""

    changed: tuple[str, ...] = ()
    occupied: tuple[str, ...] = ()


class Namespaces(Protocol):
    """`made` and `look` may take long, the others do not."""

    def trouble(self) -> str:
        """Why none can be looked into here; empty if they can."""

    def made(self, keeper: Inspected) -> Namespace:
        """Of a container that has just been started and runs. Raises OSError and ValueError."""

    def is_there(self, namespace: Namespace) -> bool: ...

    def is_current(self, namespace: Namespace) -> bool:
        """It is there, with the name servers that the host has now."""

    def counters(self, namespace: Namespace) -> Counters:
        """Of each interface: what has passed since it was made. Raises OSError."""

    def look(self, used: Sequence[Used]) -> list[Finding]:
        """Of each, after what is remembered there has been cleared."""


class KernelNamespaces:
    """Of this host, by its /proc."""

    def __init__(self, processes: Path = Path("/proc")) -> None:
        self._processes = processes

    def trouble(self) -> str:
        lacking = [program for program in ("nsenter", "ip") if shutil.which(program) is None]
        if lacking:
            return f"not installed: {', '.join(lacking)}"
        return "" if os.geteuid() == 0 else "the agent does not run as root"

    def made(self, keeper: Inspected) -> Namespace:
        if keeper.pid is None:
            raise ValueError("it does not run")
        if keeper.container_id not in (self._processes / str(keeper.pid) / "cgroup").read_text():
            raise ValueError("its process is not to be seen here: the engine may be on another host")
        self._await_rest(keeper.pid)
        inode = self._inode(keeper.pid)
        return Namespace(keeper.container_id, keeper.pid, inode, self._snapshot(keeper.pid, strangers=0))

    def _await_rest(self, pid: int) -> None:
        """Sockets that the engine needed to make it linger for a moment."""
        sockets = self._processes / str(pid) / "net" / snapshot.SOCKSTAT
        before, deadline = sockets.read_text(), time.monotonic() + REST_SECONDS
        while time.monotonic() < deadline:
            time.sleep(LINGER_SECONDS)
            if snapshot.sockets(before) == snapshot.sockets(before := sockets.read_text()):
                return

    def is_there(self, namespace: Namespace) -> bool:
        try:
            return self._inode(namespace.pid) == namespace.inode
        except OSError:
            return False

    def is_current(self, namespace: Namespace) -> bool:
        return self.is_there(namespace) and _resolvers() == namespace.made.resolvers

    def counters(self, namespace: Namespace) -> Counters:
        return snapshot.interfaces((self._processes / str(namespace.pid) / "net" / snapshot.DEVICES).read_text())

    def look(self, used: Sequence[Used]) -> list[Finding]:
        inside = self._processes_by_namespace()
        return [self._finding(each, inside[each.namespace.inode] - 1) for each in used]

    def _finding(self, used: Used, strangers: int) -> Finding:
        namespace = used.namespace
        try:
            now = self._snapshot(namespace.pid, strangers)
            in_use = set(snapshot.occupied(namespace.made, now)) - {snapshot.NEIGHBOURS}
            if not in_use and snapshot.sent(used.before, snapshot.interfaces(now.tables[snapshot.DEVICES])):
                self._clear(namespace)
                # Sockets were counted before: those of iproute2 itself linger for a moment.
                tables = {**self._tables(namespace.pid), snapshot.SOCKSTAT: now.tables.get(snapshot.SOCKSTAT, "")}
                now = replace(now, tables=tables)
            if not self.is_there(namespace):  # else all this was read of another process
                return Finding(changed=("its keeper",))
            return Finding(tuple(snapshot.changed(namespace.made, now)), tuple(snapshot.occupied(namespace.made, now)))
        except (OSError, subprocess.SubprocessError, ValueError, KeyError) as error:
            return Finding(changed=(f"not known: {error}",))

    def _clear(self, namespace: Namespace) -> None:
        enter = ["nsenter", f"--net={self._processes}/{namespace.pid}/ns/net"]
        _run([*enter, "ip", "-batch", "-"], _CLEAR)
        if namespace.made.tables.get("if_inet6"):
            _run([*enter, "ip", *_FLUSH_ROUTES_V6], "")

    def _snapshot(self, pid: int, strangers: int) -> Snapshot:
        etc = self._processes / str(pid) / "root" / "etc"
        files = {name: _file(etc / name) for name in snapshot.FILES}
        return Snapshot(self._tables(pid), files, _resolvers(), strangers)

    def _tables(self, pid: int) -> dict[str, str]:
        folder = self._processes / str(pid) / "net"
        return {name: text for name in snapshot.TABLES if (text := _text(folder / name)) is not None}

    def _inode(self, pid: int) -> int:
        return (self._processes / str(pid) / "ns" / "net").stat().st_ino

    def _processes_by_namespace(self) -> Counter[int]:
        found: Counter[int] = Counter()
        for entry in os.scandir(self._processes):
            if entry.name.isdigit():
                try:
                    found[self._inode(int(entry.name))] += 1
                except OSError:  # it has ended
                    continue
        return found


def _text(path: Path) -> str | None:
    try:
        return path.read_text()
    except FileNotFoundError:
        return None


def _file(path: Path) -> str:
    """What is in it, whose it is, and what else could tell another task something. The engine gives a file to its
    owner anew at each start, so the time of that tells nothing."""
    stat = path.stat()
    attributes = sorted(os.listxattr(path))
    about = (stat.st_ino, stat.st_mode, stat.st_uid, stat.st_gid, stat.st_nlink, stat.st_mtime_ns, attributes)
    with path.open("rb") as file:
        return f"{about} {stat.st_size} {file.read(FILE_BYTES_MAX)!r}"


def _resolvers() -> str:
    return "\n".join(text for path in _RESOLVERS if (text := _text(Path(path))) is not None)


def _run(command: list[str], told: str) -> None:
    done = subprocess.run(command, input=told, capture_output=True, text=True, timeout=CLEAR_SECONDS, check=False)
    if done.returncode != 0:
        raise ValueError(f"not cleared: {done.stderr.strip()}")
