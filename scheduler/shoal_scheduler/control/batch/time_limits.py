"""What time itself asks for of jobs: attempts that run for too long are stopped, and the first job of a queue that
waits for too long is cancelled. Pure.

By the scheduler's clock alone. An agent says when an attempt has started, which is believed as far as it is not in the
future, nor before the attempt was there; so the deadline is in the records, and the same whoever leads. Since when a
job is the first of its queue nobody keeps: a new leader counts from the beginning.
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
        if len(view.touched) < keys_max and task is not None and not task.is_stopped:
            view.propose([PutTask(tasks.stopping(task, ATTEMPT_TIMEOUT, TIMED_OUT, context.now))])
    for queue in view.batch.queues():
        for limit in queue.time_limits:
            waiting = view.batch.waiting(queue.name)
            front = waiting.looked.front
            job = view.batch.job(front[0].job) if front and front[0].job in waiting else None
            if job is not None and front[0].since + limit.max_seconds * 1000 <= context.now:
                cancel_job(view, job, limit.reason, context)


def due_at(tables: Tables) -> float:
    """When there is something to do again, in milliseconds; infinity if nothing is coming."""
    batch = tables.batch
    due = inf if (deadline := batch.next_deadline()) is None else deadline
    for queue in batch.queues.values():
        front = batch.waiting[queue.name].looked.front if queue.time_limits and queue.name in batch.waiting else ()
        if front and front[0].job in batch.waiting[queue.name]:
            due = min(due, front[0].since + 1000 * min(limit.max_seconds for limit in queue.time_limits))
    return due
