"""Hosts that go at a known time: what is to stop and why, what goes on elsewhere, and that nothing does so twice."""

from math import inf
from typing import Any

import pytest
from shoal_scheduler.control import host_loss, interruption
from shoal_scheduler.control import inputs as i
from shoal_scheduler.control.step import KEYS_PER_STEP
from shoal_scheduler.model.ask import Strategy
from shoal_scheduler.model.instance import Instance
from shoal_scheduler.model.interruption import Noticed
from shoal_scheduler.model.task import Task
from shoal_scheduler.state.overlay import Overlay

from tests.unit.scheduler.plane import Plane, instance, report

# The session deadline of a small cluster.
L = 15.0


async def plane_with(*hosts: str, document: dict[str, Any] | None = None, **said: Any) -> Plane:
    plane = Plane()
    await plane.prepare(*(instance(name, **said) for name in hosts), document=document)
    return plane


async def run(plane: Plane, on_disconnect: str = "", count: int = 2, **more: Any) -> list[Task]:
    """Spread over the instances, and RUNNING."""
    spread = (Strategy("spread", "instanceId"),)
    request = i.RunTask("default", "web", count, on_disconnect=on_disconnect, strategies=spread, **more)
    launched = (await plane.one(request)).tasks
    for task in launched:
        await plane.one(report(task, "RUNNING"))
    return [newest(plane, task) for task in launched]


async def run_on(plane: Plane, name: str, on_disconnect: str = "") -> Task:
    tasks = await run(plane, on_disconnect, len(plane.tables.instances))
    return next(task for task in tasks if task.instance == name)


async def interrupt(plane: Plane, name: str = "x", seconds: int = 120, reason: str = "") -> Instance:
    """By an operator; and what follows is worked off."""
    answer = await plane.one(i.UpdateInstances("default", (name,), "DRAINING", seconds, reason))
    await work_off(plane)
    (found,) = answer.instances
    assert isinstance(found, Instance)
    return found


async def notice(plane: Plane, name: str = "x", millis: int = 120_000, incarnation: int = 1) -> Instance:
    said = Noticed(millis, "the file /run/notice")
    found = await plane.one(i.InterruptionNoticed(name, incarnation, said))
    await work_off(plane)
    assert isinstance(found, Instance)
    return found


async def work_off(plane: Plane) -> list[int]:
    """Of each step it took, how many tasks it told to stop."""
    counts = []
    while (looked := interruption.look(plane.tables, 0.0, plane.context)).changes:
        await plane.run([], looked.changes)
        counts.append(len(looked.changes))
        assert looked.due_at in (inf, -inf)
    return counts


def newest(plane: Plane, task: Task) -> Task:
    found = plane.tables.task(task.key)
    assert found is not None
    return found


def heirs(plane: Plane, task: Task) -> list[Task]:
    return [each for each in plane.tables.tasks() if each.launch.replaces == task.id]


async def test_tasks_of_the_host_are_to_stop_and_say_why() -> None:
    plane = await plane_with("x", "y")
    tasks = await run(plane)
    plane.now = 1_700_000_000_000
    found = await interrupt(plane, seconds=90, reason="sold")
    assert (found.status, found.interruption and found.interruption.deadline) == ("DRAINING", plane.now + 90_000)
    there, elsewhere = sorted((newest(plane, task) for task in tasks), key=lambda task: task.instance)
    assert (there.last_status, there.desired_status, there.stop_code) == ("RUNNING", "STOPPED", "TerminationNotice")
    assert there.stopped_reason == (
        "Container instance x (host-x) is interrupted by an operator: it goes at 2023-11-14T22:14:50+00:00 (sold)"
    )
    assert (elsewhere.instance, elsewhere.desired_status) == ("y", "RUNNING")


async def test_an_agents_notice_is_a_spot_interruption() -> None:
    plane = await plane_with("x", "y")
    task = await run_on(plane, "x")
    await notice(plane)
    assert newest(plane, task).stop_code == "SpotInterruption"
    assert "is interrupted by a notice it got: it goes at" in newest(plane, task).stopped_reason
    assert newest(plane, task).stopped_reason.endswith(" (the file /run/notice)")


async def test_a_notice_comes_with_the_hello_and_nothing_is_placed_before() -> None:
    plane = await plane_with()
    waiting = (await plane.one(i.RunTask("default", "web", queue=True))).tasks[0]
    said = instance("x", notice=Noticed(60_000, "n"))
    found = await plane.one(said)
    assert (found.status, found.interruption.deadline) == ("DRAINING", plane.now + 60_000)
    assert newest(plane, waiting).instance == ""


async def test_only_the_open_session_speaks_of_its_host() -> None:
    plane = await plane_with("x")
    assert await plane.one(i.InterruptionNoticed("x", 7, Noticed(1000, "n"))) is None
    assert plane.tables.instances["x"].interruption is None


async def test_nothing_is_placed_there() -> None:
    plane = await plane_with("x")
    await interrupt(plane)
    assert (await plane.one(i.RunTask("default", "web"))).failures
    assert (await plane.one(i.RunTask("default", "web", instances=("x",)))).failures


async def test_the_first_stands_but_for_an_earlier_deadline() -> None:
    plane = await plane_with("x")
    first = await interrupt(plane, seconds=120, reason="a")
    plane.now += 10_000
    assert await interrupt(plane, seconds=300, reason="b") is plane.tables.instances["x"]
    assert plane.tables.instances["x"] == first
    assert await notice(plane, millis=109_500) == first  # the same one, a little late
    sooner = (await notice(plane, millis=30_000)).interruption
    assert first.interruption is not None and sooner is not None
    assert (sooner.deadline, sooner.source, sooner.reason) == (plane.now + 30_000, "operator", "a")
    plain = await plane.one(i.UpdateInstances("default", ("x",), "DRAINING"))
    assert plain.instances[0].interruption == sooner


async def test_an_operator_takes_it_back() -> None:
    plane = await plane_with("x")
    await interrupt(plane)
    await plane.one(i.UpdateInstances("default", ("x",), "ACTIVE"))
    assert plane.tables.instances["x"].interruption is None
    (task,) = await run(plane, count=1)
    assert not interruption.look(plane.tables, 0.0, plane.context).changes
    assert newest(plane, task).instance == "x"


async def test_who_was_deregistered_and_comes_back_is_not_interrupted() -> None:
    plane = await plane_with("x")
    await interrupt(plane)
    await plane.one(i.DeregisterInstance("default", "x", force=True))
    found = await plane.one(instance("x", incarnation=2))
    assert (found.status, found.interruption) == ("ACTIVE", None)


@pytest.mark.parametrize("on_disconnect", ["keep", "stop", "exclusive"])
@pytest.mark.parametrize("by", [interrupt, notice])
async def test_it_goes_on_elsewhere_once_it_has_ended_and_once_only(on_disconnect: str, by: Any) -> None:
    plane = await plane_with("x", "y")
    task = await run_on(plane, "x", on_disconnect)
    await by(plane)
    assert not heirs(plane, task)
    said = report(task, "STOPPED", stop_code=newest(plane, task).stop_code)
    await plane.one(said)
    await plane.one(said)
    (heir,) = heirs(plane, task)
    assert heir.instance == "y"
    assert host_loss.replaced_by(plane.tables, newest(plane, task)) == heir.id
    plane.tables = await plane.reloaded()
    assert len(heirs(plane, task)) == 1


async def test_as_in_ecs_nothing_takes_the_place_of_what_says_nothing() -> None:
    plane = await plane_with("x", "y")
    task = await run_on(plane, "x")
    await notice(plane)
    await plane.one(report(task, "STOPPED", stop_code="SpotInterruption"))
    assert not heirs(plane, task)


async def test_what_its_agent_ended_before_it_could_tell_is_replaced_too() -> None:
    plane = await plane_with("x", "y")
    task = await run_on(plane, "x", "keep")
    await plane.one(i.InterruptionNoticed("x", 1, Noticed(1000, "n")))
    await plane.one(report(task, "STOPPED", stop_code="SpotInterruption", stopped_reason="because"))
    ended = newest(plane, task)
    assert (ended.stop_code, ended.stopped_reason) == ("SpotInterruption", "because")
    assert heirs(plane, task)[0].instance == "y"


@pytest.mark.parametrize("stopped_first", [True, False])
async def test_what_a_user_stops_is_not_replaced(stopped_first: bool) -> None:
    plane = await plane_with("x", "y")
    task = await run_on(plane, "x", "keep")
    stop = i.StopTask("default", task.id, "enough")
    if stopped_first:
        await plane.one(stop)
    await interrupt(plane)
    if not stopped_first:
        assert (await plane.one(stop)).stopped_reason.startswith("enough; it was being stopped: Container instance x")
        once = newest(plane, task)
        await plane.one(stop)
        assert newest(plane, task) == once
    await plane.one(report(task, "STOPPED", stop_code="TerminationNotice"))
    assert newest(plane, task).stop_code == "UserInitiated"
    assert not heirs(plane, task)


async def test_what_had_ended_by_itself_has_run_to_its_end() -> None:
    plane = await plane_with("x", "y")
    task = await run_on(plane, "x", "keep")
    await notice(plane)
    own = {"stop_code": "EssentialContainerExited", "stopped_reason": "Essential container in task exited"}
    await plane.one(report(task, "STOPPED", **own))
    ended = newest(plane, task)
    assert {"stop_code": ended.stop_code, "stopped_reason": ended.stopped_reason} == own
    assert not heirs(plane, task)


async def silent(plane: Plane, now: float) -> float:
    looked = host_loss.look(plane.tables, {}, 0.0, now, plane.context)
    await plane.run([], looked.changes)
    return looked.due_at


async def test_a_host_that_goes_before_it_can_tell_leaves_nothing_behind() -> None:
    plane = await plane_with("x", "y")
    kept = await run_on(plane, "x", "keep")
    await notice(plane)
    await plane.one(i.SessionClosed("x", 1))
    await silent(plane, L)
    lost = newest(plane, kept)
    assert (lost.last_status, lost.stop_code) == ("STOPPED", "SpotInterruption")
    assert "has been silent since" in lost.stopped_reason and "it was being stopped: Container" in lost.stopped_reason
    assert heirs(plane, kept)[0].instance == "y"


async def test_who_says_nothing_is_over_when_the_host_is_by_its_own_notice() -> None:
    plane = await plane_with("x", "y")
    task = await run_on(plane, "x")
    await notice(plane, millis=100_000)
    await plane.one(i.SessionClosed("x", 1))
    assert await silent(plane, 20.0) == pytest.approx(120.0 + host_loss.MARGIN_SECONDS)
    assert not newest(plane, task).is_stopped
    plane.now += 100_000
    await silent(plane, 120.0 + host_loss.MARGIN_SECONDS)  # its host's time is over since then
    assert not newest(plane, task).is_stopped
    plane.now += 4_000
    await silent(plane, 120.0 + host_loss.MARGIN_SECONDS)
    assert (newest(plane, task).last_status, newest(plane, task).stop_code) == ("STOPPED", "SpotInterruption")
    assert not heirs(plane, task)


async def test_an_operators_word_of_a_silent_host_ends_nothing_that_says_nothing() -> None:
    plane = await plane_with("x", "y")
    task = await run_on(plane, "x")
    await interrupt(plane, seconds=1)
    await plane.one(i.SessionClosed("x", 1))
    plane.now += 10_000_000
    assert await silent(plane, 1e9) == inf
    assert newest(plane, task).last_status == "RUNNING"


async def test_by_force_what_was_to_go_on_elsewhere_does() -> None:
    plane = await plane_with("x", "y")
    task = await run_on(plane, "x", "exclusive")
    await interrupt(plane)
    await plane.one(i.DeregisterInstance("default", "x", force=True))
    assert newest(plane, task).stop_code == "TerminationNotice"
    assert heirs(plane, task)[0].instance == "y"


async def test_many_tasks_are_worked_off_in_steps_also_by_the_next_leader() -> None:
    app = {"name": "app", "image": "busybox", "cpu": 1, "memory": 1}
    plane = await plane_with("x", document={"family": "web", "containerDefinitions": [app]}, cpu=4096)
    for _ in range(200):
        await run(plane, "keep", 1)
    await plane.one(i.RunTask("default", "web", 800))
    await plane.one(i.UpdateInstances("default", ("x",), "DRAINING", 60, ""))
    looked = interruption.look(plane.tables, 0.0, plane.context)
    assert looked.due_at == -inf
    overlay = Overlay(plane.tables)
    overlay.propose(looked.changes)
    assert len(overlay.touched) <= interruption.CHUNKS_PER_STEP <= KEYS_PER_STEP // 2
    await plane.run([], looked.changes)
    plane.tables = await plane.reloaded()
    counts = await work_off(plane)
    assert len(looked.changes) + sum(counts) == 1000
    assert len(counts) > 1
    assert {task.stop_code for task in plane.tables.tasks()} == {"TerminationNotice"}
