"""Finished work is kept by time and by count, then dropped, submission by submission; so are deployments of services;
tokens are when they are over."""

from shoal_scheduler.control import joining
from shoal_scheduler.control.batch import retention as batch_retention
from shoal_scheduler.control.context import Context
from shoal_scheduler.control.services import retention as service_retention
from shoal_scheduler.state import changes as c
from shoal_scheduler.state.tables import LaunchEntry, Tables

# So that a clean-up never makes a step long.
LAUNCHES_PER_STEP = 20


def expired(tables: Tables, context: Context) -> list[c.Change]:
    """Launches to drop now, all tasks STOPPED, those first that ended first; and tokens by which hosts joined."""
    excess = tables.finished_tasks - context.limits.stopped_tasks_max
    oldest_kept = context.now - context.limits.stopped_tasks_keep_seconds * 1000
    dropped: list[c.Change] = []
    for launch_id, stopped_at in tables.finished.items():
        is_old = stopped_at < oldest_kept
        if len(dropped) == LAUNCHES_PER_STEP or not (is_old or excess > 0):
            break
        entry = tables.launches[launch_id]
        if is_old or not _token_is_fresh(entry, context):
            excess -= len(entry.tasks)
            dropped.append(c.DeleteLaunch(launch_id))
    dropped += batch_retention.expired(tables, context)
    dropped += joining.expired(tables, context.now, max(0, LAUNCHES_PER_STEP - len(dropped)))
    return [*dropped, *service_retention.expired(tables, context, max(0, LAUNCHES_PER_STEP - len(dropped)))]


def _token_is_fresh(entry: LaunchEntry, context: Context) -> bool:
    age_ms = context.now - entry.launch.created_at
    return bool(entry.launch.client_token) and age_ms < context.limits.client_tokens_keep_seconds * 1000
