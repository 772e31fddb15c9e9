"""What is to be said of a job and its children: their statuses, how many are in each, and their attempts. Pure."""

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Mapping, Sequence

from shoal_scheduler.model.children import bits_of, chunk_count, chunk_of
from shoal_scheduler.model.job import (
    FAILED,
    PENDING,
    RUNNABLE,
    RUNNING,
    STARTING,
    STATUSES,
    SUCCEEDED,
    Attempt,
    Child,
    Job,
    JobState,
)
from shoal_scheduler.model.task import Task, TaskKey
from shoal_scheduler.state.batch_tables import BatchTables
from shoal_scheduler.state.job_entry import JobEntry
from shoal_scheduler.state.startable import may_start, n_to_n, open_bits
from shoal_scheduler.state.tables import Tables

# In the words of AWS.
DEPENDENCY_FAILED = "Dependent Job failed"


def wish_of(state: JobState, child: Child) -> str | None:
    """Why somebody wants the child to end; None if nobody does."""
    if child.wish:
        return child.wish_reason
    return state.wish_reason if state.wish else None


def status(batch: BatchTables, job_id: str, child: int | None = None) -> str:
    """Of a job that is there, or of a child of it. An array as a whole is PENDING until it is over."""
    entry = batch.jobs[job_id]
    if child is None and entry.job.array_size:
        return entry.state.outcome or PENDING
    index = child or 0
    number, bit = chunk_of(index)
    chunk = batch.chunk(job_id, number)
    if bits_of(chunk.succeeded) & bit:
        return SUCCEEDED
    if bits_of(chunk.failed) & bit or entry.state.outcome:
        return FAILED
    if index in entry.live:
        return RUNNING if index in entry.started else STARTING
    if entry.state.wish:
        return FAILED
    return RUNNABLE if may_start(batch, entry.job) and open_bits(batch, entry.job, number) & bit else PENDING


def counts(batch: BatchTables, job_id: str) -> dict[str, int]:
    """How many children are in each status, all of them named."""
    entry = batch.jobs[job_id]
    job, live = entry.job, len(entry.live)
    left = job.size - entry.succeeded - entry.failed - live
    lost = left if entry.state.outcome or entry.state.wish else 0
    runnable = _runnable(batch, entry, left) if not lost else 0
    return dict.fromkeys(STATUSES, 0) | {
        PENDING: left - lost - runnable,
        RUNNABLE: runnable,
        STARTING: live - len(entry.started),
        RUNNING: len(entry.started),
        SUCCEEDED: entry.succeeded,
        FAILED: entry.failed + lost,
    }


def _runnable(batch: BatchTables, entry: JobEntry, left: int) -> int:
    """Of children that are not over and have no task."""
    job = entry.job
    if not may_start(batch, job):
        return 0
    if job.is_sequential:
        number, _ = chunk_of(entry.succeeded)
        return open_bits(batch, job, number).bit_count() if number < chunk_count(job) else 0
    if n_to_n(job):
        return sum(open_bits(batch, job, number).bit_count() for number in entry.ready)
    return left


def record(batch: BatchTables, job_id: str, child: int = 0) -> Child:
    """What is stored of the child alone."""
    number, _ = chunk_of(child)
    return batch.chunk(job_id, number).children.get(child, Child())


def history(tables: Tables, job_id: str, child: int = 0) -> list[Attempt]:
    """Attempts that are over, as long as they are known, and the one that is under way, which has no end yet."""
    return histories(tables, job_id, [child])[child]


def histories(tables: Tables, job_id: str, wanted: Collection[int]) -> dict[int, list[Attempt]]:
    """Of several children, by one look at the launches: an array may have 100,000 of them."""
    found = {child: list(record(tables.batch, job_id, child).attempts) for child in wanted}
    for child, task in _tasks(tables, job_id, found).items():
        if task.id not in {attempt.task for attempt in found[child]}:
            found[child].append(_attempt(task))
    return found


def _tasks(tables: Tables, job_id: str, known: Mapping[int, Sequence[Attempt]]) -> dict[int, Task]:
    """The tasks of children that have one which is not over; and, if it is kept, of those that are not stored alone,
    and so have succeeded at once."""
    entry = tables.batch.jobs[job_id]
    keys = {child: entry.live[child] for child in known if child in entry.live}
    first = sorted(child for child, attempts in known.items() if child not in keys and not attempts)
    first = [child for child in first if status(tables.batch, job_id, child) == SUCCEEDED]
    left = set(first)
    for launch_id in entry.launches if left else ():
        part = tables.launches[launch_id].launch.job
        if part is not None:
            inside = [slice(bisect_left(first, begin), bisect_right(first, end)) for begin, end in part.children]
            here = [child for each in inside for child in first[each]]
            keys |= {child: TaskKey(launch_id, part.index_of(child) or 0) for child in here}
            left.difference_update(here)
        if not left:
            break
    tasks = {child: tables.task(key) for child, key in keys.items()}
    return {child: task for child, task in tasks.items() if task is not None}


def _attempt(task: Task) -> Attempt:
    """Of a task whose child is not stored alone: it runs, or was the first and succeeded."""
    return Attempt(
        task=task.id,
        instance=task.instance,
        created_at=task.launch.created_at,
        started_at=task.started_at,
        stopped_at=task.stopped_at,
        exit_code=0 if task.is_stopped else None,
        status_reason=task.stopped_reason,
    )


def status_reason(batch: BatchTables, job_id: str, child: int | None = None) -> str:
    """Why it is in its status; "" if there is nothing to say."""
    entry = batch.jobs[job_id]
    if child is None:
        return entry.state.status_reason or entry.state.wish_reason
    known = record(batch, job_id, child)
    if known.status_reason or known.wish_reason:
        return known.status_reason or known.wish_reason
    if status(batch, job_id, child) != FAILED:
        return known.attempts[-1].status_reason if known.attempts else ""
    if entry.state.wish:
        return entry.state.wish_reason
    return DEPENDENCY_FAILED


def job_key(name: str) -> tuple[str, int | None]:
    """Job and child that an id names.

    >>> job_key("0c5-a:7"), job_key("0c5-a")
    (('0c5-a', 7), ('0c5-a', None))
    """
    job_id, colon, index = name.partition(":")
    return job_id, int(index) if colon and index.isdecimal() else None


def job_name(job: Job, child: int | None) -> str:
    return job.id if child is None else f"{job.id}:{child}"
