"""Which children of a job may start now: the same for the tables and for what a step makes of them.

A whole-job dependency lets all children start at once, when it has succeeded. N_TO_N and SEQUENTIAL are looked at
child by child. Nothing here walks over all children of an array: 256 are one number, and what lies before the first
child that is not over is never looked at again.
"""

from collections.abc import Collection, Iterable
from typing import Protocol

from shoal_scheduler.model.children import bits_of, children_in, chunk_count, chunk_of, ended, everyone
from shoal_scheduler.model.job import N_TO_N, Job, JobChunk, JobState


class Jobs(Protocol):
    def job(self, job_id: str) -> Job | None: ...

    def state(self, job_id: str) -> JobState: ...

    def chunk(self, job_id: str, number: int) -> JobChunk: ...

    def live_bits(self, job_id: str, number: int) -> int:
        """Children of the chunk that have a task."""
        ...

    def live_count(self, job_id: str) -> int: ...

    def over_counts(self, job_id: str) -> tuple[int, int]:
        """How many children have succeeded and how many failed, as their bits say."""
        ...

    def first_open(self, job_id: str) -> int:
        """All chunks before this one are over."""
        ...

    def ready_chunks(self, job_id: str) -> Collection[int]:
        """Of a job with N_TO_N: chunks in which a child may start, at the beginning of the step."""
        ...


def runnable_at(job: Job, state: JobState) -> int:
    """When it came to be RUNNABLE as a whole; 0 while it waits for another job."""
    return state.runnable_at or (0 if any(is_whole(each.type) for each in job.depends_on) else job.created_at)


def is_whole(dependency_type: str) -> bool:
    return not dependency_type


def n_to_n(job: Job) -> list[str]:
    return [each.job for each in job.depends_on if each.type == N_TO_N]


def may_start(jobs: Jobs, job: Job) -> bool:
    """As a whole: whether there is such a child is not looked at."""
    state = jobs.state(job.id)
    return not state.outcome and not state.wish and runnable_at(job, state) > 0


def open_bits(jobs: Jobs, job: Job, number: int) -> int:
    """Children of the chunk that may start, of a job that may."""
    free = everyone(job, number) & ~ended(jobs.chunk(job.id, number)) & ~jobs.live_bits(job.id, number)
    for other in n_to_n(job):
        free &= bits_of(jobs.chunk(other, number).succeeded)
    if job.is_sequential and free:
        next_number, bit = chunk_of(jobs.over_counts(job.id)[0])
        free &= bit if next_number == number else 0
    return free


def has_startable(jobs: Jobs, job: Job) -> bool:
    if not may_start(jobs, job) or (job.max_concurrent and jobs.live_count(job.id) >= job.max_concurrent):
        return False
    if job.is_sequential:
        number, _ = chunk_of(jobs.over_counts(job.id)[0])
        return number < chunk_count(job) and bool(open_bits(jobs, job, number))
    if n_to_n(job):
        return bool(jobs.ready_chunks(job.id))
    return sum(jobs.over_counts(job.id)) + jobs.live_count(job.id) < job.size


def startable(jobs: Jobs, job_id: str, limit: int) -> list[tuple[int, list[int]]]:
    """By the number of their next attempt, children that may start now, ascending, at most `limit` together."""
    job = jobs.job(job_id)
    if job is None or not may_start(jobs, job):
        return []
    found: dict[int, list[int]] = {}
    for number in _numbers(jobs, job):
        if limit <= 0:
            break
        bits = open_bits(jobs, job, number)
        repeated = jobs.chunk(job_id, number).children if bits else {}
        for child in children_in(number, bits):
            known = repeated.get(child)
            found.setdefault(1 if known is None else len(known.attempts) + 1, []).append(child)
            limit -= 1
            if not limit:
                break
    return sorted(found.items())


def _numbers(jobs: Jobs, job: Job) -> Iterable[int]:
    """Of chunks where there may be such children."""
    if job.is_sequential:
        number, _ = chunk_of(jobs.over_counts(job.id)[0])
        return [number] if number < chunk_count(job) else []
    if n_to_n(job):
        return sorted(jobs.ready_chunks(job.id))
    return range(jobs.first_open(job.id), chunk_count(job))


def failing_bits(jobs: Jobs, job: Job, number: int) -> int:
    """Children of the chunk that are not over, and never will start: their like in another job has failed."""
    failed = 0
    for other in n_to_n(job):
        failed |= _failed_bits(jobs, other, number)
    return failed & everyone(job, number) & ~ended(jobs.chunk(job.id, number))


def _failed_bits(jobs: Jobs, job_id: str, number: int) -> int:
    """Children of the chunk that have failed. Once the job is over, a child without a bit has."""
    job, chunk = jobs.job(job_id), jobs.chunk(job_id, number)
    if job is None:
        return 0
    return everyone(job, number) & ~bits_of(chunk.succeeded) if jobs.state(job_id).outcome else bits_of(chunk.failed)
