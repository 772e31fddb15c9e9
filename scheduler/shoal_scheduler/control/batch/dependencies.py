"""What a job waits for: checked when it is submitted, and what follows when that is over. Pure.

Only jobs that are there can be named, so what depends on each other in a circle cannot be submitted.
"""

from shoal_scheduler.control.batch.children import DEPENDENCY_FAILED
from shoal_scheduler.model.job import FAILED, N_TO_N, SEQUENTIAL, Job, JobState
from shoal_scheduler.model.refusal import Refused, invalid_field
from shoal_scheduler.state.overlay import Overlay
from shoal_scheduler.state.startable import is_whole


def check(view: Overlay, job: Job) -> None:
    """Raises Refused."""
    for number, dependency in enumerate(job.depends_on):
        field = f"dependsOn[{number}]"
        if dependency.type == SEQUENTIAL:
            _check_sequential(job, dependency.job, field)
            continue
        other = view.batch.job(dependency.job)
        if other is None:
            raise Refused(
                "not_found",
                f"{field}.jobId: there is no job {dependency.job!r}, or it was over so long ago that it is not kept."
                " List them with ListJobs.",
            )
        if dependency.type == N_TO_N and not (job.array_size and job.array_size == other.array_size):
            raise invalid_field(
                f"{field}.type",
                f"N_TO_N joins arrays of the same size: this job has {_size(job)}, job {other.id} {_size(other)}.",
            )


def _check_sequential(job: Job, other: str, field: str) -> None:
    if other:
        raise invalid_field(f"{field}.jobId", "SEQUENTIAL is between a job's own children: leave jobId away.")
    if not job.array_size:
        raise invalid_field(f"{field}.type", "SEQUENTIAL is for arrays: give arrayProperties.size.")


def _size(job: Job) -> str:
    return f"{job.array_size} children" if job.array_size else "no children"


def at_first(view: Overlay, job: Job, now: int) -> JobState | None:
    """Its state when it is submitted; None if there is nothing to say of it yet."""
    return due(view, job, JobState(job=job.id), now)


def due(view: Overlay, job: Job, state: JobState, now: int) -> JobState | None:
    """What the jobs that it depends on as a whole make of it; None if that is nothing yet."""
    outcomes = [view.batch.state(each.job).outcome for each in job.depends_on if is_whole(each.type)]
    if FAILED in outcomes:
        return JobState(
            job=job.id,
            outcome=FAILED,
            stopped_at=now,
            status_reason=DEPENDENCY_FAILED,
            wish=state.wish,
            wish_reason=state.wish_reason,
        )
    if not outcomes or state.runnable_at or not all(outcomes):
        return None
    return JobState(job=job.id, runnable_at=now, wish=state.wish, wish_reason=state.wish_reason)
