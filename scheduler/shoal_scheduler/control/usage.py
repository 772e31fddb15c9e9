"""Usage of tasks: added up in the very step that ends them, so that every task counts once, whatever fails. Pure.

What still runs is in no sum yet: it is worked out when somebody asks.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from shoal_scheduler.model.task import Task
from shoal_scheduler.model.usage import DAY_MILLIS, Usage, UsageMonth, began_at, by_day, day_of, month_and_day
from shoal_scheduler.state import changes as c
from shoal_scheduler.state.overlay import Overlay
from shoal_scheduler.state.tables import Tables

# A year to look back at, and the month that is not over.
MONTHS_KEPT = 13

# Dropped in one step at most.
MONTHS_PER_STEP = 20


def accrued(view: Overlay, changes: Sequence[c.Change]) -> list[c.Change]:
    """The sums with the tasks that end by these changes. `view` does not know the changes yet."""
    months: dict[tuple[str, str, str], UsageMonth] = {}
    for change in changes:
        if isinstance(change, c.PutTask) and change.task.is_stopped and _ends_now(view, change.task):
            _add(view, months, change.task)
    return [c.PutUsage(month) for month in months.values()]


def _ends_now(view: Overlay, task: Task) -> bool:
    before = view.task(task.key)
    return before is not None and not before.is_stopped and began_at(task) > 0


def _add(view: Overlay, months: dict[tuple[str, str, str], UsageMonth], task: Task) -> None:
    cluster, group = task.launch.cluster, task.launch.group
    spans = list(by_day(view.ask(task.launch).resources, began_at(task), task.stopped_at))
    ended = task.stopped_at // DAY_MILLIS
    for day, used in (*spans, (ended, Usage(tasks=1))):
        month, number = month_and_day(day)
        key = (cluster, group, month)
        known = months.get(key) or view.usage(*key) or UsageMonth(cluster=cluster, group=group, month=month)
        days = {**known.days, number: known.days.get(number, Usage()) + used}
        months[key] = UsageMonth(cluster=cluster, group=group, month=month, days=days)


def oldest_month(now: int) -> str:
    """The first month that is kept."""
    year, month = map(int, month_and_day(now // DAY_MILLIS)[0].split("-"))
    first = year * 12 + (month - 1) - (MONTHS_KEPT - 1)
    return f"{first // 12:04d}-{first % 12 + 1:02d}"


def expired(tables: Tables, now: int) -> list[c.Change]:
    """Months that are too long ago."""
    oldest = oldest_month(now)
    old = [key for key in tables.usage if key[2] < oldest]
    return [c.DeleteUsage(*key) for key in old[:MONTHS_PER_STEP]]


def used(tables: Tables, cluster: str, first_day: int, last_day: int, now: int) -> dict[tuple[int, str], Usage]:
    """By day and group, from one day to another, both included: what ended and what runs still, up to `now`."""
    sums: defaultdict[tuple[int, str], Usage] = defaultdict(Usage)
    for day, group, usage in (*_ended(tables, cluster), *_running(tables, cluster, now)):
        if first_day <= day <= last_day:
            sums[day, group] += usage
    return dict(sorted(sums.items()))


def _ended(tables: Tables, cluster: str) -> Iterator[tuple[int, str, Usage]]:
    for month in tables.usage.values():
        if month.cluster == cluster:
            for number, usage in month.days.items():
                yield day_of(month.month, number), month.group, usage


def _running(tables: Tables, cluster: str, now: int) -> Iterator[tuple[int, str, Usage]]:
    for keys in tables.live_tasks.values():
        for key in keys:
            task = tables.task(key)
            if task is None or task.launch.cluster != cluster or not began_at(task):
                continue
            for day, usage in by_day(tables.resources(task.launch.id), began_at(task), now):
                yield day, task.launch.group, usage
