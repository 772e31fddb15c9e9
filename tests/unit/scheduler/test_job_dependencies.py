"""Jobs that wait for others, jobs that are cancelled or terminated, and an array of a million."""

import sys

import pytest
from shoal_scheduler.control.batch import follow
from shoal_scheduler.control.batch.children import counts, status, status_reason
from shoal_scheduler.control.batch.job_inputs import CancelJob, TerminateJob
from shoal_scheduler.control.context import Context
from shoal_scheduler.control.step import KEYS_PER_STEP, step
from shoal_scheduler.model.job import FAILED, N_TO_N, SEQUENTIAL, SUCCEEDED
from shoal_scheduler.model.refusal import Refused
from shoal_scheduler.model.task import ContainerState
from shoal_scheduler.state.changes import DeleteUsage
from shoal_scheduler.state.overlay import Overlay
from shoal_scheduler.state.startable import startable
from shoal_scheduler.state.writes import write_of

from tests.unit.scheduler import jobs
from tests.unit.scheduler.plane import instance

# -- dependencies --------------------------------------------------------------------------------------------


async def test_a_whole_job_waits_for_all_it_depends_on() -> None:
    plane = await jobs.plane_with()
    first, second = await jobs.submitted(plane), await jobs.submitted(plane, 2)
    third = await jobs.submitted(plane, after=[(first.id, ""), (second.id, "")])
    assert status(plane.tables.batch, third.id) == "PENDING"
    await jobs.start(plane, first)
    await jobs.end(plane, first)
    await jobs.start(plane, second, 2)
    await jobs.end(plane, second, 0)
    assert not startable(plane.tables.batch, third.id, 1)
    plane.now += 500
    await jobs.end(plane, second, 1)
    await jobs.settle(plane)
    assert plane.tables.batch.jobs[third.id].state.runnable_at == plane.now
    assert startable(plane.tables.batch, third.id, 1) == [(1, [0])]


async def test_what_failed_already_fails_a_job_at_once() -> None:
    plane = await jobs.plane_with()
    first = await jobs.submitted(plane)
    await plane.one(CancelJob(first.id, "why"))
    second = await jobs.submitted(plane, after=[(first.id, "")])
    assert jobs.outcome(plane, second) == (FAILED, "Dependent Job failed")


async def test_failures_cascade_a_bounded_number_at_a_time() -> None:
    plane = await jobs.plane_with()
    first = await jobs.submitted(plane)
    for _ in range(3):
        await plane.run([jobs.submit(0, after=[(first.id, "")]) for _ in range(100)])
    last = [entry.job for entry in plane.tables.batch.jobs.values()][-1]
    await jobs.submitted(plane, after=[(last.id, "")])
    await plane.one(CancelJob(first.id, "why"))
    plane.tables = await plane.reloaded()
    changed = step(plane.tables, [], plane.context).changes
    assert 50 < len(changed) <= KEYS_PER_STEP
    assert await jobs.settle(plane) > 3
    assert not plane.tables.batch.open_count


async def test_n_to_n_goes_child_by_child_and_fails_child_by_child() -> None:
    plane = await jobs.plane_with()
    first = await jobs.submitted(plane, 600)
    second = await jobs.submitted(plane, 600, after=[(first.id, N_TO_N)])
    third = await jobs.submitted(plane, 600, after=[(second.id, N_TO_N)])
    await jobs.start(plane, first, 600)
    for child, code in ((5, 0), (6, 1), (599, 0)):
        await jobs.end(plane, first, child, **jobs.exited(code))
    await jobs.settle(plane)
    assert startable(plane.tables.batch, second.id, 10) == [(1, [5, 599])]
    found = [status(plane.tables.batch, third.id, child) for child in (5, 6, 599)]
    assert found == ["PENDING", FAILED, "PENDING"]
    assert status_reason(plane.tables.batch, third.id, 6) == "Dependent Job failed"
    assert jobs.some(plane, second) == {"PENDING": 597, "RUNNABLE": 2, FAILED: 1}


async def test_a_sequence_runs_one_after_the_other_and_ends_with_the_first_failure() -> None:
    plane = await jobs.plane_with()
    job = await jobs.submitted(plane, 4, after=[("", SEQUENTIAL)])
    await jobs.start(plane, job, 4)
    assert list(plane.tables.batch.jobs[job.id].live) == [0]
    assert not startable(plane.tables.batch, job.id, 4)
    await jobs.end(plane, job, 0)
    await jobs.start(plane, job, 4)
    await jobs.end(plane, job, 1, **jobs.exited(1))
    assert jobs.outcome(plane, job) == (FAILED, "Array Child Job failed")
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
    plane = await jobs.plane_with()
    second = await jobs.submitted(plane, 2)
    named = [(second.id if name == "SECOND" else name, kind) for name, kind in after]
    with pytest.raises(Refused) as refused:
        await jobs.submitted(plane, size, after=named)
    assert words in refused.value.message
    assert len(plane.tables.batch.jobs) == 1


# -- cancelling ----------------------------------------------------------------------------------------------


async def test_only_what_has_not_started_is_cancelled() -> None:
    plane = await jobs.plane_with()
    waits, runs = await jobs.submitted(plane), await jobs.submitted(plane)
    await jobs.start(plane, runs)
    for job in (waits, runs, waits):
        await plane.one(CancelJob(job.id, "not needed"))
    assert jobs.outcome(plane, waits) == (FAILED, "not needed")
    assert jobs.outcome(plane, runs) == ("", "")
    await jobs.end(plane, runs)
    assert jobs.outcome(plane, runs)[0] == SUCCEEDED
    with pytest.raises(Refused, match="there is no job 'nobody'"):
        await plane.one(CancelJob("nobody", "why"))
    with pytest.raises(Refused, match="it is no array"):
        await plane.one(CancelJob(f"{waits.id}:0", "why"))


async def test_children_that_wait_are_cancelled_and_those_that_run_go_on() -> None:
    plane = await jobs.plane_with()
    job = await jobs.submitted(plane, 4, retryStrategy={"attempts": 2})
    await jobs.start(plane, job, 2)
    await plane.one(CancelJob(job.id, "not needed"))
    assert [status(plane.tables.batch, job.id, child) for child in range(4)] == ["STARTING"] * 2 + [FAILED] * 2
    await jobs.end(plane, job, 0)
    await jobs.end(plane, job, 1, **jobs.exited(1))  # not tried again
    assert jobs.outcome(plane, job) == (FAILED, "not needed")
    assert counts(plane.tables.batch, job.id)[SUCCEEDED] == 1
    assert status_reason(plane.tables.batch, job.id, 3) == "not needed"


async def test_a_terminated_job_is_stopped_with_the_reason_and_not_tried_again() -> None:
    plane = await jobs.plane_with()
    job = await jobs.submitted(plane, retryStrategy={"attempts": 3})
    await jobs.start(plane, job)
    await plane.one(TerminateJob(job.id, "too late"))
    await jobs.settle(plane)
    task = jobs.task_of(plane.tables, job)
    assert (task.desired_status, task.stopped_reason) == ("STOPPED", "too late")
    await jobs.end(plane, job, **jobs.exited(0))  # it ends as it is told: that is no success
    assert jobs.outcome(plane, job) == (FAILED, "too late")
    await plane.one(TerminateJob(job.id, "again"))
    assert jobs.outcome(plane, job) == (FAILED, "too late")


async def test_a_child_is_cancelled_and_terminated_alone() -> None:
    plane = await jobs.plane_with()
    job = await jobs.submitted(plane, 3)
    await jobs.start(plane, job, 2)
    await plane.one(TerminateJob(f"{job.id}:1", "bad"))
    await plane.one(CancelJob(f"{job.id}:0", "runs already"))
    await plane.one(CancelJob(f"{job.id}:2", "needless"))
    found = [jobs.task_of(plane.tables, job, child).desired_status for child in (0, 1)]
    assert found == ["RUNNING", "STOPPED"]
    assert status(plane.tables.batch, job.id, 2) == FAILED
    await jobs.end(plane, job, 1, containers=(ContainerState("default", "STOPPED", exit_code=143),))
    assert [status_reason(plane.tables.batch, job.id, child) for child in (1, 2)] == ["bad", "needless"]
    await jobs.end(plane, job, 0)
    assert jobs.outcome(plane, job) == (FAILED, "Array Child Job failed")
    with pytest.raises(Refused, match="the children of this array are 0 to 2"):
        await plane.one(CancelJob(f"{job.id}:3", "why"))


async def test_tasks_of_a_terminated_array_are_stopped_a_bounded_number_at_a_time() -> None:
    plane = await jobs.plane_with()
    job = await jobs.submitted(plane, 10_000)
    for _ in range(3):
        await jobs.start(plane, job, 1000)
    await plane.one(TerminateJob(job.id, "too late"))
    assert 3 <= await jobs.settle(plane) <= 6
    assert all(task.desired_status == "STOPPED" for task in jobs.live(plane.tables, job))
    assert counts(plane.tables.batch, job.id)[FAILED] == 7000


# -- a million -----------------------------------------------------------------------------------------------


async def test_an_array_of_a_million_costs_no_more_than_what_happens_to_it() -> None:
    plane = await jobs.plane_with()
    request = jobs.submit(1_000_000)
    result = step(plane.tables, [request], plane.context)
    write = write_of(plane.tables, result.changes, "s")
    assert write is not None
    assert len(write.puts) == 1
    assert len(next(iter(write.puts.values()))) < 1000
    job = await jobs.submitted(plane, 1_000_000)
    waits = await jobs.submitted(plane, 1_000_000, after=[(job.id, N_TO_N)])
    await jobs.start(plane, job, 600)
    for child in range(300):
        await jobs.end(plane, job, child)
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
        await jobs.end(plane, job, child)
    assert jobs.outcome(plane, job) == (FAILED, "enough")
    assert counts(plane.tables.batch, job.id)[FAILED] == 999_400
    assert await jobs.settle(plane) < 80  # of the other one, 3,907 chunks are written
    assert jobs.some(plane, waits) == {"RUNNABLE": 600, FAILED: 999_400}


async def test_a_job_that_cannot_be_looked_at_stops_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    plane = await jobs.plane_with()
    first = await jobs.submitted(plane)
    bad, good = [await jobs.submitted(plane, after=[(first.id, "")]) for _ in range(2)]
    settle = follow.settle

    def fails(view: Overlay, job_id: str, context: Context, keys_max: int) -> None:
        settle(view, job_id, context, keys_max)
        if job_id == bad.id:
            raise ZeroDivisionError

    monkeypatch.setattr(follow, "settle", fails)
    await plane.one(CancelJob(first.id, "why"))
    result = step(plane.tables, [], plane.context)
    assert [type(fault.error) for fault in result.faults] == [ZeroDivisionError]
    await plane.run([])
    assert jobs.outcome(plane, good) == (FAILED, "Dependent Job failed")
    assert jobs.outcome(plane, bad) == ("", "")
    assert not plane.tables.batch.unsettled  # or the next step would come at once, and fail again
    monkeypatch.undo()
    plane.tables = await plane.reloaded()
    await jobs.settle(plane)
    assert jobs.outcome(plane, bad)[0] == FAILED


async def test_what_follows_is_not_kept_waiting_by_a_clean_up_that_goes_on_and_on() -> None:
    plane = await jobs.plane_with()
    first = await jobs.submitted(plane)
    second = await jobs.submitted(plane, after=[(first.id, "")])
    await plane.one(CancelJob(first.id, "why"))
    due = [DeleteUsage("default", f"group-{number}", "2020-01") for number in range(100)]
    await plane.run([], due)
    assert jobs.outcome(plane, second)[0] == FAILED
