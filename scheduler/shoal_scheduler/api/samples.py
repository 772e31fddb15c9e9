"""Samples of an agent: checked, since its host may be hostile, and handed on. They never end or delay a session.

Numbers are finite and within bounds that no host reaches; tasks are the instance's own, or they are not looked at.
"""

import logging
import math
from collections.abc import Sequence

from google.protobuf.message import Message
from shoal.v1 import agent_pb2 as pb

from shoal_scheduler.api.agent_checks import CONTAINERS_MAX, TASK_ID_CHARACTERS_MAX
from shoal_scheduler.control_plane import ControlPlane
from shoal_scheduler.metrics.usage import NAN, ContainerUsed, HostUsed, Sample, TaskUsed
from shoal_scheduler.model.task import TaskKey

log = logging.getLogger(__name__)

TASKS_MAX = 2_000
NAME_CHARACTERS_MAX = 255

# No host has a pebibyte of memory, moves as much a second, or has ten thousand processors.
BYTES_MAX = 2.0**50
CPU_UNITS_MAX = 1024.0 * 10_000
_BOUNDS = {"cpu_percent": 100.0, "cpu_units": CPU_UNITS_MAX}

# Beside a task's own containers there are those that the agent makes for it.
_OWN_CONTAINERS_MAX = 2

_HOST = (
    "cpu_percent",
    "memory_used_bytes",
    "memory_total_bytes",
    "disk_used_bytes",
    "disk_total_bytes",
    "network_rx_bytes_per_second",
    "network_tx_bytes_per_second",
    "storage_read_bytes",
    "storage_write_bytes",
)
_TASK = (
    "cpu_units",
    "memory_bytes",
    "network_rx_bytes_per_second",
    "network_tx_bytes_per_second",
    "storage_read_bytes",
    "storage_write_bytes",
)
_CONTAINER = ("cpu_units", "memory_bytes")


class BadSampleError(ValueError):
    """Says which number of which field cannot be."""


def take(plane: ControlPlane, instance: str, message: pb.Samples, now: float) -> None:
    """`now`: seconds of this host's clock, which alone says when a sample was taken."""
    metrics, known = plane.metrics, plane.tables.instances.get(instance)
    if known is None or not metrics.wants(instance, len(message.tasks), now):
        metrics.samples_refused += 1
        return
    try:
        sample = Sample(now, HostUsed(*_numbers("host", message.host, _HOST)), _tasks(plane, instance, message.tasks))
    except BadSampleError as error:
        if not metrics.samples_refused:  # the first tells; a hostile host shall not fill the log
            log.warning("samples refused instance=%s reason=%s", instance, error)
        metrics.samples_refused += 1
        return
    metrics.samples_dropped[instance] = min(max(message.dropped, 0), 2**53)
    metrics.take(known.cluster, instance, sample)


def _tasks(plane: ControlPlane, instance: str, samples: Sequence[pb.TaskSample]) -> dict[str, TaskUsed]:
    if len(samples) > TASKS_MAX:
        raise BadSampleError(f"tasks has {len(samples)} entries; at most {TASKS_MAX} are allowed")
    tasks = {}
    for index, sample in enumerate(samples):
        field = f"tasks[{index}]"
        used = TaskUsed._make((*_numbers(field, sample, _TASK), ()))
        if len(sample.containers) > CONTAINERS_MAX + _OWN_CONTAINERS_MAX:
            raise BadSampleError(f"{field}.containers has {len(sample.containers)} entries")
        containers = tuple(_container(f"{field}.containers", each) for each in sample.containers)
        if _is_its_own(plane, instance, sample.task_id):
            tasks[sample.task_id] = used._replace(containers=containers)
    return tasks


def _is_its_own(plane: ControlPlane, instance: str, task_id: str) -> bool:
    key = TaskKey.parse(task_id) if len(task_id) <= TASK_ID_CHARACTERS_MAX else None
    task = plane.tables.task(key) if key is not None else None
    return task is not None and task.id == task_id and task.instance == instance and not task.is_stopped


def _container(field: str, sample: pb.ContainerSample) -> ContainerUsed:
    if len(sample.name) > NAME_CHARACTERS_MAX:
        raise BadSampleError(f"{field}.name has more than {NAME_CHARACTERS_MAX} characters")
    return ContainerUsed(sample.name, *_numbers(field, sample, _CONTAINER))


def _numbers(field: str, message: Message, names: Sequence[str]) -> list[float]:
    """NaN for what is absent."""
    return [
        _checked(f"{field}.{name}", getattr(message, name), _BOUNDS.get(name, BYTES_MAX))
        if message.HasField(name)
        else NAN
        for name in names
    ]


def _checked(field: str, value: float, most: float) -> float:
    if not (math.isfinite(value) and 0 <= value <= most):
        raise BadSampleError(f"{field} is {value}; it must be 0 to {most:g}")
    return float(value)
