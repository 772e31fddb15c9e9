"""GET /metrics: the scheduler, its clusters and its instances in the text format of Prometheus; /metrics/tasks: what
each running task uses. A follower answers, too: that it does not lead, and no more.

Names begin with shoal_ and end with their unit. Labels have only values of things that are there now.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeVar

from aiohttp import web
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector, CollectorRegistry
from shoal import __version__

from shoal_scheduler.api.gate import Gate
from shoal_scheduler.api.http import Handler, for_roles
from shoal_scheduler.control_plane import ControlPlane
from shoal_scheduler.engine import Unavailable
from shoal_scheduler.metrics.meters import BUCKETS, Histogram

Thing = TypeVar("Thing", tuple[str], tuple[str, str])
Families = Callable[[ControlPlane | None], Iterator[Metric]]

ROLES = frozenset({"operator", "monitor"})

# CloudWatch's name of a share in percent, ours of the same from 0 to 1, and what it is.
_SHARES = (
    ("CPUReservation", "cpu_reservation", "CPU units that tasks reserve, of those registered"),
    ("MemoryReservation", "memory_reservation", "Memory that tasks reserve, of that registered"),
    ("CPUUtilization", "cpu_utilization", "CPU that tasks use, of what is registered; of a group, reserved"),
    (
        "MemoryUtilization",
        "memory_utilization",
        "Memory that tasks use, of what is registered; of a group, reserved",
    ),
    ("instance_cpu_utilization", "host_cpu_utilization", "CPU of the host that is busy"),
    ("instance_memory_utilization", "host_memory_utilization", "Memory of the host that is in use"),
    ("instance_filesystem_utilization", "host_filesystem_utilization", "File system of the engine that is in use"),
)


def routes(gate: Gate) -> dict[tuple[str, str], Handler]:
    """For the HTTPS listener."""
    return {
        ("GET", "/metrics"): for_roles(ROLES, _page(gate, _all)),
        ("GET", "/metrics/tasks"): for_roles(ROLES, _page(gate, _tasks)),
    }


def _page(gate: Gate, families: Families) -> Handler:
    async def handler(_request: web.Request) -> web.Response:
        try:
            plane = gate.plane
        except Unavailable:
            plane = None
        # Of many tasks the text takes a while, for which the scheduler shall not stand still.
        text = await asyncio.to_thread(text_of, list(families(plane)))
        return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE_LATEST})

    return handler


def text_of(families: Iterable[Metric]) -> bytes:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Once(families))
    return generate_latest(registry)


class _Once(Collector):
    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def _all(plane: ControlPlane | None) -> Iterator[Metric]:
    yield InfoMetricFamily("shoal_build", "The program that answers", {"version": __version__})
    yield GaugeMetricFamily("shoal_leader", "1 if this scheduler leads", 0 if plane is None else 1)
    if plane is None:
        return
    yield GaugeMetricFamily("shoal_leader_epoch", "Of its leadership: grows with every leader", plane.epoch)
    yield GaugeMetricFamily("shoal_store_revision", "Of the store, up to which all is known", plane.tables.revision)
    yield from _engine(plane)
    yield from _samples(plane)
    yield from _state(plane)
    yield from _usage(plane)


def _engine(plane: ControlPlane) -> Iterator[Metric]:
    meters = plane.engine.meters
    yield _histogram("shoal_step_duration_seconds", "Deciding on all requests that wait, once", meters.steps)
    yield _histogram("shoal_commit_duration_seconds", "A transaction of etcd", meters.commits)
    yield CounterMetricFamily("shoal_commits", "Transactions that were stored", sum(meters.commits.counts))
    failed = CounterMetricFamily("shoal_commits_failed", "Those that were not, or not known to be", labels=["reason"])
    for reason, count in sorted(meters.commits_failed.items()):
        failed.add_metric([reason], count)
    yield failed
    yield CounterMetricFamily("shoal_inputs", "Requests and reports that were decided on", meters.inputs)
    yield CounterMetricFamily("shoal_placements", "Tasks that were given an instance", meters.placements)
    yield GaugeMetricFamily("shoal_inbox_length", "Requests and reports that wait", plane.engine.waiting)


def _histogram(name: str, said: str, measured: Histogram) -> Metric:
    buckets, below = [], 0
    for bound, count in zip((*map(str, BUCKETS), "+Inf"), measured.counts, strict=True):
        below += count
        buckets.append((bound, below))
    return HistogramMetricFamily(name, said, buckets=buckets, sum_value=measured.total)


def _samples(plane: ControlPlane) -> Iterator[Metric]:
    metrics = plane.metrics
    yield CounterMetricFamily("shoal_samples_taken", "Samples of agents that were taken", metrics.samples_taken)
    yield CounterMetricFamily("shoal_samples_refused", "Samples that were wrong or too many", metrics.samples_refused)
    dropped = CounterMetricFamily("shoal_agent_samples_dropped", "Samples that no session took", labels=["instance"])
    for instance, count in metrics.samples_dropped.items():
        dropped.add_metric([instance], count)
    yield dropped
    yield GaugeMetricFamily("shoal_series_memory_bytes", "What time series take", metrics.nbytes)


def _state(plane: ControlPlane) -> Iterator[Metric]:
    tables = plane.tables
    yield GaugeMetricFamily("shoal_sessions", "Agents that are connected", len(tables.sessions))
    queue = GaugeMetricFamily("shoal_queue_length", "Tasks that wait for room", labels=["cluster"])
    tasks = GaugeMetricFamily("shoal_tasks", "Tasks on instances", labels=["cluster", "status"])
    instances = GaugeMetricFamily("shoal_instances", "Instances that are registered", labels=["cluster", "status"])
    for cluster in tables.clusters:
        room = tables.room(cluster)
        there = room.present()
        queue.add_metric([cluster], tables.waiting_count.get(cluster, 0))
        tasks.add_metric([cluster, "RUNNING"], int(room.running[there].sum()))
        tasks.add_metric([cluster, "PENDING"], int(room.pending[there].sum()))
        active = sum(each.status == "ACTIVE" for each in tables.instances_of(cluster))
        instances.add_metric([cluster, "ACTIVE"], active)
        instances.add_metric([cluster, "DRAINING"], room.registered - active)
    yield from (queue, tasks, instances)


def _usage(plane: ControlPlane) -> Iterator[Metric]:
    summary = plane.metrics.summary
    clusters = {(cluster,): values for cluster, values in summary.clusters.items()}
    yield from _shares("shoal_cluster", ["cluster"], clusters)
    yield from _shares("shoal_group", ["cluster", "group"], summary.groups)
    yield from _shares("shoal_instance", ["cluster", "instance"], summary.instances)


def _shares(prefix: str, labels: list[str], things: Mapping[Thing, Mapping[str, float]]) -> Iterator[Metric]:
    """Nothing of what is not known."""
    for name, ours, said in _SHARES:
        family = GaugeMetricFamily(f"{prefix}_{ours}_ratio", said, labels=labels)
        for thing, values in things.items():
            value = values.get(name)
            if value is not None and value == value:
                family.add_metric(list(thing), value / 100)
        if family.samples:
            yield family


_OF_TASKS = (
    ("shoal_task_cpu_cores", "Cores that a task uses", 0, 1 / 1024),
    ("shoal_task_memory_bytes", "Memory that a task holds", 1, 1.0),
    ("shoal_task_network_receive_bytes_per_second", "What a task receives", 2, 1.0),
    ("shoal_task_network_transmit_bytes_per_second", "What a task sends", 3, 1.0),
)


def _tasks(plane: ControlPlane | None) -> Iterator[Metric]:
    if plane is None:
        return
    labels, now = ["cluster", "instance", "group", "task"], plane.engine.now() / 1000
    families = [GaugeMetricFamily(name, said, labels=labels) for name, said, _, _ in _OF_TASKS]
    for instance in plane.tables.instances.values():
        sample = plane.metrics.fresh(instance.id, now)
        for task in plane.tables.tasks_on(instance.id) if sample is not None else ():
            used = sample.tasks.get(task.id) if sample is not None else None
            for family, (_, _, position, factor) in zip(families, _OF_TASKS, strict=True):
                value = used[position] if used is not None else None
                if isinstance(value, float) and value == value:
                    family.add_metric([instance.cluster, instance.id, task.launch.group, task.id], value * factor)
    yield from families
