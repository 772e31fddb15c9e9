"""The control plane as a function: requests, reports, and what they leave behind."""

from typing import Any

import pytest
from shoal.arn import task_arn
from shoal_scheduler.control import inputs as i
from shoal_scheduler.control import retention
from shoal_scheduler.control.context import Limits
from shoal_scheduler.control.step import KEYS_PER_STEP, step
from shoal_scheduler.model.refusal import Refused
from shoal_scheduler.model.task import ContainerState, TaskKey

from tests.unit.scheduler.plane import DEFINITION, Plane, instance, report


def run_task(**more: Any) -> i.RunTask:
    return i.RunTask(cluster="default", definition="web", **more)


async def test_placed_tasks_are_durable_with_their_fence() -> None:
    plane = Plane()
    await plane.prepare(instance("x"))
    launched = await plane.one(run_task(count=2))
    tables = await plane.reloaded()
    for task in launched.tasks:
        stored = tables.task(task.key)
        assert stored == plane.tables.task(task.key)
        assert stored is not None
        assert stored.fence == plane.tables.revision
        assert stored.last_status == "PENDING"


async def test_the_fence_stays_when_the_chunk_is_written_again() -> None:
    plane = Plane()
    await plane.prepare(instance("x"))
    (task,) = (await plane.one(run_task())).tasks
    fence = plane.tables.revision
    await plane.one(report(task, "RUNNING"))
    stored = (await plane.reloaded()).task(task.key)
    assert stored is not None
    assert (stored.last_status, stored.fence) == ("RUNNING", fence)


async def test_what_finds_no_room_is_answered_as_failures_at_once() -> None:
    plane = Plane()
    await plane.prepare(instance("x", cpu=600))
    launched = await plane.one(run_task(count=5))
    assert len(launched.tasks) == 2
    (failure,) = launched.failures
    assert (failure.reason, failure.count) == ("RESOURCE:CPU", 3)


async def test_nothing_placed_leaves_nothing_behind() -> None:
    plane = Plane()
    await plane.prepare()
    before = plane.store.revision
    launched = await plane.one(run_task(client_token="t", request_digest="d"))
    assert launched.launch is None
    assert launched.failures[0].reason == "INSTANCE:NONE"
    assert plane.store.revision == before
    await plane.one(instance("x"))
    assert (await plane.one(run_task(client_token="t", request_digest="d"))).launch is not None


async def test_one_token_one_answer_even_within_a_step_and_after_a_new_leader() -> None:
    plane = Plane()
    await plane.prepare(instance("x", cpu=600))
    request = run_task(count=5, client_token="t", request_digest="d")
    first, second = await plane.run([request, request])
    assert [task.id for task in first.tasks] == [task.id for task in second.tasks]
    assert first.failures == second.failures
    plane.tables = await plane.reloaded()
    again = await plane.one(request)
    assert [task.id for task in again.tasks] == [task.id for task in first.tasks]
    assert again.failures == first.failures


async def test_a_token_of_another_request_is_refused() -> None:
    plane = Plane()
    await plane.prepare(instance("x"))
    await plane.one(run_task(client_token="t", request_digest="one"))
    with pytest.raises(Refused, match="clientToken"):
        await plane.one(run_task(client_token="t", request_digest="other"))


async def test_capacity_is_held_until_stopped_stopping_included() -> None:
    plane = Plane()
    await plane.prepare(instance("x", cpu=256))
    (task,) = (await plane.one(run_task())).tasks
    await plane.one(report(task, "RUNNING"))
    await plane.one(i.StopTask("default", task.id, ""))
    assert (await plane.one(run_task())).launch is None
    await plane.one(report(task, "STOPPING"))
    assert (await plane.one(run_task())).launch is None
    await plane.one(report(task, "STOPPED"))
    assert (await plane.one(run_task())).launch is not None


async def test_statuses_move_forward_only_and_stopped_is_final() -> None:
    plane = Plane()
    await plane.prepare(instance("x"))
    (task,) = (await plane.one(run_task())).tasks
    exited = (ContainerState("app", "STOPPED", exit_code=3),)
    await plane.one(report(task, "STOPPED", containers=exited, stop_code="EssentialContainerExited"))
    for late in ("PENDING", "RUNNING", "STOPPED"):
        await plane.one(report(task, late, containers=(ContainerState("app", "RUNNING"),)))
    now = plane.tables.task(task.key)
    assert now is not None
    assert (now.last_status, now.stop_code) == ("STOPPED", "EssentialContainerExited")
    assert now.containers[0].exit_code == 3


async def test_a_report_that_says_nothing_new_writes_nothing() -> None:
    plane = Plane()
    await plane.prepare(instance("x"))
    (task,) = (await plane.one(run_task())).tasks
    await plane.one(report(task, "RUNNING", started_at=5))
    before = plane.store.revision
    await plane.one(report(task, "RUNNING", started_at=5))
    assert plane.store.revision == before


async def test_when_a_task_started_is_told_once() -> None:
    """A container that its restart policy starts again does not make the task younger."""
    plane = Plane()
    await plane.prepare(instance("x"))
    (task,) = (await plane.one(run_task())).tasks
    for moment in (5, 900):
        await plane.one(report(task, "RUNNING", started_at=moment))
    now = plane.tables.task(task.key)
    assert now is not None and now.started_at == 5


async def test_an_agent_speaks_for_its_own_tasks_only() -> None:
    plane = Plane()
    await plane.prepare(instance("x"), instance("y"))
    (task,) = (await plane.one(run_task())).tasks
    other = "y" if task.instance == "x" else "x"
    foreign = i.TaskReport(instance=other, incarnation=1, task=task.id, last_status="STOPPED")
    verdict = await plane.one(foreign)
    assert not verdict.known
    unchanged = plane.tables.task(task.key)
    assert unchanged is not None
    assert unchanged.last_status == "PENDING"


async def test_a_session_that_was_taken_over_says_nothing_any_more() -> None:
    plane = Plane()
    await plane.prepare(instance("x", incarnation=1))
    (task,) = (await plane.one(run_task())).tasks
    await plane.one(instance("x", incarnation=2))
    await plane.one(report(task, "STOPPED"))
    kept = plane.tables.task(task.key)
    assert kept is not None
    assert kept.last_status == "PENDING"


async def test_the_users_reason_stays_over_the_agents() -> None:
    plane = Plane()
    await plane.prepare(instance("x"))
    (task,) = (await plane.one(run_task())).tasks
    await plane.one(i.StopTask("default", task.id, "enough"))
    await plane.one(report(task, "STOPPED", stop_code="EssentialContainerExited", stopped_reason="exited"))
    stopped = plane.tables.task(task.key)
    assert stopped is not None
    assert (stopped.stop_code, stopped.stopped_reason) == ("UserInitiated", "enough")


async def test_a_copied_identity_is_fenced_and_takes_nothing() -> None:
    plane = Plane()
    await plane.prepare(instance("x", incarnation=5))
    (task,) = (await plane.one(run_task())).tasks
    for incarnation in (5, 4):
        with pytest.raises(Refused, match="already has a session"):
            await plane.one(instance("x", incarnation=incarnation))
    await plane.one(instance("x", incarnation=6))
    await plane.one(i.SessionClosed("x", 5))
    assert plane.tables.sessions == {"x": 6}
    assert plane.tables.task(task.key) is not None


async def test_a_disconnected_instance_keeps_its_tasks_and_gets_no_new_ones() -> None:
    plane = Plane()
    await plane.prepare(instance("x"))
    (task,) = (await plane.one(run_task())).tasks
    await plane.one(report(task, "RUNNING"))
    await plane.one(i.SessionClosed("x", 1))
    launched = await plane.one(run_task())
    assert launched.failures[0].reason == "AGENT"
    kept = plane.tables.task(task.key)
    assert kept is not None
    assert kept.last_status == "RUNNING"


async def test_deregister_by_force_stops_the_records_and_an_unforced_one_is_refused() -> None:
    plane = Plane()
    await plane.prepare(instance("x"))
    (task,) = (await plane.one(run_task())).tasks
    with pytest.raises(Refused, match="still has 1 tasks"):
        await plane.one(i.DeregisterInstance("default", "x", force=False))
    await plane.one(i.DeregisterInstance("default", "x", force=True))
    stopped = plane.tables.task(task.key)
    assert stopped is not None
    assert (stopped.last_status, stopped.stop_code) == ("STOPPED", "InfrastructureHealth")
    with pytest.raises(Refused, match="was deregistered"):
        await plane.one(instance("x", incarnation=1))
    await plane.one(instance("x", incarnation=2))
    assert plane.tables.instances["x"].status == "ACTIVE"


async def test_start_task_on_named_instances_never_over_commits() -> None:
    plane = Plane()
    await plane.prepare(instance("x", cpu=300), instance("y"))
    launched = await plane.one(run_task(instances=("x", "y", "nowhere")))
    assert [task.instance for task in launched.tasks] == ["x", "y"]
    assert [failure.reason for failure in launched.failures] == ["MISSING"]
    full = await plane.one(run_task(instances=("x",)))
    assert full.failures[0].reason == "RESOURCE:CPU"


async def test_revisions_count_up_and_deregistered_ones_do_not_run() -> None:
    plane = Plane()
    await plane.prepare(instance("x"))
    second = await plane.one(i.RegisterTaskDefinition(DEFINITION, {}, "test"))
    assert second.name == "web:2"
    await plane.one(i.DeregisterTaskDefinition("web:2"))
    assert (await plane.one(run_task())).launch.definition == "web:1"
    with pytest.raises(Refused, match="INACTIVE"):
        await plane.one(i.RunTask(cluster="default", definition="web:2"))
    await plane.one(i.DeleteTaskDefinitions(("web:2",)))
    assert (await plane.one(i.RegisterTaskDefinition(DEFINITION, {}, "test"))).name == "web:3"


async def test_one_bad_input_disturbs_no_other() -> None:
    plane = Plane()
    await plane.prepare(instance("x"))
    nobody: Any = i.RunTask(cluster="default", definition="web", overrides={"cpu": object()})
    result = step(plane.tables, [run_task(), nobody, run_task()], plane.context)
    assert isinstance(result.replies[0], i.Launched)
    assert isinstance(result.replies[2], i.Launched)
    assert not isinstance(result.replies[1], i.Launched)


async def test_ten_thousand_tasks_are_one_transaction_within_the_stores_limits() -> None:
    plane = Plane()
    await plane.prepare(instance("x", cpu=256 * 20_000, memory_mib=512 * 20_000))
    launched = await plane.one(run_task(count=10_000))
    assert len(launched.tasks) == 10_000
    chunks = [record for record in plane.cluster.records.values() if b"/tasks/" in record.key]
    assert len(chunks) == 40
    assert sum(len(record.value) for record in chunks) < 1_000_000


async def test_a_step_takes_no_more_than_a_transaction_holds() -> None:
    plane = Plane()
    await plane.prepare(instance("x", cpu=256 * 20_000, memory_mib=512 * 20_000))
    result = step(plane.tables, [run_task() for _ in range(500)], plane.context)
    assert len(result.replies) == KEYS_PER_STEP // 2


async def test_finished_work_is_kept_by_time_and_by_count() -> None:
    plane = Plane(limits=Limits(stopped_tasks_keep_seconds=60, stopped_tasks_max=3, client_tokens_keep_seconds=30))
    await plane.prepare(instance("x"))
    keys = []
    for number in range(5):
        (task,) = (await plane.one(run_task(client_token=f"t{number}", request_digest="d"))).tasks
        await plane.one(report(task, "STOPPED"))
        keys.append(task.key)
    assert retention.expired(plane.tables, plane.context) == []
    plane.now += 31_000
    await plane.run([], retention.expired(plane.tables, plane.context))
    assert [key for key in keys if plane.tables.task(key)] == keys[2:]
    plane.now += 30_000
    await plane.run([], retention.expired(plane.tables, plane.context))
    assert not plane.tables.launches
    assert not plane.tables.tokens
    assert (await plane.reloaded()).launches == {}


async def test_what_a_step_drops_is_gone_for_the_rest_of_it() -> None:
    plane = Plane(limits=Limits(stopped_tasks_keep_seconds=1))
    await plane.prepare(instance("x"))
    request = run_task(client_token="t", request_digest="d")
    (task,) = (await plane.one(request)).tasks
    await plane.one(report(task, "STOPPED"))
    plane.now += 2_000
    tagging = i.ChangeTags(task_arn("default", task.id), {"team": "red"})
    refused, again = await plane.run([tagging, request], retention.expired(plane.tables, plane.context))
    assert isinstance(refused, Refused)
    assert again.launch.id != task.launch.id
    assert list((await plane.reloaded()).launches) == list(plane.tables.launches) == [again.launch.id]


async def test_an_agent_that_only_comes_back_costs_no_write() -> None:
    plane = Plane()
    await plane.prepare(instance("x", incarnation=5))
    before = plane.store.revision
    await plane.one(i.SessionClosed("x", 5))
    back = await plane.one(instance("x", incarnation=5))
    assert plane.store.revision == before
    assert plane.tables.sessions == {"x": 5}
    assert (await plane.one(instance("x", incarnation=6))).version == back.version + 1


async def test_a_running_task_is_never_dropped() -> None:
    plane = Plane(limits=Limits(stopped_tasks_keep_seconds=1, stopped_tasks_max=0, client_tokens_keep_seconds=0))
    await plane.prepare(instance("x"))
    (task,) = (await plane.one(run_task())).tasks
    plane.now += 10**9
    assert retention.expired(plane.tables, plane.context) == []
    assert TaskKey.parse(task.id) == task.key
