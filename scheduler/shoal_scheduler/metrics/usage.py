"""The newest sample of each instance, and what follows from all of them for clusters, groups and instances. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from shoal_scheduler.metrics.names import KINDS
from shoal_scheduler.model.ask import Resources
from shoal_scheduler.model.instance import Instance
from shoal_scheduler.model.task import Task
from shoal_scheduler.state.instance_table import InstanceTable
from shoal_scheduler.state.tables import Tables

MIB = 1024 * 1024

# Agents sample every ten seconds: older than this, two samples are missing.
FRESH_SECONDS = 25.0

NAN = float("nan")


class ContainerUsed(NamedTuple):
    name: str
    cpu_units: float = NAN
    memory_bytes: float = NAN


class TaskUsed(NamedTuple):
    """What is not known is NaN. Storage: since the sample before."""

    cpu_units: float = NAN
    memory_bytes: float = NAN
    received_per_second: float = NAN
    sent_per_second: float = NAN
    storage_read_bytes: float = NAN
    storage_write_bytes: float = NAN
    containers: tuple[ContainerUsed, ...] = ()

    def columns(self) -> tuple[float, ...]:
        """In the order of a task's metrics."""
        return (self.cpu_units, self.memory_bytes / MIB, *self[2:6])


class HostUsed(NamedTuple):
    cpu_percent: float = NAN
    memory_used_bytes: float = NAN
    memory_total_bytes: float = NAN
    disk_used_bytes: float = NAN
    disk_total_bytes: float = NAN
    received_per_second: float = NAN
    sent_per_second: float = NAN
    storage_read_bytes: float = NAN
    storage_write_bytes: float = NAN


class Sample(NamedTuple):
    """Of one instance, as it came. `at` in seconds."""

    at: float
    host: HostUsed
    tasks: Mapping[str, TaskUsed]


@dataclass(slots=True)
class Sums:
    """Of tasks. What is reserved counts only of those whose use is known, so that the two may be compared: a sample
    that is missing makes no use of 0."""

    used: list[float] = field(default_factory=lambda: [NAN] * 6)
    cpu_reserved: int = 0
    memory_reserved: int = 0
    cpu_known: int = 0
    memory_known: int = 0
    running: int = 0
    pending: int = 0

    def add(self, task: Task, wanted: Resources, used: TaskUsed | None) -> None:
        self.running += task.last_status == "RUNNING"
        self.pending += task.last_status != "RUNNING"
        self.cpu_reserved += wanted.cpu
        self.memory_reserved += wanted.memory_mib
        if used is None:
            return
        columns = used.columns()
        self.cpu_known += wanted.cpu if columns[0] == columns[0] else 0
        self.memory_known += wanted.memory_mib if columns[1] == columns[1] else 0
        self._use(columns)

    def _use(self, columns: Sequence[float]) -> None:
        for position, value in enumerate(columns):
            if value == value:  # not NaN
                before = self.used[position]
                self.used[position] = value if before != before else before + value

    def include(self, other: "Sums") -> None:
        self._use(other.used)
        self.cpu_reserved += other.cpu_reserved
        self.memory_reserved += other.memory_reserved
        self.cpu_known += other.cpu_known
        self.memory_known += other.memory_known
        self.running += other.running
        self.pending += other.pending


@dataclass(slots=True)
class Summary:
    """Values by kind, key and metric."""

    clusters: dict[str, dict[str, float]] = field(default_factory=dict)
    groups: dict[tuple[str, str], dict[str, float]] = field(default_factory=dict)
    instances: dict[tuple[str, str], dict[str, float]] = field(default_factory=dict)


def is_fresh(sample: Sample | None, now: float) -> bool:
    return sample is not None and 0 <= now - sample.at <= FRESH_SECONDS


def percent(part: float, whole: float) -> float:
    """NaN of nothing."""
    return 100.0 * part / whole if whole > 0 else NAN


def summarise(tables: Tables, samples: Mapping[str, Sample], now: float) -> Summary:
    """`samples`: the newest of each instance. Those that are not fresh are as if they were not there."""
    summary = Summary()
    for cluster in tables.clusters:
        _summarise_cluster(summary, cluster, tables, samples, now)
    return summary


def _summarise_cluster(
    summary: Summary, cluster: str, tables: Tables, samples: Mapping[str, Sample], now: float
) -> None:
    room = tables.room(cluster)
    whole, groups = Sums(), dict[str, Sums]()
    registered_cpu = registered_memory = 0
    for instance in tables.instances_of(cluster):
        sample = samples.get(instance.id)
        fresh = sample if is_fresh(sample, now) else None
        sums = Sums()
        for task in tables.tasks_on(instance.id):
            wanted, used = tables.resources(task.launch.id), fresh.tasks.get(task.id) if fresh else None
            sums.add(task, wanted, used)
            groups.setdefault(task.launch.group, Sums()).add(task, wanted, used)
        whole.include(sums)
        if fresh is not None:
            registered_cpu += instance.cpu
            registered_memory += instance.memory_mib
            summary.instances[cluster, instance.id] = _instance_values(instance, fresh.host, sums)
    values = _amounts(whole) | _reservation(room)
    if registered_cpu:
        # An instance that says nothing counts on neither side.
        values["CPUUtilization"] = percent(_or_zero(values["CpuUtilized"]), registered_cpu)
        values["MemoryUtilization"] = percent(_or_zero(values["MemoryUtilized"]), registered_memory)
    waiting = tables.waiting_count.get(cluster, 0)
    counts = {"PendingTaskCount": whole.pending + waiting, "TaskCount": whole.running + whole.pending}
    summary.clusters[cluster] = values | counts | {"ContainerInstanceCount": float(room.registered)}
    for group, sums in groups.items():
        utilisation = {
            "CPUUtilization": percent(sums.used[0], sums.cpu_known),
            "MemoryUtilization": percent(sums.used[1], sums.memory_known),
        }
        summary.groups[cluster, group] = _amounts(sums) | utilisation


def _or_zero(value: float) -> float:
    """Fresh instances without tasks use nothing, and that is known."""
    return 0.0 if value != value else value


def _amounts(sums: Sums) -> dict[str, float]:
    names = ("CpuUtilized", "MemoryUtilized", *KINDS["task"].columns[2:])
    return dict(zip(names, sums.used, strict=True)) | {
        "CpuReserved": sums.cpu_reserved,
        "MemoryReserved": sums.memory_reserved,
        "RunningTaskCount": sums.running,
        "PendingTaskCount": sums.pending,
    }


def _reservation(room: InstanceTable) -> dict[str, float]:
    """Of all instances that are registered, ACTIVE or DRAINING."""
    there = room.present()
    cpu, memory = int(room.total_cpu[there].sum(dtype=np.int64)), int(room.total_memory[there].sum(dtype=np.int64))
    free_cpu, free_memory = (int(free[there].sum(dtype=np.int64)) for free in (room.free_cpu, room.free_memory))
    return {"CPUReservation": percent(cpu - free_cpu, cpu), "MemoryReservation": percent(memory - free_memory, memory)}


def _instance_values(instance: Instance, host: HostUsed, sums: Sums) -> dict[str, float]:
    return {
        "CPUUtilization": percent(_or_zero(sums.used[0]), instance.cpu),
        "MemoryUtilization": percent(_or_zero(sums.used[1]), instance.memory_mib),
        "CPUReservation": percent(sums.cpu_reserved, instance.cpu),
        "MemoryReservation": percent(sums.memory_reserved, instance.memory_mib),
        "instance_cpu_utilization": host.cpu_percent,
        "instance_memory_utilization": percent(host.memory_used_bytes, host.memory_total_bytes),
        "instance_filesystem_utilization": percent(host.disk_used_bytes, host.disk_total_bytes),
        "NetworkRxBytes": host.received_per_second,
        "NetworkTxBytes": host.sent_per_second,
        "StorageReadBytes": host.storage_read_bytes,
        "StorageWriteBytes": host.storage_write_bytes,
    }


def rows_of(values: Iterable[Mapping[str, float]], columns: Iterable[str]) -> NDArray[np.float64]:
    """A row for each, NaN for what it does not have."""
    names = tuple(columns)
    return np.array([[each.get(name, NAN) for name in names] for each in values], np.float64).reshape(-1, len(names))
