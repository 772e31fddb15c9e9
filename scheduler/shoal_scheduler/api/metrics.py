"""Metrics in the words of CloudWatch: what there are, their statistics, what others put, and what is used now."""

import re
from collections.abc import Iterable, Iterator
from heapq import nlargest
from typing import Any

from shoal.problems import quoted
from shoal.rpc import Identity
from shoal.v1 import metrics_pb2 as pb

from shoal_scheduler.api.agent_checks import text
from shoal_scheduler.api.fields import existing_cluster, required
from shoal_scheduler.api.metric_data import points_of
from shoal_scheduler.api.pages import page
from shoal_scheduler.api.samples import NAME_CHARACTERS_MAX
from shoal_scheduler.control_plane import ControlPlane
from shoal_scheduler.metrics import statistics
from shoal_scheduler.metrics.frames import Point
from shoal_scheduler.metrics.names import STEP_SECONDS
from shoal_scheduler.metrics.statistics import STATISTICS, TooFineError
from shoal_scheduler.metrics.store import PUT_SERIES_MAX, Metric, is_ours
from shoal_scheduler.metrics.usage import TaskUsed, looks_at_all
from shoal_scheduler.model.instance import Instance
from shoal_scheduler.model.refusal import Refused, invalid_field
from shoal_scheduler.model.task import Task, TaskKey

# CloudWatch's limits.
DATAPOINTS_MAX = 1440
DIMENSIONS_MAX = 30
DATA_MAX = 1000

# The last second of the year 9999.
TIME_MAX = 253_402_300_799
USAGE_DEFAULT, USAGE_MAX = 100, 1000

_NAME = re.compile(r"[!-~][ -~]{0,254}")


async def list_all(plane: ControlPlane, request: pb.ListMetricsRequest, _caller: Identity) -> pb.ListMetricsResponse:
    wanted = _dimensions(request.dimensions, values_needed=False)
    found = (
        ("\n".join((each.namespace, each.name, *map("=".join, each.dimensions))), each)
        for each in (plane.metrics.of(dict(wanted)) if request.exact_dimensions else plane.metrics.all())
        if request.namespace in ("", each.namespace)
        and request.metric_name in ("", each.name)
        and all(
            dict(each.dimensions).get(name) in ((value,) if value else dict(each.dimensions).values())
            for name, value in wanted
        )
    )
    metrics, token = page(found, request)
    return pb.ListMetricsResponse(metrics=map(_message, metrics), next_token=token or None)


def _message(metric: Metric) -> pb.Metric:
    dimensions = [pb.Dimension(name=name, value=value) for name, value in metric.dimensions]
    return pb.Metric(namespace=metric.namespace, metric_name=metric.name, dimensions=dimensions)


async def statistics_of(
    plane: ControlPlane, request: pb.GetMetricStatisticsRequest, _caller: Identity
) -> pb.GetMetricStatisticsResponse:
    """Of a metric that nobody knows there is nothing, as with CloudWatch."""
    metric = metric_of(request.namespace, request)
    if not request.statistics:
        raise invalid_field("Statistics", f"is required: {', '.join(STATISTICS)}.")
    for index, name in enumerate(request.statistics):
        if name not in STATISTICS:
            raise invalid_field(f"Statistics[{index}]", f"{quoted(name)} is none of {', '.join(STATISTICS)}.")
    start, end, period = _span(request)
    series = plane.metrics.find(metric, plane.engine.now() / 1000)
    try:
        found = statistics.periods(series, start, end, period) if series is not None else []
    except TooFineError as error:
        raise invalid_field("Period", f"is {period}: {error}.") from None
    unit = plane.metrics.unit(metric)
    points = [_datapoint(each, request.statistics, unit) for each in found]
    return pb.GetMetricStatisticsResponse(label=metric.name, datapoints=points)


def _span(request: pb.GetMetricStatisticsRequest) -> tuple[int, int, int]:
    """In seconds."""
    for name, json_name in (("start_time", "StartTime"), ("end_time", "EndTime")):
        if not 0 < getattr(request, name) <= TIME_MAX * 1000:
            raise invalid_field(json_name, "is required, in seconds since 1970, before the year 10000.")
    start, end, period = request.start_time // 1000, -(-request.end_time // 1000), request.period
    if end <= start:
        raise invalid_field("EndTime", "must be later than StartTime.")
    if period < STEP_SECONDS or period % STEP_SECONDS:
        raise invalid_field("Period", f"is {period}: must be a multiple of {STEP_SECONDS} seconds.")
    if (end - start) / period > DATAPOINTS_MAX:
        count = -(-(end - start) // period)
        raise invalid_field("Period", f"would give {count} datapoints, at most {DATAPOINTS_MAX}: take a longer one.")
    return start, end, period


def _datapoint(point: Point, wanted: Iterable[str], unit: str) -> pb.Datapoint:
    values = {name: STATISTICS[name](point) for name in wanted}
    return pb.Datapoint(
        timestamp=point.time * 1000,
        sample_count=values.get("SampleCount"),
        average=values.get("Average"),
        sum=values.get("Sum"),
        minimum=values.get("Minimum"),
        maximum=values.get("Maximum"),
        unit=unit,
    )


async def put(plane: ControlPlane, request: pb.PutMetricDataRequest, _caller: Identity) -> pb.PutMetricDataResponse:
    """All or, if something of it is wrong, nothing."""
    if is_ours(required(request, "namespace", "Namespace")) or request.namespace.startswith("AWS/"):
        raise invalid_field("Namespace", f"{quoted(request.namespace)} is not for others: use one of your own.")
    _check_name("Namespace", request.namespace)
    if not 1 <= len(request.metric_data) <= DATA_MAX:
        raise invalid_field("MetricData", f"has {len(request.metric_data)} items; 1 to {DATA_MAX} in one call.")
    now = plane.engine.now() / 1000
    taken = []
    for index, datum in enumerate(request.metric_data):
        field = f"MetricData[{index}]"
        metric = metric_of(request.namespace, datum, f"{field}.")
        taken.append((metric, datum.unit or "None", points_of(field, datum, now)))
    new = {metric for metric, _, _ in taken if plane.metrics.find(metric, now) is None}
    if len(plane.metrics.put.rows) + len(new) > PUT_SERIES_MAX:
        raise Refused(
            "exhausted",
            f"At most {PUT_SERIES_MAX} different metrics can be put; one that is silent for 15 days goes.",
            reason="LimitExceededException",
        )
    for metric, unit, point in taken:
        plane.metrics.record(now, metric, unit, point)
    return pb.PutMetricDataResponse()


def metric_of(namespace: str, request: Any, path: str = "") -> Metric:
    if not namespace:
        raise invalid_field("Namespace", "is required.")
    _check_name("Namespace", namespace)
    _check_name(f"{path}MetricName", request.metric_name)
    return Metric(namespace, request.metric_name, _dimensions(request.dimensions, path))


def _dimensions(dimensions: Any, path: str = "", *, values_needed: bool = True) -> tuple[tuple[str, str], ...]:
    """In the order of their names."""
    if len(dimensions) > DIMENSIONS_MAX:
        raise invalid_field(f"{path}Dimensions", f"has {len(dimensions)} items; at most {DIMENSIONS_MAX} are allowed.")
    found: dict[str, str] = {}
    for index, each in enumerate(dimensions):
        field = f"{path}Dimensions[{index}]"
        _check_name(f"{field}.Name", each.name)
        if values_needed or each.value:
            _check_name(f"{field}.Value", each.value)
        if each.name in found:
            raise invalid_field(f"{field}.Name", f"{quoted(each.name)} is there twice.")
        found[each.name] = each.value
    return tuple(sorted(found.items()))


def _check_name(field: str, value: str) -> None:
    if not value:
        raise invalid_field(field, "is required.")
    if not _NAME.fullmatch(value):
        raise invalid_field(field, f"{quoted(value[:300])} is not 1 to 255 ASCII characters, the first no space.")


async def describe_usage(
    plane: ControlPlane, request: pb.DescribeUsageRequest, _caller: Identity
) -> pb.DescribeUsageResponse:
    cluster = existing_cluster(plane, request)
    if request.sort_by not in ("", "CPU", "MEMORY"):
        raise invalid_field("sortBy", f"{quoted(request.sort_by)} is none of CPU, MEMORY.")
    most = request.max_results if request.HasField("max_results") else USAGE_DEFAULT
    if not 1 <= most <= USAGE_MAX:
        raise invalid_field("maxResults", f"is {most}, must be 1 to {USAGE_MAX}.")
    by_memory, now, tables = request.sort_by == "MEMORY", plane.engine.now() / 1000, plane.tables
    instances = sorted(tables.instances_of(cluster.name), key=lambda each: (each.registered_at, each.id))
    every = looks_at_all(tables)
    tasks = [(task, used, at) for each in instances for task, used, at in _tasks_on(plane, each, now, every)]
    first = nlargest(most, tasks, key=lambda each: _known(each[1].memory_bytes if by_memory else each[1].cpu_units, -1))
    return pb.DescribeUsageResponse(
        instances=[_instance_usage(plane, each, now) for each in instances[:USAGE_MAX]],
        tasks=[_task_usage(plane, *each) for each in first],
        tasks_count=sum(len(tables.live_tasks.get(each.id, ())) for each in instances),
    )


def _tasks_on(
    plane: ControlPlane, instance: Instance, now: float, every: bool
) -> Iterator[tuple[Task, TaskUsed, float | None]]:
    """In very large clusters only those of which something is known."""
    sample = plane.metrics.fresh(instance.id, now)
    known = sample.tasks if sample is not None else {}
    if every:
        there = plane.tables.tasks_on(instance.id)
    else:
        keys = (TaskKey.parse(task_id) for task_id in known)
        found = (plane.tables.task(key) for key in keys if key is not None)
        there = [task for task in found if task is not None and not task.is_stopped]
    for task in there:
        used = known.get(task.id)
        yield task, used or TaskUsed(), sample.at if sample is not None and used is not None else None


def _known(value: float, otherwise: Any) -> Any:
    """NaN is what is not known."""
    return value if value == value else otherwise


def _number(value: float) -> float | None:
    return value if value == value else None


def _whole(value: float) -> int | None:
    return int(value) if value == value else None


def _instance_usage(plane: ControlPlane, instance: Instance, now: float) -> pb.InstanceUsage:
    room = plane.tables.room(instance.cluster)
    usage = pb.InstanceUsage(
        container_instance_id=instance.id,
        hostname=instance.hostname,
        running_tasks_count=int(room.running[room.rows[instance.id]]),
    )
    sample = plane.metrics.fresh(instance.id, now)
    if sample is None:
        return usage
    host = sample.host
    known = pb.InstanceUsage(
        sampled_at=int(sample.at * 1000),
        cpu_percent=_number(host.cpu_percent),
        memory_used_bytes=_whole(host.memory_used_bytes),
        memory_total_bytes=_whole(host.memory_total_bytes),
        disk_used_bytes=_whole(host.disk_used_bytes),
        disk_total_bytes=_whole(host.disk_total_bytes),
        network_rx_bytes_per_second=_number(host.received_per_second),
        network_tx_bytes_per_second=_number(host.sent_per_second),
    )
    usage.MergeFrom(known)
    return usage


def _task_usage(plane: ControlPlane, task: Task, used: TaskUsed, at: float | None) -> pb.TaskUsage:
    wanted = plane.tables.resources(task.launch.id)
    return pb.TaskUsage(
        task_id=task.id,
        container_instance_id=task.instance,
        group=task.launch.group,
        task_definition=task.launch.definition,
        sampled_at=None if at is None else int(at * 1000),
        cpu_units=_number(used.cpu_units),
        memory_bytes=_whole(used.memory_bytes),
        network_rx_bytes_per_second=_number(used.received_per_second),
        network_tx_bytes_per_second=_number(used.sent_per_second),
        cpu_reserved_units=wanted.cpu or None,
        memory_reserved_mib=wanted.memory_mib or None,
        containers=[
            pb.ContainerUsage(
                name=text(each.name, NAME_CHARACTERS_MAX),
                cpu_units=_number(each.cpu_units),
                memory_bytes=_whole(each.memory_bytes),
            )
            for each in used.containers
        ],
    )
