"""What time itself asks for of jobs: attempts that run for too long are stopped, and the first job of a queue that
waits for too long is cancelled. Pure.

By the scheduler's clock alone. An agent says when an attempt has started, which is believed as far as it is not in the
future, nor before the attempt was there; so the deadline is in the records, and the same whoever leads. Since when a
job is the first of its queue nobody keeps: a new leader counts from the beginning. An array of which something starts
now and then does not wait.
"""

from math import inf

from shoal_scheduler.control import tasks
from shoal_scheduler.control.batch.attempts import ATTEMPT_TIMEOUT, TIMED_OUT
from shoal_scheduler.control.batch.stopping import cancel_job
from shoal_scheduler.control.context import Context
from shoal_scheduler.state.changes import PutTask
from shoal_scheduler.state.overlay import Overlay
from shoal_scheduler.state.tables import Tables

# Looked at in one step: the rest in the next, at once.
TASKS_PER_STEP = 200


def enforce(view: Overlay, context: Context, keys_max: int) -> None:
    """Proposes what is due, until the step has touched `keys_max` keys."""
    for key in view.batch.overdue(context.now, TASKS_PER_STEP):
        task = view.task(key)
        if task is not None and not task.is_stopped and not view.is_full(keys_max):
            view.propose([PutTask(tasks.stopping(task, ATTEMPT_TIMEOUT, TIMED_OUT, context.now))])
    for queue in view.batch.queues():
        first = view.batch.stands_since(queue.name) if queue.time_limits else None
        job = view.batch.job(first[0]) if first else None
        for limit in queue.time_limits:
            if first is not None and job is not None and first[1] + limit.max_seconds * 1000 <= context.now:
                cancel_job(view, job, limit.reason, context)


def due_at(tables: Tables) -> float:
    """When there is something to do again, in milliseconds; infinity if nothing is coming."""
    batch = tables.batch
    due = inf if (deadline := batch.next_deadline()) is None else deadline
    for queue in batch.queues.values():
        first = batch.stands_since(queue.name) if queue.time_limits else None
        if first is not None:
            due = min(due, first[1] + 1000 * min(limit.max_seconds for limit in queue.time_limits))
    return due
