"""Which metrics there are of what, how they are called and how long they are kept. Pure.

AWS/ECS has the metrics that Amazon ECS sends to CloudWatch, by its formulas; ECS/ContainerInsights those of CloudWatch
Container Insights. What both do not have of an instance by itself has the same names with the instance's dimension.
"""

from collections.abc import Hashable, Mapping
from typing import NamedTuple

from shoal_scheduler.metrics.frames import Tier

STEP_SECONDS = 10
_HOUR, _DAY = 3600, 86_400

SECONDS = Tier(STEP_SECONDS, 3 * _HOUR)
MINUTES = Tier(60, _DAY)
LONG = Tier(300, 15 * _DAY)

# A task's own are kept for as long as one looks for what has just gone wrong.
TASK_TIERS = (Tier(STEP_SECONDS, 900), Tier(60, 3 * _HOUR))

AWS_ECS, INSIGHTS = "AWS/ECS", "ECS/ContainerInsights"

_TRAFFIC = ("NetworkRxBytes", "NetworkTxBytes", "StorageReadBytes", "StorageWriteBytes")
_UTILISATION = ("CPUUtilization", "MemoryUtilization")
_RESERVATION = ("CPUReservation", "MemoryReservation")
_AMOUNTS = ("CpuUtilized", "CpuReserved", "MemoryUtilized", "MemoryReserved")
_COUNTS = ("RunningTaskCount", "PendingTaskCount")


class Kind(NamedTuple):
    """The metrics of one kind of thing. `rows_max`: of so many things at most; then those go of which nothing was
    heard for the longest time."""

    columns: tuple[str, ...]
    tiers: tuple[Tier, ...]
    rows_max: int


KINDS: Mapping[str, Kind] = {
    "cluster": Kind(
        (*_UTILISATION, *_RESERVATION, *_AMOUNTS, *_TRAFFIC, *_COUNTS, "TaskCount", "ContainerInstanceCount"),
        (SECONDS, MINUTES, LONG),
        100,
    ),
    "group": Kind((*_UTILISATION, *_AMOUNTS, *_TRAFFIC, *_COUNTS), (SECONDS, MINUTES, LONG), 128),
    "instance": Kind(
        (
            *_UTILISATION,
            "instance_cpu_utilization",
            "instance_memory_utilization",
            "instance_filesystem_utilization",
        ),
        (SECONDS, MINUTES, LONG),
        2_000,
    ),
    "instance traffic": Kind((*_RESERVATION, *_TRAFFIC), (SECONDS, MINUTES), 2_000),
    "task": Kind(("CpuUtilized", "MemoryUtilized", *_TRAFFIC), TASK_TIERS, 16_384),
}

_UNITS = {
    "CpuUtilized": "None",
    "CpuReserved": "None",
    "MemoryUtilized": "Megabytes",
    "MemoryReserved": "Megabytes",
    "NetworkRxBytes": "Bytes/Second",
    "NetworkTxBytes": "Bytes/Second",
    "StorageReadBytes": "Bytes",
    "StorageWriteBytes": "Bytes",
}

SERVICE = "service:"


def namespace_of(metric: str) -> str:
    return AWS_ECS if metric in (*_UTILISATION, *_RESERVATION) else INSIGHTS


def unit_of(metric: str) -> str:
    if metric in _UNITS:
        return _UNITS[metric]
    return "Count" if metric.endswith("Count") else "Percent"


def dimensions_of(kind: str, key: Hashable) -> dict[str, str]:
    """A group is told as the service it is of, if it is one's.

    >>> dimensions_of("group", ("default", "service:web"))
    {'ClusterName': 'default', 'ServiceName': 'web'}
    """
    cluster, name = key if isinstance(key, tuple) else (str(key), "")
    if kind == "cluster":
        return {"ClusterName": cluster}
    if kind == "group" and name.startswith(SERVICE):
        return {"ClusterName": cluster, "ServiceName": name.removeprefix(SERVICE)}
    words = {"group": "TaskGroup", "task": "TaskId"}
    return {"ClusterName": cluster, words.get(kind, "ContainerInstanceId"): name}


def thing_of(dimensions: Mapping[str, str]) -> tuple[tuple[str, ...], Hashable] | None:
    """The kinds and the key that dimensions name; None for dimensions that none of our metrics has."""
    cluster = dimensions.get("ClusterName")
    others = {name: value for name, value in dimensions.items() if name != "ClusterName"}
    if cluster is None or len(others) > 1:
        return None
    if not others:
        return ("cluster",), cluster
    ((name, value),) = others.items()
    match name:
        case "ServiceName":
            return ("group",), (cluster, SERVICE + value)
        case "TaskGroup":
            return ("group",), (cluster, value)
        case "ContainerInstanceId":
            return ("instance", "instance traffic"), (cluster, value)
        case "TaskId":
            return ("task",), (cluster, value)
    return None
