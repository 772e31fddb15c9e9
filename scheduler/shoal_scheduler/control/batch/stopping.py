"""CancelJob and TerminateJob. Pure.

Cancelled is what has not started yet: all of what waits. Terminated is what runs as well: its tasks are stopped, a
bounded number in a step. Of a job the wish is kept with the job and not with every child: an array of a million costs
one record. What is over already stays as it is, and nobody is told off: as in AWS.
"""

import msgspec
from shoal import arn

from shoal_scheduler.control import tasks
from shoal_scheduler.control.batch.children import job_key
from shoal_scheduler.control.batch.job_inputs import CancelJob, TerminateJob
from shoal_scheduler.control.batch.progress import close, marked
from shoal_scheduler.control.context import Context, Outcome
from shoal_scheduler.model.children import chunk_of, ended
from shoal_scheduler.model.job import CANCEL, FAILED, TERMINATE, Child, Job
from shoal_scheduler.model.refusal import Refused, invalid_field
from shoal_scheduler.state import batch_changes as b
from shoal_scheduler.state.changes import PutTask
from shoal_scheduler.state.overlay import Overlay

# Of one job, in one step.
TASKS_STOPPED_PER_STEP = 1000

STOP_CODE = "UserInitiated"


def cancel(view: Overlay, request: CancelJob, context: Context) -> Outcome:
    """What runs goes on. It proposes to the view itself."""
    job, child = _find(view, request.job)
    if child is not None:
        _end_child(view, job, child, Child(wish=CANCEL, wish_reason=request.reason), context)
    else:
        cancel_job(view, job, request.reason, context)
    return Outcome(None)


def cancel_job(view: Overlay, job: Job, reason: str, context: Context) -> None:
    if job.array_size or view.batch.task_of(job.id, 0) is None:
        _wish(view, job, CANCEL, reason, context)


def terminate(view: Overlay, request: TerminateJob, context: Context) -> Outcome:
    """Tasks beyond what one step may touch are stopped in the next ones. It proposes to the view itself."""
    job, child = _find(view, request.job)
    if child is not None:
        _end_child(view, job, child, Child(wish=TERMINATE, wish_reason=request.reason), context)
    else:
        _wish(view, job, TERMINATE, request.reason, context)
    return Outcome(None)


def _find(view: Overlay, name: str) -> tuple[Job, int | None]:
    name = arn.short(name)
    job_id, child = job_key(name)
    job = view.batch.job(job_id)
    if job is None:
        raise Refused("not_found", f"jobId: there is no job {name!r}. List them with ListJobs.")
    if ":" in name and (child is None or child >= job.array_size):
        last = job.array_size - 1
        raise invalid_field(
            "jobId", f"{name!r}: {f'the children of this array are 0 to {last}' if last > 0 else 'it is no array'}."
        )
    return job, child


def _wish(view: Overlay, job: Job, wish: str, reason: str, context: Context) -> None:
    state = view.batch.state(job.id)
    if state.outcome or state.wish == TERMINATE or state.wish == wish:
        return
    view.propose([b.PutJobState(msgspec.structs.replace(state, wish=wish, wish_reason=reason))])
    close(view, job, context)


def _end_child(view: Overlay, job: Job, index: int, wish: Child, context: Context) -> None:
    number, bit = chunk_of(index)
    chunk, state = view.batch.chunk(job.id, number), view.batch.state(job.id)
    known = chunk.children.get(index, Child())
    if state.outcome or ended(chunk) & bit or known.wish == TERMINATE:
        return
    key = view.batch.task_of(job.id, index)
    if key is None:
        if state.wish:
            return
        over = {"outcome": FAILED, "status_reason": wish.wish_reason, "stopped_at": context.now}
        seen = msgspec.structs.replace(known, wish=wish.wish, wish_reason=wish.wish_reason, **over)
        view.propose([b.PutJobChunk(marked(chunk, bit, FAILED, {**chunk.children, index: seen}))])
        close(view, job, context)
    elif wish.wish == TERMINATE:
        seen = msgspec.structs.replace(known, wish=wish.wish, wish_reason=wish.wish_reason)
        view.propose([b.PutJobChunk(marked(chunk, 0, "", {**chunk.children, index: seen}))])
        task = view.task(key)
        assert task is not None, "a child's task is kept while it is not STOPPED"
        view.propose([PutTask(tasks.stopping(task, STOP_CODE, wish.wish_reason, context.now))])


def stop_tasks(view: Overlay, job: Job, reason: str, context: Context, keys_max: int) -> None:
    """Proposes that the job's tasks stop, as many as a step may touch."""
    left = TASKS_STOPPED_PER_STEP
    for key in view.batch.live(job.id).values():
        task = view.task(key)
        if task is None or task.desired_status == "STOPPED":
            continue
        if not left or view.is_full(keys_max):
            return
        view.propose([PutTask(tasks.stopping(task, STOP_CODE, reason, context.now))])
        left -= 1
