"""What tasks reserved, and for how long: the sums of one group in one month, day by day.

Amounts are whole numbers, so that adding them up never loses anything: cpu units, MiB and thousandths of a GPU, each
times milliseconds.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import msgspec

from shoal_scheduler.model.ask import Resources
from shoal_scheduler.model.task import Task

DAY_MILLIS = 86_400_000
CPU_SECOND = GIB_SECOND = 1024 * 1000
GPU_SECOND = 1000 * 1000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Usage(msgspec.Struct, frozen=True, array_like=True):
    """`tasks` are those that ended."""

    tasks: int = 0
    cpu: int = 0
    memory: int = 0
    gpu: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(self.tasks + other.tasks, self.cpu + other.cpu, self.memory + other.memory, self.gpu + other.gpu)


class UsageMonth(msgspec.Struct, frozen=True, kw_only=True):
    """`month` as 2026-11; `days` by the day of the month, in UTC."""

    cluster: str
    group: str
    month: str
    days: dict[int, Usage] = {}


def began_at(task: Task) -> int:
    """Milliseconds; 0 for a task of which nothing ever ran. As on Fargate the download of its images counts."""
    return task.pull_started_at or task.started_at


def during(resources: Resources, start: int, end: int) -> Usage:
    """What a task with these resources uses from `start` to `end`, in milliseconds."""
    length = max(0, end - start)
    gpus = resources.gpus * resources.gpu_milli
    return Usage(cpu=resources.cpu * length, memory=resources.memory_mib * length, gpu=gpus * length)


def by_day(resources: Resources, start: int, end: int) -> Iterator[tuple[int, Usage]]:
    """The same day by day; days are numbers since the epoch."""
    while start < end:
        day = start // DAY_MILLIS
        following = min(end, (day + 1) * DAY_MILLIS)
        yield day, during(resources, start, following)
        start = following


def so_far(task: Task, resources: Resources, now: int) -> Usage:
    """What the task has used, until it ended or up to now."""
    return during(resources, began_at(task), task.stopped_at or now) if began_at(task) else Usage()


def month_and_day(day: int) -> tuple[str, int]:
    """
    >>> month_and_day(0), month_and_day(20_782)
    (('1970-01', 1), ('2026-11', 25))
    """
    date = _EPOCH + timedelta(days=day)
    return f"{date.year:04d}-{date.month:02d}", date.day


def day_of(month: str, day: int) -> int:
    """The inverse.

    >>> day_of("2026-11", 25)
    20782
    """
    year, _, number = month.partition("-")
    return (datetime(int(year), int(number), day, tzinfo=UTC) - _EPOCH).days
