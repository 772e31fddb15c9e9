"""What the end of a job's task means, in the same step: its child is over or starts again, and so may be its job.

What follows for other jobs (`settle`) comes in later steps, a bounded number of keys at a time: it can be told from
the records at any time, so no crash between loses anything.
"""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from shoal_scheduler.control import definitions
from shoal_scheduler.control.batch import dependencies, stopping
from shoal_scheduler.control.batch.attempts import attempt_of, decide, ending, with_attempt
from shoal_scheduler.control.batch.children import wish_of
from shoal_scheduler.control.batch.progress import close, marked
from shoal_scheduler.control.context import Context
from shoal_scheduler.model.children import chunk_of
from shoal_scheduler.model.job import FAILED, SUCCEEDED, TERMINATE, Child, Job
from shoal_scheduler.model.task import Task
from shoal_scheduler.state import batch_changes as b
from shoal_scheduler.state.changes import Change, PutTask
from shoal_scheduler.state.overlay import Overlay

# What one ended task of a job touches: the chunk of its child, and its job's state.
KEYS_PER_END = 2


class End(NamedTuple):
    """A task of a job before and after it ended."""

    before: Task
    task: Task


def ending_now(view: Overlay, changes: Sequence[Change]) -> list[End]:
    """Tasks of jobs that end by these changes. `view` does not know the changes yet."""
    found = []
    for change in changes:
        if isinstance(change, PutTask) and change.task.launch.job is not None and change.task.is_stopped:
            before = view.task(change.task.key)
            if before is not None and not before.is_stopped:
                found.append(End(before, change.task))
    return found


def ended(view: Overlay, ends: Sequence[End], context: Context) -> None:
    """Proposes what it means that these tasks are over, which `view` knows now."""
    for end in ends:
        task = end.task
        part = task.launch.job
        job = view.batch.job(part.job) if part else None
        if part is None or job is None or view.batch.state(job.id).outcome:
            continue
        _conclude(view, job, part.child(task.index), end, context)
        close(view, job, context)


def _conclude(view: Overlay, job: Job, index: int, end: End, context: Context) -> None:
    task = end.task
    number, bit = chunk_of(index)
    chunk, state = view.batch.chunk(job.id, number), view.batch.state(job.id)
    child, children = chunk.children.get(index, Child()), chunk.children
    how = ending(end.before, task, definitions.find(view, task.launch.definition).containers)
    decision = decide(job, child, wish_of(state, child), how)
    if decision.outcome == SUCCEEDED and job.array_size and not child.attempts:
        children = {key: value for key, value in children.items() if key != index}  # its bit says it all
    else:
        attempts = with_attempt(child.attempts, attempt_of(task, how, decision, context.now))
        seen = msgspec.structs.replace(child, attempts=attempts)
        if decision.outcome:
            over = {"outcome": decision.outcome, "status_reason": decision.status_reason}
            seen = msgspec.structs.replace(seen, **over, stopped_at=task.stopped_at)
        children = {**children, index: seen}
    view.propose([b.PutJobChunk(marked(chunk, bit, decision.outcome, children))])


def settle(view: Overlay, job_id: str, context: Context, keys_max: int) -> None:
    """Proposes what follows for this job from others, or from what is wanted of it, until the step has touched
    `keys_max` keys; what is left the next step sees in the records."""
    job, state = view.batch.job(job_id), view.batch.state(job_id)
    if job is None or state.outcome:
        return
    due = dependencies.due(view, job, state, context.now)
    if due is not None:
        view.propose([b.PutJobState(due)])
        if due.outcome:
            return
    if state.wish == TERMINATE:
        stopping.stop_tasks(view, job, state.wish_reason, context, keys_max)
    for number in view.batch.failing_chunks(job_id):
        if view.is_full(keys_max):
            return
        chunk = view.batch.chunk(job_id, number)
        bits = view.batch.failing_bits(job, number)
        view.propose([b.PutJobChunk(marked(chunk, bits, FAILED, chunk.children))])
    close(view, job, context)
