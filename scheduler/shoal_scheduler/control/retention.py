"""Finished work is kept by time and by count, then dropped, submission by submission."""

from collections.abc import Iterator

from shoal_scheduler.control.context import Context
from shoal_scheduler.state import changes as c
from shoal_scheduler.state.tables import LaunchEntry, Tables

# So that a clean-up never makes a step long.
LAUNCHES_PER_STEP = 20


def expired(tables: Tables, context: Context) -> list[c.Change]:
    """Launches to drop now: all tasks STOPPED, oldest first."""
    excess = sum(len(e.tasks) for e in tables.launches.values() if not e.live) - context.limits.stopped_tasks_max
    dropped: list[c.Change] = []
    for entry in _finished(tables):
        too_many = excess > 0 and not _token_is_fresh(entry, context)
        if not too_many and not _is_old(entry, context):
            continue
        excess -= len(entry.tasks)
        dropped.append(c.DeleteLaunch(entry.launch.id))
        if len(dropped) == LAUNCHES_PER_STEP:
            break
    return dropped


def _finished(tables: Tables) -> Iterator[LaunchEntry]:
    """In the order in which they were submitted."""
    return (entry for entry in tables.launches.values() if not entry.live)


def _is_old(entry: LaunchEntry, context: Context) -> bool:
    last = max((task.stopped_at for task in entry.tasks.values()), default=entry.launch.created_at)
    return context.now - last > context.limits.stopped_tasks_keep_seconds * 1000


def _token_is_fresh(entry: LaunchEntry, context: Context) -> bool:
    age_ms = context.now - entry.launch.created_at
    return bool(entry.launch.client_token) and age_ms < context.limits.client_tokens_keep_seconds * 1000
