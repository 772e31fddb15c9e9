"""Reads the kernel's files: of the containers that run, by their first processes, and of the host.

A file that is not there or cannot be read leaves its number unknown, and nothing else.
"""

import contextlib
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from shoal import cgroups

from shoal_agent.metrics import files
from shoal_agent.metrics.files import Transfer
from shoal_agent.metrics.usage import ContainerReading, HostReading, TaskReading

log = logging.getLogger(__name__)

Number = TypeVar("Number")

# memory.stat is the longest of a container's files; the host's diskstats and stat grow with the machine.
FILE_BYTES_MAX = 256 * 1024


@dataclass(frozen=True, slots=True)
class Running:
    """A container that runs; `pid` is its first process, as the host numbers it."""

    task_id: str
    name: str
    container_id: str
    pid: int


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a container's numbers are; `network` is None on the host's own network."""

    version: int
    cpu: str
    memory: str
    storage: str
    network: int | None


class Reader:
    """`processes` and `root` are /proc and /sys/fs/cgroup but in tests. Not for two threads at once."""

    def __init__(self, processes: Path = Path("/proc"), root: Path = cgroups.ROOT) -> None:
        self._processes = str(processes)
        self._root = str(root)
        self._places: dict[tuple[str, int], _Place] = {}

    def tasks(self, running: Iterable[Running]) -> dict[str, TaskReading]:
        """By task. Containers that have ended meanwhile are left out."""
        by_task: dict[str, list[tuple[Running, _Place]]] = {}
        places: dict[tuple[str, int], _Place] = {}
        for each in running:
            key = each.container_id, each.pid
            place = self._places.get(key) or self._find(each)
            if place is not None:
                places[key] = place
                by_task.setdefault(each.task_id, []).append((each, place))
        self._places = places  # of those that run: what has ended is not kept
        return {task_id: self._task(task_id, found) for task_id, found in by_task.items()}

    def _task(self, task_id: str, found: list[tuple[Running, _Place]]) -> TaskReading:
        containers = {each.container_id: _container(each.name, place) for each, place in found}
        networks: dict[int, Transfer] = {}
        for each, place in found:
            # Without its cgroup a container has ended, and its process number may be another's by now.
            is_there = containers[each.container_id].cpu_nanos is not None
            if is_there and place.network is not None and place.network not in networks:
                transfer = _number(files.network, f"{self._processes}/{each.pid}/net/dev")
                if transfer is not None:
                    networks[place.network] = transfer
        return TaskReading(task_id, time.monotonic(), containers, networks)

    def _find(self, each: Running) -> _Place | None:
        """None if the process is not this container's: it has ended, or the engine is on another host."""
        try:
            paths = files.cgroup_paths(_read(f"{self._processes}/{each.pid}/cgroup"))
            network = Path(f"{self._processes}/{each.pid}/ns/net").stat().st_ino
            own_network = Path(f"{self._processes}/self/ns/net").stat().st_ino
        except (OSError, ValueError):
            return None
        if not any(each.container_id in path for path in paths.values()):
            return None
        return self._place(paths, network if network != own_network else None)

    def _place(self, paths: Mapping[str, str], network: int | None) -> _Place:
        if "cpuacct" not in paths:
            folder = self._root + paths.get("", "")
            return _Place(2, folder, folder, folder, network)
        cpu, memory, storage = (f"{self._root}/{name}{paths.get(name, '')}" for name in ("cpuacct", "memory", "blkio"))
        return _Place(1, cpu, memory, storage, network)

    def host(self, data_root: str) -> HostReading:
        """`data_root`: where the engine keeps images and containers; empty if that is not known."""
        used = total = None
        if data_root:
            with contextlib.suppress(OSError):
                usage = shutil.disk_usage(data_root)
                used, total = usage.used, usage.total
        return HostReading(
            at=time.monotonic(),
            cpu=_number(files.host_cpu, f"{self._processes}/stat"),
            memory=_number(files.host_memory, f"{self._processes}/meminfo"),
            network=_number(files.host_network, f"{self._processes}/self/net/dev"),
            storage=_number(files.host_storage, f"{self._processes}/diskstats"),
            disk_used_bytes=used,
            disk_total_bytes=total,
        )


def _container(name: str, place: _Place) -> ContainerReading:
    at = time.monotonic()
    if place.version == 1:
        return ContainerReading(
            name,
            at,
            cpu_nanos=_number(files.cpu_nanos_v1, f"{place.cpu}/cpuacct.usage"),
            memory_bytes=_memory(place, "memory.usage_in_bytes"),
            storage=_number(files.storage_v1, f"{place.storage}/blkio.throttle.io_service_bytes"),
        )
    return ContainerReading(
        name,
        at,
        cpu_nanos=_number(files.cpu_nanos_v2, f"{place.cpu}/cpu.stat"),
        memory_bytes=_memory(place, "memory.current"),
        storage=_number(files.storage_v2, f"{place.storage}/io.stat"),
    )


def _memory(place: _Place, usage: str) -> int | None:
    try:
        return files.memory_bytes(_read(f"{place.memory}/{usage}"), _read(f"{place.memory}/memory.stat"))
    except (OSError, ValueError, IndexError):
        return None


def _number(parse: Callable[[str], Number], path: str) -> Number | None:
    try:
        return parse(_read(path))
    except OSError:
        return None
    except (ValueError, IndexError) as error:
        log.debug("not understood path=%s error=%s", path, error)
        return None


def _read(path: str) -> str:
    """A file object would cost as much again as the kernel's work."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        parts = []
        while part := os.read(descriptor, FILE_BYTES_MAX):
            parts.append(part)
        return b"".join(parts).decode()
    finally:
        os.close(descriptor)
