"""What was read last, in the text format of Prometheus: counters as the kernel counts them, which go on while the agent
is away. Of tasks that run here, and of the host. Pure.
"""

from collections.abc import Iterable, Iterator
from typing import TypeVar

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector, CollectorRegistry

from shoal_agent.metrics.files import Transfer
from shoal_agent.metrics.sampler import Sample
from shoal_agent.metrics.usage import ContainerReading, TaskReading

Family = TypeVar("Family", CounterMetricFamily, GaugeMetricFamily)


def text_of(sample: Sample | None, dropped: int) -> bytes:
    """`sample` is None before the first; `dropped` counts those that no scheduler was told."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Once(_families(sample, dropped)))
    return generate_latest(registry)


class _Once(Collector):
    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def _families(sample: Sample | None, dropped: int) -> Iterator[Metric]:
    yield CounterMetricFamily("shoal_agent_samples_dropped", "Samples that no session took", dropped)
    if sample is None:
        return
    yield GaugeMetricFamily("shoal_agent_tasks", "Tasks that run here", len(sample.readings))
    yield from _of_host(sample)
    yield from _of_containers(sample.readings.values())
    yield from _of_tasks(sample.readings.values())


def _of_host(sample: Sample) -> Iterator[Metric]:
    reading, usage = sample.host_reading, sample.host
    busy = usage.cpu_percent / 100 if usage.cpu_percent is not None else None
    memory = reading.memory
    gauges = (
        ("shoal_host_cpu_utilization_ratio", "Of all processors together", busy),
        ("shoal_host_memory_used_bytes", "Not to be had without swapping", memory.used_bytes if memory else None),
        ("shoal_host_memory_total_bytes", "All there is", memory.total_bytes if memory else None),
        ("shoal_host_filesystem_used_bytes", "Where the engine keeps its data", reading.disk_used_bytes),
        ("shoal_host_filesystem_total_bytes", "Where the engine keeps its data", reading.disk_total_bytes),
    )
    for name, said, value in gauges:
        if value is not None:
            yield GaugeMetricFamily(name, said, value)
    network, storage = reading.network or Transfer(0, 0), reading.storage or Transfer(0, 0)
    counters = (
        ("shoal_host_network_receive_bytes", "By what leads out of the host", network.inward, reading.network),
        ("shoal_host_network_transmit_bytes", "By what leads out of the host", network.outward, reading.network),
        ("shoal_host_storage_read_bytes", "Of whole disks", storage.inward, reading.storage),
        ("shoal_host_storage_written_bytes", "Of whole disks", storage.outward, reading.storage),
    )
    yield from (CounterMetricFamily(name, said, value) for name, said, value, known in counters if known is not None)


def _of_containers(tasks: Iterable[TaskReading]) -> Iterator[Metric]:
    labels = ["task", "container"]
    cpu = CounterMetricFamily("shoal_container_cpu_seconds", "Processor time", labels=labels)
    memory = GaugeMetricFamily("shoal_container_memory_bytes", "Held, without idle cache", labels=labels)
    read = CounterMetricFamily("shoal_container_storage_read_bytes", "From disks", labels=labels)
    written = CounterMetricFamily("shoal_container_storage_written_bytes", "To disks", labels=labels)
    for task, each in _containers(tasks):
        at, storage = [task.task_id, each.name], each.storage
        _add(cpu, at, each.cpu_nanos / 1e9 if each.cpu_nanos is not None else None)
        _add(memory, at, each.memory_bytes)
        _add(read, at, storage.inward if storage is not None else None)
        _add(written, at, storage.outward if storage is not None else None)
    yield from (cpu, memory, read, written)


def _containers(tasks: Iterable[TaskReading]) -> Iterator[tuple[TaskReading, ContainerReading]]:
    return ((task, each) for task in tasks for each in task.containers.values())


def _of_tasks(tasks: Iterable[TaskReading]) -> Iterator[Metric]:
    received = CounterMetricFamily("shoal_task_network_receive_bytes", "By all its networks", labels=["task"])
    sent = CounterMetricFamily("shoal_task_network_transmit_bytes", "By all its networks", labels=["task"])
    for task in tasks:
        if task.networks:
            received.add_metric([task.task_id], sum(each.inward for each in task.networks.values()))
            sent.add_metric([task.task_id], sum(each.outward for each in task.networks.values()))
    yield from (received, sent)


def _add(family: Family, labels: list[str], value: float | None) -> None:
    if value is not None:
        family.add_metric(labels, value)
