"""How far a job is as a whole: over, once all its children are, or none that is left will ever start. Pure."""

import msgspec

from shoal_scheduler.control.context import Context
from shoal_scheduler.model.children import bitmap_of, bits_of, chunk_of
from shoal_scheduler.model.job import FAILED, SUCCEEDED, Child, Job, JobChunk, JobState
from shoal_scheduler.state import batch_changes as b
from shoal_scheduler.state.overlay import Overlay

# In the words of AWS.
ARRAY_CHILD_FAILED = "Array Child Job failed"


def marked(chunk: JobChunk, bits: int, outcome: str, children: dict[int, Child]) -> JobChunk:
    """The chunk with these children over, if there is an outcome."""
    succeeded = bits_of(chunk.succeeded) | (bits if outcome == SUCCEEDED else 0)
    failed = bits_of(chunk.failed) | (bits if outcome == FAILED else 0)
    return JobChunk(chunk.job, chunk.number, bitmap_of(succeeded), bitmap_of(failed), children)


def close(view: Overlay, job: Job, context: Context) -> None:
    """Proposes that the job is over, if it is."""
    state = view.batch.state(job.id)
    outcome = "" if state.outcome else _outcome(view, job, state)
    if outcome:
        reason = _reason(view, job, state, outcome)
        fields = {"outcome": outcome, "status_reason": reason, "stopped_at": context.now}
        view.propose([b.PutJobState(msgspec.structs.replace(state, **fields))])


def _outcome(view: Overlay, job: Job, state: JobState) -> str:
    """ "" while it goes on."""
    succeeded, failed = view.batch.over_counts(job.id)
    if succeeded == job.size:
        return SUCCEEDED
    if succeeded + failed == job.size:
        return FAILED
    if view.batch.live_count(job.id):
        return ""
    if state.wish:
        return FAILED
    if job.is_sequential:  # those that succeeded are the first ones
        number, bit = chunk_of(succeeded)
        return FAILED if bits_of(view.batch.chunk(job.id, number).failed) & bit else ""
    return ""


def _reason(view: Overlay, job: Job, state: JobState, outcome: str) -> str:
    if not job.array_size:
        child = view.batch.chunk(job.id, 0).children.get(0)
        return child.status_reason if child and child.outcome else state.wish_reason
    if outcome == SUCCEEDED:
        return ""
    return state.wish_reason or ARRAY_CHILD_FAILED
