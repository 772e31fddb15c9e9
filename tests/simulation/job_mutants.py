"""Bugs planted in what is done for jobs: see mutants."""

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
from shoal_scheduler.control.batch import attempts, dependencies, follow, overtaking
from shoal_scheduler.model.children import bits_of, ended, everyone
from shoal_scheduler.model.job import SUCCEEDED, Child, Job, JobState
from shoal_scheduler.state import batch_changes as b
from shoal_scheduler.state import batch_overlay, batch_tables, batch_writes, startable
from shoal_scheduler.state.job_entry import JobEntry

Patches = Callable[[], Iterator[tuple[Any, str, Any]]]

open_bits, conclude, put_of = startable.open_bits, follow.ended, batch_writes.put_of


def attempt_not_counted_after_host_loss() -> Iterator[tuple[Any, str, Any]]:
    def counted(before: Any, newest: Any) -> Any:
        return tuple(before) if newest.host_lost else attempts.with_attempt(before, newest)

    yield follow, "with_attempt", counted


def dependency_that_failed_lets_start() -> Iterator[tuple[Any, str, Any]]:
    def due(view: Any, job: Job, state: JobState, now: int) -> JobState | None:
        outcomes = [view.batch.state(each.job).outcome for each in job.depends_on if not each.type]
        if not outcomes or state.runnable_at or not all(outcomes):
            return None
        return msgspec.structs.replace(state, runnable_at=now)

    def is_unsettled(entry: JobEntry) -> bool:
        is_due = not entry.waits_for and not startable.runnable_at(entry.job, entry.state)
        is_to_stop = entry.state.wish == "TERMINATE" and len(entry.stopping) < len(entry.live)
        return not entry.state.outcome and (is_due or is_to_stop or bool(entry.failing))

    yield dependencies, "due", due
    yield JobEntry, "is_unsettled", property(is_unsettled)


def _opens(free: Callable[[Any, Job, int], int]) -> Iterator[tuple[Any, str, Any]]:
    yield startable, "open_bits", free
    yield batch_tables, "open_bits", free


def _left(tables: Any, job: Job, number: int) -> int:
    """Children that are not over and have no task."""
    live: int = tables.live_bits(job.id, number)
    return everyone(job, number) & ~ended(tables.chunk(job.id, number)) & ~live


def child_of_n_to_n_looked_at_as_over() -> Iterator[tuple[Any, str, Any]]:
    """Succeeded or not."""

    def free(tables: Any, job: Job, number: int) -> int:
        if job.is_sequential:
            return open_bits(tables, job, number)
        bits = _left(tables, job, number)
        for other in startable.n_to_n(job):
            bits &= ended(tables.chunk(other, number))
        return bits

    yield from _opens(free)
    yield batch_tables, "failing_bits", lambda *_: 0
    yield batch_overlay, "failing_bits", lambda *_: 0


def n_to_n_kept_in_the_first_chunk_alone() -> Iterator[tuple[Any, str, Any]]:
    def free(tables: Any, job: Job, number: int) -> int:
        bits = _left(tables, job, number)
        return bits if number and startable.n_to_n(job) else open_bits(tables, job, number)

    yield from _opens(free)


def sequence_goes_on_beside_what_runs() -> Iterator[tuple[Any, str, Any]]:
    def free(tables: Any, job: Job, number: int) -> int:
        if not job.is_sequential:
            return open_bits(tables, job, number)
        bits = _left(tables, job, number)
        return bits & -bits

    def has_startable(tables: Any, job: Job) -> bool:
        if not (job.is_sequential and startable.may_start(tables, job)):
            return has(tables, job)
        return bool(free(tables, job, tables.first_open(job.id)))

    has = startable.has_startable
    yield from _opens(free)
    yield batch_tables, "has_startable", has_startable


def retry_counted_in_memory_only() -> Iterator[tuple[Any, str, Any]]:
    def put(change: object) -> Any:
        if isinstance(change, b.PutJobChunk):
            chunk = change.chunk
            kept = {index: child for index, child in chunk.children.items() if child.outcome}
            change = b.PutJobChunk(msgspec.structs.replace(chunk, children=kept))
        return put_of(change)

    yield batch_writes, "put_of", put


def child_started_again_after_success() -> Iterator[tuple[Any, str, Any]]:
    def free(tables: Any, job: Job, number: int) -> int:
        chunk = tables.chunk(job.id, number)
        again = bits_of(chunk.succeeded) & ~tables.live_bits(job.id, number)
        return open_bits(tables, job, number) | (again if job.array_size else 0)

    yield from _opens(free)


def end_followed_in_a_later_step() -> Iterator[tuple[Any, str, Any]]:
    """Lost with a leader."""
    kept: list[tuple[Any, int, Any]] = []

    def ended_later(view: Any, ends: Any, context: Any) -> None:
        tables = view._tables
        due = [end for known, at, end in kept if known is tables and at < context.now]
        kept[:] = [each for each in kept if each[0] is not tables or each[1] >= context.now]
        kept.extend((tables, context.now, end) for end in ends)
        conclude(view, due, context)

    yield follow, "ended", ended_later


def one_attempt_too_many() -> Iterator[tuple[Any, str, Any]]:
    def may_be_repeated(job: Job, child: Child, end: attempts.Ending) -> bool:
        before = sum(attempt.host_lost == end.host_lost for attempt in child.attempts)
        return before <= (job.retry.host_losses if end.host_lost else job.retry.attempts - 1)

    yield attempts, "_may_be_repeated", may_be_repeated


def job_token_forgotten() -> Iterator[tuple[Any, str, Any]]:
    yield batch_overlay.BatchOverlay, "job_by_token", lambda _self, _token: None


def exit_rules_not_looked_at() -> Iterator[tuple[Any, str, Any]]:
    yield attempts, "matches", lambda _rule, _end: False


def killed_by_its_host_taken_for_success() -> Iterator[tuple[Any, str, Any]]:
    decide = attempts.decide

    def believing(job: Job, child: Child, wish: str | None, end: attempts.Ending) -> attempts.Decision:
        return attempts.Decision(SUCCEEDED) if end.host_lost else decide(job, child, wish, end)

    yield follow, "decide", believing


def overtaken_without_end() -> Iterator[tuple[Any, str, Any]]:
    yield overtaking.Overtaking, "allowance", lambda _self, _key, _takes: 1000


# With the faults under which each shows, beside jobs.
BUGS: tuple[tuple[tuple[str, ...], Patches], ...] = (
    (("host dies",), attempt_not_counted_after_host_loss),
    ((), dependency_that_failed_lets_start),
    ((), child_of_n_to_n_looked_at_as_over),
    ((), n_to_n_kept_in_the_first_chunk_alone),
    ((), sequence_goes_on_beside_what_runs),
    (("scheduler crash",), retry_counted_in_memory_only),
    ((), child_started_again_after_success),
    (("crash at persist",), end_followed_in_a_later_step),
    ((), one_attempt_too_many),
    (("loss", "repeated requests"), job_token_forgotten),
    ((), exit_rules_not_looked_at),
    (("host dies",), killed_by_its_host_taken_for_success),
    ((), overtaken_without_end),
)
