"""What must hold of jobs, each a function named for what it says: the first fault in words, or None. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase

from shoal_scheduler.model.job import FAILED, SUCCEEDED, Child, ExitRule, Job, JobState
from shoal_scheduler.model.task import Task
from shoal_scheduler.state.batch_tables import BatchTables

from tests.simulation.containers import Box

Fault = str | None

# With these the host ended, not the program.
HOST_CODES = ("HostLost", "SpotInterruption", "TerminationNotice", "InfrastructureHealth")

TIMED_OUT = "Job attempt duration exceeded timeout"

DERIVED = ("tokens", "open_count", "dependants", "finished", "unsettled", "deadlines")
SUMS = ("held_vcpus", "consumed", "running")
OF_A_JOB = ("job", "ask", "state", "chunks", "succeeded", "failed", "first_open", "live", "live_bits", "started")
OF_AN_OPEN_JOB = ("waits_for", "is_doomed", "ready", "failing", "stopping")


def two_runs_never_have_the_same_number(box: Box, name: str, attempt: int, before: str) -> Fault:
    if before and before != box.task:
        return f"attempt {attempt} of {name} runs in task {box.task}, and ran in {before}"
    return None


def attempts_never_exceed_their_limit(name: str, attempt: int, job: Job) -> Fault:
    limit = job.retry.attempts + job.retry.host_losses
    return f"{name} begins attempt {attempt}; {limit} are all it has" if attempt > limit else None


def failures_never_exceed_their_limit(name: str, child: Child, job: Job) -> Fault:
    lost = sum(attempt.host_lost for attempt in child.attempts)
    failed = len(child.attempts) - lost - (child.outcome == SUCCEEDED)
    if failed > job.retry.attempts or lost > job.retry.host_losses + 1:
        limits = f"{job.retry.attempts} and {job.retry.host_losses + 1}"
        return f"{name} failed {failed} times and was lost {lost} times, of {limits} at most"
    return None


def attempts_are_counted_one_by_one(name: str, attempt: int, before: int) -> Fault:
    return f"{name} starts attempt {attempt} after {before} attempts" if attempt != before + 1 else None


def a_child_has_one_live_task(name: str, live: Sequence[str]) -> Fault:
    return f"{name} has {len(live)} tasks that are not STOPPED: {live[0]}, {live[1]}" if len(live) > 1 else None


def what_has_ended_is_not_started(name: str, outcome: str) -> Fault:
    return f"{name} is {outcome} and starts again" if outcome else None


def a_child_ends_once(job: str, number: int, before: tuple[int, int], after: tuple[int, int]) -> Fault:
    """`before` and `after`: bits of those that succeeded and of those that failed."""
    if before[0] & ~after[0] or before[1] & ~after[1]:
        return f"a child of job {job}, chunk {number}, was over and is not what it was"
    return f"a child of job {job}, chunk {number}, has succeeded and failed" if after[0] & after[1] else None


def an_outcome_stays(job: str, before: str, after: str) -> Fault:
    return f"job {job} was {before} and is {after or 'not over'}" if before and before != after else None


def the_parent_says_what_its_children_are(
    job: Job, state: JobState, succeeded: int, failed: int, live: int, doomed_by: str
) -> Fault:
    """Of a job that is over."""
    if state.outcome and live:
        return f"job {job.id} is {state.outcome}, and {live} of its children have a task"
    if state.outcome == SUCCEEDED and succeeded != job.size:
        return f"job {job.id} is SUCCEEDED, and {succeeded} of {job.size} children are"
    if state.outcome == FAILED and not (failed or state.wish or doomed_by):
        return f"job {job.id} is FAILED, and no child of it is: {state.status_reason}"
    return None


def nothing_starts_before_what_it_depends_on(name: str, missing: str) -> Fault:
    return f"{name} starts before {missing}" if missing else None


def nobody_is_overtaken_without_end(job: str, overtaken: int, bound: int) -> Fault:
    return f"job {job} was overtaken {overtaken} times, of {bound} at most" if overtaken > bound else None


def one_job_per_token(jobs: Iterable[Job]) -> Fault:
    known: dict[str, str] = {}
    for job in jobs:
        if job.client_token and known.setdefault(job.client_token, job.id) != job.id:
            return f"{job.client_token} was submitted as {known[job.client_token]} and as {job.id}"
    return None


def the_same_token_is_the_same_job(token: str, job: str, before: str) -> Fault:
    return f"{token} was answered with job {before} and with {job}" if before != job else None


def a_child_ends_as_its_attempts_demand(
    name: str, job: Job, status: str, attempts: Sequence[Task], *, wished: bool, doomed: bool
) -> Fault:
    """At the end. `attempts`: as they were recorded last, in order. `doomed`: what it depends on has failed."""
    good = [task for task in attempts if has_succeeded(task)]
    last = next((number for number in range(1, len(attempts)) if is_used_up(job, attempts[:number])), 0)
    if last:
        return f"{name} was tried again, and had no attempt left: {_told(attempts[last - 1])}"
    if status == SUCCEEDED:
        is_right = len(good) == 1 and attempts[-1] is good[0]
        return None if is_right else f"{name} is SUCCEEDED, and of its {len(attempts)} attempts {len(good)} have"
    if status != FAILED:
        return f"{name} is {status}"
    if good:
        return f"{name} is FAILED, and its task {good[0].id} has succeeded"
    if wished or (doomed and not attempts):
        return None
    if not attempts:
        return f"{name} is FAILED, was never tried, and nobody wanted that"
    return None if is_used_up(job, attempts) else f"{name} is FAILED, and was to be tried again: {_told(attempts[-1])}"


def has_succeeded(task: Task) -> bool:
    exits = [state.exit_code for state in task.containers]
    return task.is_stopped and task.stop_code == "EssentialContainerExited" and exits == [0]


def is_used_up(job: Job, attempts: Sequence[Task]) -> bool:
    """The last of these is the last that the job may have: told again from AWS's words, not from the scheduler's."""
    last = attempts[-1]
    is_lost = last.stop_code in HOST_CODES
    lost = sum(task.stop_code in HOST_CODES for task in attempts)
    if TIMED_OUT in last.stopped_reason:  # perhaps while it was being stopped for that, its host was lost
        return True
    if _action(job.retry.evaluate_on_exit, last, is_lost=is_lost) == "EXIT":
        return True
    return lost > job.retry.host_losses if is_lost else len(attempts) - lost >= job.retry.attempts


def _action(rules: Sequence[ExitRule], task: Task, *, is_lost: bool) -> str:
    status_reason = f"Host EC2 (instance {task.instance}) terminated." if is_lost else task.stopped_reason
    (state,) = task.containers
    exit_code = "" if state.exit_code is None else str(state.exit_code)
    for rule in rules:
        pairs = (
            (rule.on_status_reason, status_reason),
            (rule.on_reason, state.reason),
            (rule.on_exit_code, exit_code),
        )
        if all(fnmatchcase(text, pattern) for pattern, text in pairs if pattern):
            return rule.action
    return ""


def _told(task: Task) -> str:
    return f"{task.id} {task.stop_code} {task.stopped_reason} {[state.exit_code for state in task.containers]}"


def counts_are_those_of_the_children(job: str, told: Mapping[str, int], counted: Mapping[str, int]) -> Fault:
    """`counted`: child by child."""
    different = [status for status in told if told[status] != counted.get(status, 0)]
    if different:
        status = different[0]
        return f"of job {job} {told[status]} children are told to be {status}; {counted.get(status, 0)} are"
    return None


def jobs_are_what_the_store_holds(mine: BatchTables, stored: BatchTables) -> Fault:
    """With all that is derived from it, but for what is volatile."""
    for what in DERIVED:
        if getattr(mine, what) != getattr(stored, what):
            return f"{what} of batch: {getattr(mine, what)} in the tables, {getattr(stored, what)} in the store"
    for what in SUMS:
        if +getattr(mine, what) != +getattr(stored, what):
            return f"{what} of batch: {getattr(mine, what)} in the tables, {getattr(stored, what)} in the store"
    waiting = [{name: list(each) for name, each in batch.waiting.items() if len(each)} for batch in (mine, stored)]
    if waiting[0] != waiting[1]:
        return f"in the tables wait {waiting[0]}, in the store {waiting[1]}"
    if mine.jobs.keys() != stored.jobs.keys():
        return f"jobs of the tables and of the store differ: {sorted(mine.jobs.keys() ^ stored.jobs.keys())}"
    for name, entry in mine.jobs.items():
        for what in OF_A_JOB if entry.state.outcome else (*OF_A_JOB, *OF_AN_OPEN_JOB):
            if getattr(entry, what) != getattr(stored.jobs[name], what):
                other = getattr(stored.jobs[name], what)
                return f"{what} of job {name}: {getattr(entry, what)} in the tables, {other} in the store"
    return None
