"""Jobs that are over are kept by time and by count, then dropped. Pure.

One that an unfinished job depends on is kept. What is known of its tasks goes by itself: see `control.retention`.
"""

from shoal_scheduler.control.context import Context
from shoal_scheduler.state import batch_changes as b
from shoal_scheduler.state.tables import Tables

# So that a clean-up never makes a step long: each is three deletes.
JOBS_PER_STEP = 20


def expired(tables: Tables, context: Context) -> list[b.DeleteJob]:
    """Jobs to drop now, those first that ended first."""
    batch, limits = tables.batch, context.limits
    excess = len(batch.finished) - limits.finished_jobs_max
    oldest_kept = context.now - limits.finished_jobs_keep_seconds * 1000
    dropped: list[b.DeleteJob] = []
    for job_id, stopped_at in batch.finished.items():
        is_old = stopped_at < oldest_kept
        if len(dropped) == JOBS_PER_STEP or not (is_old or excess > 0):
            break
        created_at = batch.jobs[job_id].job.created_at if batch.jobs[job_id].job.client_token else 0
        if is_old or context.now - created_at >= limits.client_tokens_keep_seconds * 1000:
            excess -= 1
            dropped.append(b.DeleteJob(job_id))
    return dropped
