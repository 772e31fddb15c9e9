"""From what was counted to what is used: two readings, a rate. Pure.

The kernel counts on while the agent is away, so an agent that starts has no rate before its second reading. A counter
that went back was started anew with its container: what it shows is what was used since. Whatever is not known is
None, never 0.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeVar

from shoal_agent.metrics.files import HostCpu, HostMemory, Transfer

CPU_UNITS_PER_CORE = 1024
Number = TypeVar("Number", int, float)

# Two readings are not taken in the same moment for all processors: so much more than all of them may come out.
CORES_SLACK = 1.25


@dataclass(frozen=True, slots=True)
class ContainerReading:
    """`at`: seconds of the monotonic clock."""

    name: str
    at: float
    cpu_nanos: int | None = None
    memory_bytes: int | None = None
    storage: Transfer | None = None


@dataclass(frozen=True, slots=True)
class TaskReading:
    """containers by their runtime ids; networks by their namespaces: containers of a task may share one."""

    task_id: str
    at: float
    containers: Mapping[str, ContainerReading]
    networks: Mapping[int, Transfer] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class HostReading:
    at: float
    cpu: HostCpu | None = None
    memory: HostMemory | None = None
    network: Transfer | None = None
    storage: Transfer | None = None

    # Of the file system where the engine keeps images and containers.
    disk_used_bytes: int | None = None
    disk_total_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class ContainerUsage:
    """cpu in units (1024 a core); storage is bytes since the reading before."""

    name: str
    cpu: float | None = None
    memory_bytes: int | None = None
    storage: Transfer | None = None


@dataclass(frozen=True, slots=True)
class TaskUsage:
    """All of its containers together; network is bytes a second."""

    task_id: str
    cpu: float | None = None
    memory_bytes: int | None = None
    received_per_second: float | None = None
    sent_per_second: float | None = None
    storage: Transfer | None = None
    containers: tuple[ContainerUsage, ...] = ()


@dataclass(frozen=True, slots=True)
class HostUsage:
    cpu_percent: float | None = None
    memory: HostMemory | None = None
    received_per_second: float | None = None
    sent_per_second: float | None = None
    storage: Transfer | None = None
    disk_used_bytes: int | None = None
    disk_total_bytes: int | None = None


def since(before: int, now: int) -> int:
    """How far a counter went; one that went back began again at 0."""
    return now - before if now >= before else now


def task_usage(before: TaskReading | None, now: TaskReading, cores: int) -> TaskUsage:
    known = before.containers if before is not None else {}
    containers = tuple(_container_usage(known.get(key), each, cores) for key, each in now.containers.items())
    received, sent = _network_rates(before, now)
    return TaskUsage(
        task_id=now.task_id,
        cpu=_total(each.cpu for each in containers),
        memory_bytes=_total(each.memory_bytes for each in containers),
        received_per_second=received,
        sent_per_second=sent,
        storage=_both(each.storage for each in containers),
        containers=containers,
    )


def _container_usage(before: ContainerReading | None, now: ContainerReading, cores: int) -> ContainerUsage:
    return ContainerUsage(
        name=now.name,
        cpu=_cpu_units(before, now, cores) if before is not None else None,
        memory_bytes=now.memory_bytes,
        storage=_moved(before.storage, now.storage) if before is not None else None,
    )


def _cpu_units(before: ContainerReading, now: ContainerReading, cores: int) -> float | None:
    seconds = now.at - before.at
    if before.cpu_nanos is None or now.cpu_nanos is None or seconds <= 0:
        return None
    used = since(before.cpu_nanos, now.cpu_nanos) / 1e9 / seconds
    return used * CPU_UNITS_PER_CORE if used <= cores * CORES_SLACK else None


def _network_rates(before: TaskReading | None, now: TaskReading) -> tuple[float | None, float | None]:
    """Of the namespaces that both readings have."""
    if before is None or now.at <= before.at:
        return None, None
    moved = _both(_moved(before.networks.get(key), each) for key, each in now.networks.items())
    seconds = now.at - before.at
    return (None, None) if moved is None else (moved.inward / seconds, moved.outward / seconds)


def host_usage(before: HostReading | None, now: HostReading) -> HostUsage:
    seconds = now.at - before.at if before is not None else 0.0
    network = _moved(before.network, now.network) if before is not None and seconds > 0 else None
    return HostUsage(
        cpu_percent=_busy_percent(before.cpu, now.cpu) if before is not None else None,
        memory=now.memory,
        received_per_second=network.inward / seconds if network is not None else None,
        sent_per_second=network.outward / seconds if network is not None else None,
        storage=_moved(before.storage, now.storage) if before is not None else None,
        disk_used_bytes=now.disk_used_bytes,
        disk_total_bytes=now.disk_total_bytes,
    )


def _busy_percent(before: HostCpu | None, now: HostCpu | None) -> float | None:
    if before is None or now is None or now.total <= before.total or now.busy < before.busy:
        return None
    return min(100.0, 100.0 * (now.busy - before.busy) / (now.total - before.total))


def _moved(before: Transfer | None, now: Transfer | None) -> Transfer | None:
    if before is None or now is None:
        return None
    return Transfer(since(before.inward, now.inward), since(before.outward, now.outward))


def _total(values: Iterable[Number | None]) -> Number | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _both(transfers: Iterable[Transfer | None]) -> Transfer | None:
    known = [each for each in transfers if each is not None]
    if not known:
        return None
    return Transfer(sum(each.inward for each in known), sum(each.outward for each in known))
