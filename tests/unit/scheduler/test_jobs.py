"""The life of jobs: attempts and what decides over them, dependencies, cancelling, time."""

from typing import Any

import pytest
from shoal_scheduler.control import host_loss, retention
from shoal_scheduler.control import inputs as i
from shoal_scheduler.control.batch import submit
from shoal_scheduler.control.batch.attempts import TIMED_OUT
from shoal_scheduler.control.batch.children import history, status
from shoal_scheduler.control.batch.job_inputs import CancelJob
from shoal_scheduler.control.context import Limits
from shoal_scheduler.control.step import step
from shoal_scheduler.model.job import FAILED, N_TO_N, SUCCEEDED
from shoal_scheduler.model.job_queue import DISABLED
from shoal_scheduler.model.refusal import Refused
from shoal_scheduler.model.task import ContainerState
from shoal_scheduler.state import batch_changes as b
from shoal_scheduler.state.startable import startable
from shoal_scheduler.state.writes import write_of

from tests.unit.scheduler import jobs
from tests.unit.scheduler.plane import instance, report

HOST_LOST_BEGINS = "Host EC2 (instance x) terminated."


# -- attempts ------------------------------------------------------------------------------------------------


async def test_a_job_runs_from_submission_to_its_end() -> None:
    plane = await jobs.plane_with()
    job = await jobs.submitted(plane, parameters={"in": "a.png"}, propagateTags=True)
    assert status(plane.tables.batch, job.id) == "RUNNABLE"
    assert job.overrides == {"containerOverrides": [{"name": "default", "command": ["flip", "a.png", "Ref::out"]}]}
    (task,) = await jobs.start(plane, job)
    assert status(plane.tables.batch, job.id) == "STARTING"
    await plane.one(report(task, "RUNNING", started_at=plane.now))
    assert status(plane.tables.batch, job.id) == "RUNNING"
    await jobs.end(plane, job)
    assert status(plane.tables.batch, job.id) == SUCCEEDED
    (attempt,) = history(plane.tables, job.id)
    assert (attempt.task, attempt.instance, attempt.exit_code) == (task.id, "x", 0)


async def test_one_transaction_holds_the_end_and_what_follows_from_it() -> None:
    plane = await jobs.plane_with()
    job = await jobs.submitted(plane)
    (task,) = await jobs.start(plane, job)
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
    plane = await jobs.plane_with()
    job = await jobs.submitted(plane, retryStrategy={"attempts": 2, "evaluateOnExit": RULES})
    await jobs.start(plane, job)
    state = ContainerState("default", "STOPPED", exit_code=code, reason=reason)
    await jobs.end(plane, job, stop_code="EssentialContainerExited", containers=(state,))
    (attempt,) = history(plane.tables, job.id)
    assert (attempt.exit_code, attempt.rule, attempt.action) == (code, rule, action)
    assert status(plane.tables.batch, job.id) == ("RUNNABLE" if goes_on else FAILED)


async def test_attempts_are_counted_and_never_more_than_allowed() -> None:
    plane = await jobs.plane_with()
    job = await jobs.submitted(plane, retryStrategy={"attempts": 3})
    for number in range(3):
        (task,) = await jobs.start(plane, job)
        assert task.launch.job is not None
        assert task.launch.job.attempt == number + 1
        await jobs.end(plane, job, **jobs.exited(1))
        plane.tables = await plane.reloaded()
        await plane.one(instance("x", cpu=10_000, memory_mib=10_000, incarnation=1))
    assert jobs.outcome(plane, job) == (FAILED, "Essential container in task exited")
    assert not await jobs.start(plane, job)


@pytest.mark.parametrize(("allowed", "attempts"), [(0, 1), (2, 3)])
async def test_losses_of_hosts_are_counted_apart(allowed: int, attempts: int) -> None:
    plane = await jobs.plane_with()
    job = await jobs.submitted(plane, retryStrategy={"attempts": 1, "hostLosses": allowed})
    for _ in range(attempts):
        (task,) = await jobs.start(plane, job)
        await plane.run([], host_loss.losing(task, host_loss.HOST_LOST, "silent", plane.context))
    ended = history(plane.tables, job.id)
    assert jobs.outcome(plane, job) == (FAILED, f"{HOST_LOST_BEGINS} silent")
    assert len(ended) == attempts
    assert all(attempt.host_lost and attempt.exit_code is None for attempt in ended)
    assert not plane.tables.waiting_count["default"]  # the job's next attempt takes its place, nothing else


async def test_deregistering_by_force_starts_the_job_again() -> None:
    plane = await jobs.plane_with()
    job = await jobs.submitted(plane)
    await jobs.start(plane, job)
    await plane.one(i.DeregisterInstance("default", "x", force=True))
    assert startable(plane.tables.batch, job.id, 10) == [(2, [0])]
    assert history(plane.tables, job.id)[0].status_reason.startswith(HOST_LOST_BEGINS)


async def test_many_attempts_of_a_child_stay_short_in_the_store() -> None:
    plane = await jobs.plane_with()
    job = await jobs.submitted(plane, 2, retryStrategy={"hostLosses": 40})
    for _ in range(30):
        (task,) = await jobs.start(plane, job)
        await plane.run([], host_loss.losing(task, host_loss.HOST_LOST, "s" * 500, plane.context))
    attempts = history(plane.tables, job.id, 0)
    assert len(attempts) == 30
    assert all(attempt.host_lost for attempt in attempts)
    assert [bool(attempt.task) for attempt in attempts] == [False] * 20 + [True] * 10
    assert max(len(attempt.status_reason) for attempt in attempts) == 200
    assert startable(plane.tables.batch, job.id, 1) == [(31, [0])]


async def test_of_an_array_an_attempt_says_why_its_host_was_lost() -> None:
    plane = await jobs.plane_with()
    job = await jobs.submitted(plane, 2)
    (task,) = await jobs.start(plane, job)
    name = "00000000-0000-4000-8000-000000000000"
    why = f"Container instance {name} (node-17.rack-4) has been silent since 2026-11-26T08:00:00+00:00"
    why += "s" * (len(name) - len("x"))  # its name would stand twice
    await plane.run([], host_loss.losing(task, host_loss.HOST_LOST, why, plane.context))
    (attempt,) = history(plane.tables, job.id, 0)
    assert attempt.status_reason == f"{HOST_LOST_BEGINS} {why}"


# -- time ----------------------------------------------------------------------------------------------------


async def test_an_attempt_that_runs_too_long_is_stopped_and_never_repeated() -> None:
    plane = await jobs.plane_with()
    job = await jobs.submitted(plane, timeout={"attemptDurationSeconds": 60}, retryStrategy={"attempts": 5})
    (task,) = await jobs.start(plane, job)
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
    await jobs.end(plane, job, containers=(ContainerState("default", "STOPPED", exit_code=143),))
    assert jobs.outcome(plane, job) == (FAILED, TIMED_OUT)


async def test_a_host_that_is_lost_while_its_overdue_attempt_stops_changes_nothing() -> None:
    plane = await jobs.plane_with()
    job = await jobs.submitted(plane, timeout={"attemptDurationSeconds": 60})
    (task,) = await jobs.start(plane, job)
    await plane.one(report(task, "RUNNING", started_at=1))  # long before there was such a task
    plane.now += 60_000
    await plane.run([])
    task = jobs.task_of(plane.tables, job)
    await plane.run([], host_loss.losing(task, host_loss.HOST_LOST, "silent", plane.context))
    assert jobs.outcome(plane, job) == (FAILED, TIMED_OUT)


async def test_jobs_that_are_over_are_kept_by_time_and_by_count() -> None:
    limits = Limits(finished_jobs_keep_seconds=60, finished_jobs_max=2, client_tokens_keep_seconds=10)
    plane = await jobs.plane_with(limits)
    kept = await jobs.submitted(plane)
    needs_it = await jobs.submitted(plane, after=[(kept.id, "")])
    done = [await jobs.submitted(plane, client_token=f"t{number}", request_digest="d") for number in range(4)]
    for job in (kept, *done):
        await plane.one(CancelJob(job.id, "why"))
    await jobs.settle(plane)  # what needs the first has failed by that
    assert jobs.outcome(plane, needs_it) == (FAILED, "Dependent Job failed")
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
    plane = await jobs.plane_with(Limits(finished_jobs_keep_seconds=1, finished_jobs_max=0, stopped_tasks_max=0))
    first = await jobs.submitted(plane, 2)
    second = await jobs.submitted(plane, 2, after=[(first.id, N_TO_N)])
    await jobs.start(plane, first, 2)
    await jobs.end(plane, first, 0)
    await jobs.end(plane, first, 1)
    plane.now += 10_000
    await plane.run([], retention.expired(plane.tables, plane.context))
    assert not plane.tables.launches  # what became of them is in the job's own records
    await jobs.start(plane, second, 2)
    await jobs.end(plane, second, 0)
    await jobs.end(plane, second, 1)
    assert jobs.outcome(plane, second)[0] == SUCCEEDED
    plane.now += 10_000
    await plane.run([], retention.expired(plane.tables, plane.context))
    assert not plane.tables.batch.jobs
    assert not plane.tables.batch.dependants


# -- submission ----------------------------------------------------------------------------------------------


async def test_one_token_is_one_job_however_often_it_comes() -> None:
    plane = await jobs.plane_with()
    requests = [jobs.submit(client_token="t", request_digest="d")] * 10_000
    replies = await plane.run(requests)
    assert len(replies) == 10_000
    assert len({reply.id for reply in replies}) == len(plane.tables.batch.jobs) == 1
    plane.tables = await plane.reloaded()
    assert (await plane.one(requests[0])).id == replies[0].id
    with pytest.raises(Refused, match="different request"):
        await plane.one(jobs.submit(client_token="t", request_digest="other"))


async def test_a_disabled_queue_takes_no_new_jobs_and_keeps_the_old() -> None:
    plane = await jobs.plane_with()
    job = await jobs.submitted(plane)
    queue = plane.tables.batch.queues["q"]
    await plane.run([], [b.PutJobQueue(type(queue)(**{**_fields(queue), "state": DISABLED}))])
    with pytest.raises(Refused, match="q is DISABLED"):
        await jobs.submitted(plane)
    assert startable(plane.tables.batch, job.id, 1) == [(1, [0])]


def _fields(record: Any) -> dict[str, Any]:
    return {name: getattr(record, name) for name in record.__struct_fields__}


async def test_a_step_takes_no_more_jobs_than_a_transaction_holds() -> None:
    plane = await jobs.plane_with()
    large = jobs.submit(parameters={"in": "a" * 20_000})
    replies = await plane.run([large] * 100)
    assert 10 < len(replies) < 50
    small = await plane.run([jobs.submit()] * 1000)
    assert len(small) >= 90


async def test_no_more_jobs_wait_than_there_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submit, "OPEN_JOBS_MAX", 3)
    plane = await jobs.plane_with()
    replies = await plane.run([jobs.submit()] * 5)
    assert [isinstance(reply, Refused) for reply in replies] == [False] * 3 + [True] * 2
    assert "3 jobs are not over yet" in replies[4].message
    await plane.one(CancelJob(replies[0].id, "why"))
    await jobs.submitted(plane)
