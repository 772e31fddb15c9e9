"""Instances that fall silent: what is lost when, what takes its place, and that nothing is replaced twice."""

from math import inf
from typing import Any

import pytest
from shoal_scheduler.control import host_loss, retention
from shoal_scheduler.control import inputs as i
from shoal_scheduler.control.step import KEYS_PER_STEP
from shoal_scheduler.model.ask import Strategy
from shoal_scheduler.model.pace import session_deadline_seconds
from shoal_scheduler.model.task import Task
from shoal_scheduler.state.heard import HELD_UP_SECONDS, Heard
from shoal_scheduler.state.overlay import Overlay

from tests.unit.scheduler.plane import Plane, instance, report

# The session deadline of a small cluster.
L = 15.0


async def plane_with(*hosts: str, document: dict[str, Any] | None = None, **said: Any) -> Plane:
    plane = Plane()
    await plane.prepare(*(instance(name, **said) for name in hosts), document=document)
    return plane


async def run(plane: Plane, on_disconnect: str = "keep", count: int = 1, **more: Any) -> list[Task]:
    """Spread over the instances."""
    spread = (Strategy("spread", "instanceId"),)
    request = i.RunTask("default", "web", count, on_disconnect=on_disconnect, strategies=spread, **more)
    launched = await plane.one(request)
    assert not launched.failures
    return [newest(plane, task) for task in launched.tasks]


async def cut(plane: Plane, name: str, incarnation: int = 1) -> None:
    await plane.one(i.SessionClosed(name, incarnation))


async def look(plane: Plane, now: float, last_heard: dict[str, float] | None = None, led_since: float = 0.0) -> float:
    """Looks and commits what comes of it. When to look again."""
    looked = host_loss.look(plane.tables, last_heard or {}, led_since, now, plane.context)
    await plane.run([], looked.changes)
    return looked.due_at


def newest(plane: Plane, task: Task) -> Task:
    found = plane.tables.task(task.key)
    assert found is not None
    return found


def replacement(plane: Plane, task: Task) -> Task:
    (found,) = (each for each in plane.tables.tasks() if each.launch.replaces == task.id)
    return found


def everything(plane: Plane) -> list[Task]:
    return sorted(plane.tables.tasks(), key=lambda task: task.key)


async def test_kept_is_replaced_elsewhere_after_the_deadline_and_not_before() -> None:
    plane = await plane_with("x", "y")
    tasks = await run(plane, count=2, group="g", started_by="me", tags={"a": "b"}, overrides={"cpu": "128"})
    lost = next(task for task in tasks if task.instance == "x")
    await cut(plane, lost.instance)
    assert await look(plane, L - 0.1) == L
    assert newest(plane, lost) == lost
    assert await look(plane, L) == inf
    ended = newest(plane, lost)
    assert (ended.last_status, ended.desired_status, ended.stop_code) == ("STOPPED", "STOPPED", "HostLost")
    assert ended.containers[0].exit_code is None
    other = replacement(plane, lost)
    assert other.instance not in ("", lost.instance)
    assert (other.last_status, other.launch.count) == ("PENDING", 1)
    same = ("definition", "group", "started_by", "tags", "overrides", "on_disconnect", "strategies", "expressions")
    assert all(getattr(other.launch, name) == getattr(lost.launch, name) for name in same)
    assert host_loss.replaced_by(plane.tables, ended) == other.id


async def test_reason_names_the_instance_and_since_when() -> None:
    plane = await plane_with("x")
    (task,) = await run(plane)
    await cut(plane, "x")
    plane.now = 1_700_000_030_000
    await look(plane, 30.0, {"x": 10.0})
    assert newest(plane, task).stopped_reason == (
        "Container instance x (host-x) has been silent since 2023-11-14T22:13:30+00:00"
    )


async def test_as_in_ecs_without_the_extension() -> None:
    plane = await plane_with("x", "y")
    await run(plane, "", count=4)
    before = everything(plane)
    for name in ("x", "y"):
        await cut(plane, name)
    assert await look(plane, 1e9) == inf
    assert everything(plane) == before


async def test_a_connected_instance_is_never_lost() -> None:
    plane = await plane_with("x")
    (task,) = await run(plane)
    assert await look(plane, 1e9) == inf
    assert newest(plane, task) == task


async def test_who_returns_in_time_loses_nothing() -> None:
    plane = await plane_with("x", "y")
    await run(plane, count=4)
    before = everything(plane)
    await cut(plane, "x")
    await look(plane, L - 1)
    await plane.one(instance("x", incarnation=2))
    await look(plane, 10 * L)
    assert everything(plane) == before


async def test_every_word_counts() -> None:
    plane = await plane_with("x")
    await run(plane)
    await cut(plane, "x")
    assert await look(plane, 100.0, {"x": 99.0}) == 99.0 + L
    assert not [task for task in everything(plane) if task.is_stopped]


async def test_a_new_leader_grants_a_full_deadline() -> None:
    plane = await plane_with("x", "y")
    tasks = await run(plane, count=3)
    plane.tables = await plane.reloaded()
    assert not plane.tables.sessions
    assert await look(plane, 1000.0 + L - 0.1, {}, led_since=1000.0) == 1000.0 + L
    assert all(not newest(plane, task).is_stopped for task in tasks)
    await look(plane, 1000.0 + L, {}, led_since=1000.0)
    assert all(newest(plane, task).is_stopped for task in tasks)


async def test_who_was_held_up_begins_anew() -> None:
    heard = Heard(0.0)
    heard.note("x", 1.0)
    for now in range(1, 30):
        heard.listen(now)
    assert heard.silent_since("x") == 1.0
    heard.listen(29.0 + HELD_UP_SECONDS + 1)
    assert heard.silent_since("x") == 29.0 + HELD_UP_SECONDS + 1


async def test_who_replaced_whom_is_forgotten_with_the_tasks() -> None:
    plane = await plane_with("x", "y")
    (task,) = await run(plane)
    await cut(plane, task.instance)
    await look(plane, L)
    await plane.one(report(newest(plane, replacement(plane, task)), "STOPPED"))
    plane.now += plane.limits.stopped_tasks_keep_seconds * 1000 + 1
    await plane.run([], retention.expired(plane.tables, plane.context))
    assert not plane.tables.launches
    assert not plane.tables.replacements


async def test_a_replacement_that_finds_no_room_waits_for_it() -> None:
    plane = await plane_with("x", cpu=256)
    (task,) = await run(plane)
    await cut(plane, "x")
    await look(plane, L)
    waiting = replacement(plane, task)
    assert (waiting.instance, waiting.last_status) == ("", "PROVISIONING")
    await plane.one(instance("y", cpu=256))
    assert newest(plane, waiting).instance == "y"


async def test_the_returned_host_is_told_and_its_reports_revive_nothing() -> None:
    plane = await plane_with("x", "y")
    tasks = await run(plane, count=2)
    lost = next(task for task in tasks if task.instance == "x")
    await plane.one(report(lost, "RUNNING"))
    await cut(plane, "x")
    await look(plane, L)
    after = everything(plane)
    await plane.one(instance("x", incarnation=2))
    late = i.TaskReport("x", 2, lost.id, "STOPPED", containers=newest(plane, lost).containers, stop_code="Other")
    for said in (late, i.TaskReport("x", 2, lost.id, "RUNNING", started_at=5)):
        assert (await plane.one(said)).known
    assert everything(plane) == after
    assert not [task for task in plane.tables.tasks_on("x") if task.id == lost.id]


async def test_nothing_is_replaced_twice_whoever_leads() -> None:
    plane = await plane_with("x", "y")
    await run(plane, count=4)
    await cut(plane, "x")
    await look(plane, L)
    once = everything(plane)
    assert await look(plane, 2 * L) == inf
    plane.tables = await plane.reloaded()
    assert everything(plane) == once
    await plane.one(instance("y", incarnation=2))
    await look(plane, 3 * L)
    assert everything(plane) == once
    assert plane.tables.replacements == {task.launch.replaces: task.launch.id for task in once if task.launch.replaces}


async def test_what_was_being_stopped_is_not_replaced() -> None:
    plane = await plane_with("x", "y")
    tasks = await run(plane, count=2)
    task = next(each for each in tasks if each.instance == "x")
    await plane.one(i.StopTask("default", task.id, "not needed"))
    await cut(plane, "x")
    await look(plane, L)
    ended = newest(plane, task)
    assert (ended.last_status, ended.stop_code) == ("STOPPED", "HostLost")
    assert ended.stopped_reason.endswith("; it was being stopped: not needed")
    assert not plane.tables.replacements


async def test_a_drained_instance_that_goes_is_lost_like_any_other() -> None:
    plane = await plane_with("x", "y")
    (task,) = await run(plane)
    await plane.one(i.UpdateInstances("default", (task.instance,), "DRAINING"))
    await cut(plane, task.instance)
    await look(plane, L)
    assert replacement(plane, task).instance not in ("", task.instance)


async def test_a_definition_that_was_deregistered_since_still_runs() -> None:
    plane = await plane_with("x", "y")
    (task,) = await run(plane)
    await plane.one(i.DeregisterTaskDefinition("web:1"))
    await cut(plane, task.instance)
    await look(plane, L)
    assert replacement(plane, task).launch.definition == "web:1"


async def test_its_client_token_still_names_the_first_launch() -> None:
    plane = await plane_with("x", "y")
    request = i.RunTask("default", "web", on_disconnect="keep", client_token="t", request_digest="d")
    (task,) = (await plane.one(request)).tasks
    await cut(plane, task.instance)
    await look(plane, L)
    again = await plane.one(request)
    assert again.launch.id == task.launch.id
    assert again.tasks[0].is_stopped


async def test_ports_and_gpus_are_free_only_once_it_is_lost() -> None:
    app = {
        "name": "app",
        "image": "busybox",
        "cpu": 1,
        "memory": 1,
        "portMappings": [{"containerPort": 80, "hostPort": 80}],
    }
    gpu = {"resourceRequirements": [{"type": "GPU", "value": "1"}]}
    plane = await plane_with("x", document={"family": "web", "containerDefinitions": [app | gpu]}, gpu_ids=("g0",))
    (task,) = await run(plane)
    await cut(plane, "x")
    await plane.one(instance("x", incarnation=2, gpu_ids=("g0",)))
    refused = await plane.one(i.RunTask("default", "web"))
    assert refused.failures
    await cut(plane, "x", 2)
    await look(plane, L)
    await plane.one(instance("x", incarnation=3, gpu_ids=("g0",)))
    other = newest(plane, replacement(plane, task))
    assert (other.instance, other.gpu_ids) == ("x", {"app": ("g0",)})


@pytest.mark.parametrize(
    ("containers", "seconds"),
    [
        ([{"stopTimeout": 5}], 5),
        ([{}], 30),
        ([{"stopTimeout": 5}, {"stopTimeout": 7}], 7),
        ([{"stopTimeout": 5}, {"stopTimeout": 7, "dependsOn": [{"containerName": "c0", "condition": "START"}]}], 12),
    ],
)
async def test_stop_waits_until_the_agent_must_have_stopped_it(containers: list[dict[str, Any]], seconds: int) -> None:
    named = [{"name": f"c{n}", "image": "busybox", "cpu": 1, "memory": 8, **each} for n, each in enumerate(containers)]
    plane = await plane_with("x", "y", document={"family": "web", "containerDefinitions": named})
    (task,) = await run(plane, "stop")
    await cut(plane, task.instance)
    lost_at = L * 1.01 + seconds + host_loss.MARGIN_SECONDS
    assert await look(plane, lost_at - 0.1) == pytest.approx(lost_at)
    assert not newest(plane, task).is_stopped
    await look(plane, lost_at)
    assert newest(plane, task).is_stopped
    assert replacement(plane, task).instance not in ("", task.instance)


async def test_what_its_agent_ended_in_time_is_replaced_at_once_and_once() -> None:
    plane = await plane_with("x", "y")
    (task,) = await run(plane, "stop")
    said = report(task, "STOPPED", stop_code="HostLost", stopped_reason="alone")
    await plane.one(said)
    await plane.one(said)
    assert (newest(plane, task).stop_code, newest(plane, task).stopped_reason) == ("HostLost", "alone")
    assert replacement(plane, task).last_status == "PENDING"


@pytest.mark.parametrize("on_disconnect", ["", "keep"])
async def test_an_agent_has_no_word_in_it_otherwise(on_disconnect: str) -> None:
    plane = await plane_with("x", "y")
    (task,) = await run(plane, on_disconnect)
    await plane.one(report(task, "STOPPED", stop_code="HostLost"))
    assert not plane.tables.replacements


async def test_what_was_being_stopped_and_ended_in_time_is_not_replaced() -> None:
    plane = await plane_with("x", "y")
    (task,) = await run(plane, "stop")
    await plane.one(i.StopTask("default", task.id, ""))
    await plane.one(report(task, "STOPPED", stop_code="HostLost"))
    assert not plane.tables.replacements


async def test_exclusive_waits_for_an_operator_where_no_watchdog_runs() -> None:
    plane = await plane_with("x", "y")
    (task,) = await run(plane, "exclusive")
    await cut(plane, task.instance)
    assert await look(plane, 1e9) == inf
    assert "deregister the instance with force" in host_loss.outlook(plane.tables, task, 0.0, 100.0, plane.now)
    await plane.one(i.DeregisterInstance("default", task.instance, force=True))
    assert newest(plane, task).stop_code == "InfrastructureHealth"
    assert replacement(plane, task).instance not in ("", task.instance)


async def test_exclusive_is_as_stop_where_a_watchdog_runs() -> None:
    plane = await plane_with("x", "y", watchdog=True)
    (task,) = await run(plane, "exclusive")
    await cut(plane, task.instance)
    lost_at = L * 1.01 + 30 + host_loss.MARGIN_SECONDS
    assert await look(plane, L) == pytest.approx(lost_at)
    plane.tables = await plane.reloaded()  # a new leader knows it, too
    assert await look(plane, L) == pytest.approx(lost_at)
    await look(plane, lost_at)
    assert newest(plane, task).is_stopped
    await plane.one(instance("y", incarnation=2))
    assert newest(plane, replacement(plane, task)).instance == "y"


async def test_a_whole_host_is_lost_in_steps_that_fit_a_transaction() -> None:
    plane = await plane_with("x", cpu=1_000_000, memory_mib=1_000_000)
    for _ in range(150):
        await run(plane)
    await run(plane, count=300)
    await plane.one(instance("y", cpu=1_000_000, memory_mib=1_000_000))
    await cut(plane, "x")
    steps = 0
    while plane.tables.tasks_on("x"):
        looked = host_loss.look(plane.tables, {}, 0.0, L, plane.context)
        assert looked.due_at == (L if len(plane.tables.tasks_on("x")) > _stopped_by(looked) else inf)
        overlay = Overlay(plane.tables)
        overlay.propose(looked.changes)
        assert len(overlay.touched) <= KEYS_PER_STEP // 2
        await plane.run([], looked.changes)
        steps += 1
        assert steps < 50
    assert len(plane.tables.tasks_on("y")) == 450


def _stopped_by(looked: host_loss.Look) -> int:
    return sum(getattr(getattr(change, "task", None), "is_stopped", False) for change in looked.changes)


def test_agents_are_never_told_a_longer_deadline_than_the_one_that_counts() -> None:
    deadlines = [session_deadline_seconds(count) for count in range(0, 20_000, 7)]
    assert deadlines == sorted(deadlines)
    assert deadlines[0] == L
