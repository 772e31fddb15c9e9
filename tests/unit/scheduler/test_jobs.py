"""The life of jobs: attempts and what decides over them, dependencies, cancelling, time."""

import sys
from typing import Any

import pytest
from shoal_scheduler.control import host_loss, retention
from shoal_scheduler.control import inputs as i
from shoal_scheduler.control.batch.attempts import TIMED_OUT
from shoal_scheduler.control.batch.children import counts, history, status, status_reason
from shoal_scheduler.control.batch.job_inputs import CancelJob, TerminateJob
from shoal_scheduler.control.context import Limits
from shoal_scheduler.control.step import KEYS_PER_STEP, step
from shoal_scheduler.model.job import FAILED, N_TO_N, SEQUENTIAL, SUCCEEDED, Job
from shoal_scheduler.model.job_queue import DISABLED
from shoal_scheduler.model.refusal import Refused
from shoal_scheduler.model.task import ContainerState, Task
from shoal_scheduler.state import batch_changes as b
from shoal_scheduler.state.startable import startable
from shoal_scheduler.state.writes import write_of

from tests.unit.scheduler import jobs
from tests.unit.scheduler.plane import Plane, instance, report

HOST_LOST_BEGINS = "Host EC2 (instance x) terminated."


async def prepared(limits: Limits | None = None, **queue: Any) -> Plane:
    plane = Plane(limits=limits)
    await plane.prepare(instance("x", cpu=10_000, memory_mib=10_000))
    await jobs.prepare(plane, **queue)
    return plane


async def submitted(plane: Plane, size: int = 0, **more: Any) -> Job:
    job = await plane.one(jobs.submit(size, **more))
    assert isinstance(job, Job)
    return job


async def start(plane: Plane, job: Job, limit: int = 1) -> list[Task]:
    before = set(plane.tables.batch.jobs[job.id].live.values())
    await plane.run([], jobs.started(plane, job, limit))
    return [task for task in jobs.live(plane.tables, job) if task.key not in before]


async def end(plane: Plane, job: Job, child: int = 0, **how: Any) -> None:
    await plane.one(report(jobs.task_of(plane.tables, job, child), "STOPPED", **(how or jobs.exited(0))))


async def settle(plane: Plane) -> int:
    """How many steps it takes until nothing is left to do."""
    for number in range(10_000):
        if not plane.tables.batch.unsettled:
            return number
        await plane.run([])
    raise AssertionError("it never ends")


def outcome(plane: Plane, job: Job) -> tuple[str, str]:
    state = plane.tables.batch.jobs[job.id].state
    return state.outcome, state.status_reason


def some(plane: Plane, job: Job) -> dict[str, int]:
    """Statuses that a child is in."""
    return {name: number for name, number in counts(plane.tables.batch, job.id).items() if number}


# -- attempts ------------------------------------------------------------------------------------------------


async def test_a_job_runs_from_submission_to_its_end() -> None:
    plane = await prepared()
    job = await submitted(plane, parameters={"in": "a.png"}, propagateTags=True)
    assert status(plane.tables.batch, job.id) == "RUNNABLE"
    assert job.overrides == {"containerOverrides": [{"name": "default", "command": ["flip", "a.png", "Ref::out"]}]}
    (task,) = await start(plane, job)
    assert status(plane.tables.batch, job.id) == "STARTING"
    await plane.one(report(task, "RUNNING", started_at=plane.now))
    assert status(plane.tables.batch, job.id) == "RUNNING"
    await end(plane, job)
    assert status(plane.tables.batch, job.id) == SUCCEEDED
    (attempt,) = history(plane.tables, job.id)
    assert (attempt.task, attempt.instance, attempt.exit_code) == (task.id, "x", 0)


async def test_one_transaction_holds_the_end_and_what_follows_from_it() -> None:
    plane = await prepared()
    job = await submitted(plane)
    (task,) = await start(plane, job)
    result = step(plane.tables, [report(task, "STOPPED", **jobs.exited(0))], plane.context)
    write = write_of(plane.tables, result.changes, "s")
    assert write is not None
    kinds = {key.decode().split("/")[4] for key in write.puts}
    assert kinds >= {"tasks", "job-chunks", "job-states"}


RULES = [
    {"action": "EXIT", "onExitCode": "3"},
    {"action": "RETRY", "onStatusReason": "Host EC2*", "onReason": "*"},
    {"action": "EXIT", "onReason": "OutOfMemory*", "onExitCode": "137"},
    {"action": "RETRY", "onReason": "OutOfMemory*"},
]


@pytest.mark.parametrize(
    ("code", "reason", "rule", "action", "goes_on"),
    [
        (3, "", 0, "EXIT", False),
        (33, "", None, "", True),  # no pattern, so not its beginning
        (137, "OutOfMemoryError: killed", 2, "EXIT", False),
        (1, "OutOfMemoryError: killed", 3, "RETRY", True),
        (1, "out of memory", None, "", True),
        (None, "OutOfMemoryError: killed", 3, "RETRY", True),  # a code that nobody knows is not 137
    ],
)
async def test_the_first_rule_that_matches_decides(
    code: int | None, reason: str, rule: int | None, action: str, goes_on: bool
) -> None:
    plane = await prepared()
    job = await submitted(plane, retryStrategy={"attempts": 2, "evaluateOnExit": RULES})
    await start(plane, job)
    state = ContainerState("default", "STOPPED", exit_code=code, reason=reason)
    await end(plane, job, stop_code="EssentialContainerExited", containers=(state,))
    (attempt,) = history(plane.tables, job.id)
    assert (attempt.exit_code, attempt.rule, attempt.action) == (code, rule, action)
    assert status(plane.tables.batch, job.id) == ("RUNNABLE" if goes_on else FAILED)


async def test_attempts_are_counted_and_never_more_than_allowed() -> None:
    plane = await prepared()
    job = await submitted(plane, retryStrategy={"attempts": 3})
    for number in range(3):
        (task,) = await start(plane, job)
        assert task.launch.job is not None
        assert task.launch.job.attempt == number + 1
        await end(plane, job, **jobs.exited(1))
        plane.tables = await plane.reloaded()
        await plane.one(instance("x", cpu=10_000, memory_mib=10_000, incarnation=1))
    assert outcome(plane, job) == (FAILED, "Essential container in task exited")
    assert not await start(plane, job)


@pytest.mark.parametrize(("allowed", "attempts"), [(0, 1), (2, 3)])
async def test_losses_of_hosts_are_counted_apart(allowed: int, attempts: int) -> None:
    plane = await prepared()
    job = await submitted(plane, retryStrategy={"attempts": 1, "hostLosses": allowed})
    for _ in range(attempts):
        (task,) = await start(plane, job)
        await plane.run([], host_loss.losing(task, host_loss.HOST_LOST, "silent", plane.context))
    ended = history(plane.tables, job.id)
    assert outcome(plane, job) == (FAILED, f"{HOST_LOST_BEGINS} silent")
    assert len(ended) == attempts
    assert all(attempt.host_lost and attempt.exit_code is None for attempt in ended)
    assert not plane.tables.waiting_count["default"]  # the job's next attempt takes its place, nothing else


async def test_deregistering_by_force_starts_the_job_again() -> None:
    plane = await prepared()
    job = await submitted(plane)
    await start(plane, job)
    await plane.one(i.DeregisterInstance("default", "x", force=True))
    assert startable(plane.tables.batch, job.id, 10) == [(2, [0])]
    assert history(plane.tables, job.id)[0].status_reason.startswith(HOST_LOST_BEGINS)


async def test_many_attempts_of_a_child_stay_short_in_the_store() -> None:
    plane = await prepared()
    job = await submitted(plane, 2, retryStrategy={"hostLosses": 40})
    for _ in range(30):
        (task,) = await start(plane, job)
        await plane.run([], host_loss.losing(task, host_loss.HOST_LOST, "s" * 500, plane.context))
    attempts = history(plane.tables, job.id, 0)
    assert len(attempts) == 30
    assert all(attempt.host_lost for attempt in attempts)
    assert [bool(attempt.task) for attempt in attempts] == [False] * 20 + [True] * 10
    assert max(len(attempt.status_reason) for attempt in attempts) == 80
    assert startable(plane.tables.batch, job.id, 1) == [(31, [0])]


# -- time ----------------------------------------------------------------------------------------------------


async def test_an_attempt_that_runs_too_long_is_stopped_and_never_repeated() -> None:
    plane = await prepared()
    job = await submitted(plane, timeout={"attemptDurationSeconds": 60}, retryStrategy={"attempts": 5})
    (task,) = await start(plane, job)
    plane.now += 3_000
    await plane.one(report(task, "RUNNING", started_at=plane.now + 10**9))  # its clock is far ahead
    plane.tables = await plane.reloaded()
    await plane.one(instance("x", cpu=10_000, memory_mib=10_000, incarnation=1))
    plane.now += 59_999
    await plane.run([])
    assert jobs.task_of(plane.tables, job).desired_status == "RUNNING"
    plane.now += 1
    await plane.run([])
    assert jobs.task_of(plane.tables, job).stopped_reason == TIMED_OUT
    await end(plane, job, containers=(ContainerState("default", "STOPPED", exit_code=143),))
    assert outcome(plane, job) == (FAILED, TIMED_OUT)


async def test_a_host_that_is_lost_while_its_overdue_attempt_stops_changes_nothing() -> None:
    plane = await prepared()
    job = await submitted(plane, timeout={"attemptDurationSeconds": 60})
    (task,) = await start(plane, job)
    await plane.one(report(task, "RUNNING", started_at=1))  # long before there was such a task
    plane.now += 60_000
    await plane.run([])
    task = jobs.task_of(plane.tables, job)
    await plane.run([], host_loss.losing(task, host_loss.HOST_LOST, "silent", plane.context))
    assert outcome(plane, job) == (FAILED, TIMED_OUT)


async def test_jobs_that_are_over_are_kept_by_time_and_by_count() -> None:
    limits = Limits(finished_jobs_keep_seconds=60, finished_jobs_max=2, client_tokens_keep_seconds=10)
    plane = await prepared(limits)
    kept = await submitted(plane)
    needs_it = await submitted(plane, after=[(kept.id, "")])
    done = [await submitted(plane, client_token=f"t{number}", request_digest="d") for number in range(4)]
    for job in (kept, *done):
        await plane.one(CancelJob(job.id, "why"))
    await settle(plane)  # what needs the first has failed by that
    assert outcome(plane, needs_it) == (FAILED, "Dependent Job failed")
    plane.now += 5_000
    await plane.run([], retention.expired(plane.tables, plane.context))
    assert set(plane.tables.batch.jobs) == {job.id for job in done}  # their tokens are fresh
    plane.now += 5_000
    await plane.run([], retention.expired(plane.tables, plane.context))
    assert set(plane.tables.batch.jobs) == {job.id for job in done[2:]}
    plane.now += 60_000
    await plane.run([], retention.expired(plane.tables, plane.context))
    assert not plane.tables.batch.jobs
    assert not (await plane.reloaded()).batch.jobs


async def test_what_an_open_job_depends_on_is_kept() -> None:
    plane = await prepared(Limits(finished_jobs_keep_seconds=1, finished_jobs_max=0, stopped_tasks_max=0))
    first = await submitted(plane, 2)
    second = await submitted(plane, 2, after=[(first.id, N_TO_N)])
    await start(plane, first, 2)
    await end(plane, first, 0)
    await end(plane, first, 1)
    plane.now += 10_000
    await plane.run([], retention.expired(plane.tables, plane.context))
    assert not plane.tables.launches  # what became of them is in the job's own records
    await start(plane, second, 2)
    await end(plane, second, 0)
    await end(plane, second, 1)
    assert outcome(plane, second)[0] == SUCCEEDED
    plane.now += 10_000
    await plane.run([], retention.expired(plane.tables, plane.context))
    assert not plane.tables.batch.jobs
    assert not plane.tables.batch.dependants


# -- dependencies --------------------------------------------------------------------------------------------


async def test_a_whole_job_waits_for_all_it_depends_on() -> None:
    plane = await prepared()
    first, second = await submitted(plane), await submitted(plane, 2)
    third = await submitted(plane, after=[(first.id, ""), (second.id, "")])
    assert status(plane.tables.batch, third.id) == "PENDING"
    await start(plane, first)
    await end(plane, first)
    await start(plane, second, 2)
    await end(plane, second, 0)
    assert not startable(plane.tables.batch, third.id, 1)
    plane.now += 500
    await end(plane, second, 1)
    await settle(plane)
    assert plane.tables.batch.jobs[third.id].state.runnable_at == plane.now
    assert startable(plane.tables.batch, third.id, 1) == [(1, [0])]


async def test_what_failed_already_fails_a_job_at_once() -> None:
    plane = await prepared()
    first = await submitted(plane)
    await plane.one(CancelJob(first.id, "why"))
    second = await submitted(plane, after=[(first.id, "")])
    assert outcome(plane, second) == (FAILED, "Dependent Job failed")


async def test_failures_cascade_a_bounded_number_at_a_time() -> None:
    plane = await prepared()
    first = await submitted(plane)
    for _ in range(3):
        await plane.run([jobs.submit(0, after=[(first.id, "")]) for _ in range(100)])
    last = [entry.job for entry in plane.tables.batch.jobs.values()][-1]
    await submitted(plane, after=[(last.id, "")])
    await plane.one(CancelJob(first.id, "why"))
    plane.tables = await plane.reloaded()
    changed = step(plane.tables, [], plane.context).changes
    assert 50 < len(changed) <= KEYS_PER_STEP
    assert await settle(plane) > 3
    assert not plane.tables.batch.open_count


async def test_n_to_n_goes_child_by_child_and_fails_child_by_child() -> None:
    plane = await prepared()
    first = await submitted(plane, 600)
    second = await submitted(plane, 600, after=[(first.id, N_TO_N)])
    third = await submitted(plane, 600, after=[(second.id, N_TO_N)])
    await start(plane, first, 600)
    for child, code in ((5, 0), (6, 1), (599, 0)):
        await end(plane, first, child, **jobs.exited(code))
    await settle(plane)
    assert startable(plane.tables.batch, second.id, 10) == [(1, [5, 599])]
    found = [status(plane.tables.batch, third.id, child) for child in (5, 6, 599)]
    assert found == ["PENDING", FAILED, "PENDING"]
    assert status_reason(plane.tables.batch, third.id, 6) == "Dependent Job failed"
    assert some(plane, second) == {"PENDING": 597, "RUNNABLE": 2, FAILED: 1}


async def test_a_sequence_runs_one_after_the_other_and_ends_with_the_first_failure() -> None:
    plane = await prepared()
    job = await submitted(plane, 4, after=[("", SEQUENTIAL)])
    await start(plane, job, 4)
    assert list(plane.tables.batch.jobs[job.id].live) == [0]
    assert not startable(plane.tables.batch, job.id, 4)
    await end(plane, job, 0)
    await start(plane, job, 4)
    await end(plane, job, 1, **jobs.exited(1))
    assert outcome(plane, job) == (FAILED, "Array Child Job failed")
    assert [status(plane.tables.batch, job.id, child) for child in range(4)] == [SUCCEEDED, FAILED, FAILED, FAILED]
    assert status_reason(plane.tables.batch, job.id, 3) == "Dependent Job failed"


@pytest.mark.parametrize(
    ("size", "after", "words"),
    [
        (0, [("nobody", "")], "dependsOn[0].jobId: there is no job 'nobody'"),
        (3, [("", SEQUENTIAL), ("SECOND", N_TO_N)], "this job has 3 children, job"),
        (0, [("SECOND", N_TO_N)], "this job has no children"),
        (0, [("", SEQUENTIAL)], "dependsOn[0].type: SEQUENTIAL is for arrays"),
        (2, [("SECOND", SEQUENTIAL)], "dependsOn[0].jobId: SEQUENTIAL is between a job's own children"),
        (2, [("", "")], "dependsOn[0].jobId"),
    ],
)
async def test_dependencies_that_cannot_be_are_refused(size: int, after: list[tuple[str, str]], words: str) -> None:
    plane = await prepared()
    second = await submitted(plane, 2)
    named = [(second.id if name == "SECOND" else name, kind) for name, kind in after]
    with pytest.raises(Refused) as refused:
        await submitted(plane, size, after=named)
    assert words in refused.value.message
    assert len(plane.tables.batch.jobs) == 1


# -- cancelling ----------------------------------------------------------------------------------------------


async def test_only_what_has_not_started_is_cancelled() -> None:
    plane = await prepared()
    waits, runs = await submitted(plane), await submitted(plane)
    await start(plane, runs)
    for job in (waits, runs, waits):
        await plane.one(CancelJob(job.id, "not needed"))
    assert outcome(plane, waits) == (FAILED, "not needed")
    assert outcome(plane, runs) == ("", "")
    await end(plane, runs)
    assert outcome(plane, runs)[0] == SUCCEEDED
    with pytest.raises(Refused, match="there is no job 'nobody'"):
        await plane.one(CancelJob("nobody", "why"))
    with pytest.raises(Refused, match="it is no array"):
        await plane.one(CancelJob(f"{waits.id}:0", "why"))


async def test_children_that_wait_are_cancelled_and_those_that_run_go_on() -> None:
    plane = await prepared()
    job = await submitted(plane, 4, retryStrategy={"attempts": 2})
    await start(plane, job, 2)
    await plane.one(CancelJob(job.id, "not needed"))
    assert [status(plane.tables.batch, job.id, child) for child in range(4)] == ["STARTING"] * 2 + [FAILED] * 2
    await end(plane, job, 0)
    await end(plane, job, 1, **jobs.exited(1))  # not tried again
    assert outcome(plane, job) == (FAILED, "not needed")
    assert counts(plane.tables.batch, job.id)[SUCCEEDED] == 1
    assert status_reason(plane.tables.batch, job.id, 3) == "not needed"


async def test_a_terminated_job_is_stopped_with_the_reason_and_not_tried_again() -> None:
    plane = await prepared()
    job = await submitted(plane, retryStrategy={"attempts": 3})
    await start(plane, job)
    await plane.one(TerminateJob(job.id, "too late"))
    await settle(plane)
    task = jobs.task_of(plane.tables, job)
    assert (task.desired_status, task.stopped_reason) == ("STOPPED", "too late")
    await end(plane, job, **jobs.exited(0))  # it ends as it is told: that is no success
    assert outcome(plane, job) == (FAILED, "too late")
    await plane.one(TerminateJob(job.id, "again"))
    assert outcome(plane, job) == (FAILED, "too late")


async def test_a_child_is_cancelled_and_terminated_alone() -> None:
    plane = await prepared()
    job = await submitted(plane, 3)
    await start(plane, job, 2)
    await plane.one(TerminateJob(f"{job.id}:1", "bad"))
    await plane.one(CancelJob(f"{job.id}:0", "runs already"))
    await plane.one(CancelJob(f"{job.id}:2", "needless"))
    found = [jobs.task_of(plane.tables, job, child).desired_status for child in (0, 1)]
    assert found == ["RUNNING", "STOPPED"]
    assert status(plane.tables.batch, job.id, 2) == FAILED
    await end(plane, job, 1, containers=(ContainerState("default", "STOPPED", exit_code=143),))
    assert [status_reason(plane.tables.batch, job.id, child) for child in (1, 2)] == ["bad", "needless"]
    await end(plane, job, 0)
    assert outcome(plane, job) == (FAILED, "Array Child Job failed")
    with pytest.raises(Refused, match="the children of this array are 0 to 2"):
        await plane.one(CancelJob(f"{job.id}:3", "why"))


async def test_tasks_of_a_terminated_array_are_stopped_a_bounded_number_at_a_time() -> None:
    plane = await prepared()
    job = await submitted(plane, 10_000)
    for _ in range(3):
        await start(plane, job, 1000)
    await plane.one(TerminateJob(job.id, "too late"))
    assert await settle(plane) == 3
    assert all(task.desired_status == "STOPPED" for task in jobs.live(plane.tables, job))
    assert counts(plane.tables.batch, job.id)[FAILED] == 7000


# -- a million -----------------------------------------------------------------------------------------------


async def test_an_array_of_a_million_costs_no_more_than_what_happens_to_it() -> None:
    plane = await prepared()
    request = jobs.submit(1_000_000)
    result = step(plane.tables, [request], plane.context)
    write = write_of(plane.tables, result.changes, "s")
    assert write is not None
    assert len(write.puts) == 1
    assert len(next(iter(write.puts.values()))) < 1000
    job = await submitted(plane, 1_000_000)
    waits = await submitted(plane, 1_000_000, after=[(job.id, N_TO_N)])
    await start(plane, job, 600)
    for child in range(300):
        await end(plane, job, child)
    entry = plane.tables.batch.jobs[job.id]
    assert len(entry.live) == 300
    assert entry.first_open == 1
    assert sum(len(chunk.children) for chunk in entry.chunks.values()) == 0
    assert sum(map(sys.getsizeof, (entry.chunks, entry.live, entry.live_bits, entry.started))) < 50_000
    assert startable(plane.tables.batch, waits.id, 2) == [(1, [0, 1])]
    assert counts(plane.tables.batch, waits.id)["RUNNABLE"] == 300
    plane.tables = await plane.reloaded()
    await plane.one(instance("x", cpu=10_000, memory_mib=10_000, incarnation=1))
    await plane.one(CancelJob(job.id, "enough"))
    before = plane.store.revision
    await plane.one(CancelJob(job.id, "enough"))
    assert plane.store.revision == before
    for child in range(300, 600):
        await end(plane, job, child)
    assert outcome(plane, job) == (FAILED, "enough")
    assert counts(plane.tables.batch, job.id)[FAILED] == 999_400
    assert await settle(plane) < 80  # of the other one, 3,907 chunks are written
    assert some(plane, waits) == {"RUNNABLE": 600, FAILED: 999_400}


# -- submission ----------------------------------------------------------------------------------------------


async def test_one_token_is_one_job_however_often_it_comes() -> None:
    plane = await prepared()
    requests = [jobs.submit(client_token="t", request_digest="d")] * 10_000
    replies = await plane.run(requests)
    assert len(replies) == 10_000
    assert len({reply.id for reply in replies}) == len(plane.tables.batch.jobs) == 1
    plane.tables = await plane.reloaded()
    assert (await plane.one(requests[0])).id == replies[0].id
    with pytest.raises(Refused, match="different request"):
        await plane.one(jobs.submit(client_token="t", request_digest="other"))


async def test_a_disabled_queue_takes_no_new_jobs_and_keeps_the_old() -> None:
    plane = await prepared()
    job = await submitted(plane)
    queue = plane.tables.batch.queues["q"]
    await plane.run([], [b.PutJobQueue(type(queue)(**{**_fields(queue), "state": DISABLED}))])
    with pytest.raises(Refused, match="q is DISABLED"):
        await submitted(plane)
    assert startable(plane.tables.batch, job.id, 1) == [(1, [0])]


def _fields(record: Any) -> dict[str, Any]:
    return {name: getattr(record, name) for name in record.__struct_fields__}


async def test_a_step_takes_no_more_jobs_than_a_transaction_holds() -> None:
    plane = await prepared()
    large = jobs.submit(parameters={"in": "a" * 20_000})
    replies = await plane.run([large] * 100)
    assert 10 < len(replies) < 50
    small = await plane.run([jobs.submit()] * 1000)
    assert len(small) >= 90
