"""The newest sample of each instance, and what follows from all of them for clusters, groups and instances. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from shoal_scheduler.metrics.names import KINDS
from shoal_scheduler.model.ask import Resources
from shoal_scheduler.model.instance import Instance
from shoal_scheduler.model.task import Task
from shoal_scheduler.state.tables import Tables

MIB = 1024 * 1024

# Agents sample every ten seconds: older than this, two samples are missing.
FRESH_SECONDS = 25.0

# In clusters with more tasks than this, altogether, not every one is looked at each step: groups have no values then.
LIVE_TASKS_MAX = 20_000

# Some milliseconds' worth.
INSTANCES_IN_A_PART = 250

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
        self.use(columns)

    def use(self, columns: Sequence[float]) -> None:
        for position, value in enumerate(columns):
            if value == value:  # not NaN
                before = self.used[position]
                self.used[position] = value if before != before else before + value


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


def looks_at_all(tables: Tables) -> bool:
    return sum(map(len, tables.live_tasks.values())) <= LIVE_TASKS_MAX


def summarised_in_parts(tables: Tables, samples: Mapping[str, Sample], now: float) -> Iterator[Summary]:
    """`samples`: the newest of each instance; those that are not fresh are as if they were not there. In parts, for
    who has other things to do between two, and whose tables go on; the last one is whole."""
    summary, every = Summary(), looks_at_all(tables)
    for cluster in list(tables.clusters):
        groups: dict[str, Sums] = {}
        instances = []
        for number, instance in enumerate(tables.instances_of(cluster), 1):
            sample, wanted = samples.get(instance.id), groups if every else None
            instances.append(_instance_sums(tables, instance, sample, now, wanted))
            if number % INSTANCES_IN_A_PART == 0:
                yield summary
        _summarise_cluster(summary, cluster, tables, instances)
        for group, sums in groups.items():
            summary.groups[cluster, group] = _group_values(sums)
    yield summary


class InstanceSums(NamedTuple):
    """`host` is None if nothing fresh is known."""

    instance: Instance
    host: HostUsed | None
    tasks: Sums


def _instance_sums(
    tables: Tables, instance: Instance, sample: Sample | None, now: float, groups: dict[str, Sums] | None
) -> InstanceSums:
    """Adds its tasks to those of their groups; without groups only what was sampled is looked at."""
    fresh = sample if sample is not None and is_fresh(sample, now) else None
    sums = Sums()
    if groups is None:
        for used in fresh.tasks.values() if fresh is not None else ():
            sums.use(used.columns())
        return InstanceSums(instance, fresh.host if fresh is not None else None, sums)
    for task in tables.tasks_on(instance.id):
        wanted, used_by_it = tables.resources(task.launch.id), fresh.tasks.get(task.id) if fresh is not None else None
        sums.add(task, wanted, used_by_it)
        groups.setdefault(task.launch.group, Sums()).add(task, wanted, used_by_it)
    return InstanceSums(instance, fresh.host if fresh is not None else None, sums)


def _summarise_cluster(summary: Summary, cluster: str, tables: Tables, instances: Sequence[InstanceSums]) -> None:
    room, whole = tables.room(cluster), Sums()
    columns = (room.total_cpu, room.free_cpu, room.total_memory, room.free_memory)
    reserved = [Reserved(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]
    registered_cpu = registered_memory = 0
    for each in instances:
        if each.host is not None and each.instance.id in room.rows:
            # An instance that says nothing counts on neither side.
            whole.use(each.tasks.used)
            registered_cpu += each.instance.cpu
            registered_memory += each.instance.memory_mib
            own = reserved[room.rows[each.instance.id]]
            summary.instances[cluster, each.instance.id] = _instance_values(own, each.instance, each.host, each.tasks)
    there = room.present()
    running, pending = int(room.running[there].sum()), int(room.pending[there].sum())
    all_of_it = _total(reserved, there)
    values = _used(whole) | _reservation(all_of_it)
    if registered_cpu:
        values["CPUUtilization"] = percent(_or_zero(values["CpuUtilized"]), registered_cpu)
        values["MemoryUtilization"] = percent(_or_zero(values["MemoryUtilized"]), registered_memory)
    summary.clusters[cluster] = values | {
        "CpuReserved": all_of_it.cpu - all_of_it.cpu_free,
        "MemoryReserved": all_of_it.memory_mib - all_of_it.memory_free_mib,
        "RunningTaskCount": running,
        "PendingTaskCount": pending + tables.waiting_count.get(cluster, 0),
        "TaskCount": running + pending,
        "ContainerInstanceCount": room.registered,
    }


def _or_zero(value: float) -> float:
    """Fresh instances without tasks use nothing, and that is known."""
    return 0.0 if value != value else value


def _used(sums: Sums) -> dict[str, float]:
    return dict(zip(("CpuUtilized", "MemoryUtilized", *KINDS["task"].columns[2:]), sums.used, strict=True))


def _group_values(sums: Sums) -> dict[str, float]:
    return _used(sums) | {
        "CPUUtilization": percent(sums.used[0], sums.cpu_known),
        "MemoryUtilization": percent(sums.used[1], sums.memory_known),
        "CpuReserved": sums.cpu_reserved,
        "MemoryReserved": sums.memory_reserved,
        "RunningTaskCount": sums.running,
        "PendingTaskCount": sums.pending,
    }


class Reserved(NamedTuple):
    """What is registered, and what of it is free: of one instance, or of several."""

    cpu: int
    cpu_free: int
    memory_mib: int
    memory_free_mib: int


def _total(reserved: Sequence[Reserved], there: NDArray[np.bool_]) -> Reserved:
    present = [each for each, is_there in zip(reserved, there.tolist(), strict=True) if is_there]
    return Reserved(*map(sum, zip(*present, strict=True))) if present else Reserved(0, 0, 0, 0)


def _reservation(of: Reserved) -> dict[str, float]:
    return {
        "CPUReservation": percent(of.cpu - of.cpu_free, of.cpu),
        "MemoryReservation": percent(of.memory_mib - of.memory_free_mib, of.memory_mib),
    }


def _instance_values(reserved: Reserved, instance: Instance, host: HostUsed, sums: Sums) -> dict[str, float]:
    return _reservation(reserved) | {
        "CPUUtilization": percent(_or_zero(sums.used[0]), instance.cpu),
        "MemoryUtilization": percent(_or_zero(sums.used[1]), instance.memory_mib),
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
