"""Tasks that wait for room: in order, woken by what could help, and no big one is kept waiting for ever."""

from typing import Any

import pytest
from shoal_scheduler.control import inputs as i
from shoal_scheduler.control.step import KEYS_PER_STEP, step
from shoal_scheduler.model.refusal import Refused
from shoal_scheduler.model.task import Task

from tests.unit.scheduler.plane import Plane, instance, report


def sized(family: str, cpu: int) -> i.RegisterTaskDefinition:
    container = {"name": "app", "image": "busybox", "cpu": cpu, "memory": 10}
    return i.RegisterTaskDefinition({"family": family, "containerDefinitions": [container]}, {}, "test")


async def plane_with(*hosts: i.AgentHello) -> Plane:
    plane = Plane()
    await plane.prepare(*hosts)
    await plane.run([sized("small", 100), sized("big", 900), sized("huge", 100_000)])
    return plane


def run(family: str, count: int = 1, *, queue: bool = True, **more: Any) -> i.RunTask:
    return i.RunTask("default", family, count, queue=queue, **more)


def now(plane: Plane, task: Task) -> Task:
    found = plane.tables.task(task.key)
    assert found is not None
    return found


async def stop(plane: Plane, task: Task) -> None:
    await plane.one(report(now(plane, task), "STOPPED"))


async def test_what_finds_no_room_waits_and_is_placed_when_there_is_some() -> None:
    plane = await plane_with(instance("x", cpu=250))
    launched = await plane.one(run("small", 5))
    assert [task.last_status for task in launched.tasks] == ["PENDING"] * 2 + ["PROVISIONING"] * 3
    assert not launched.failures
    await stop(plane, launched.tasks[0])
    assert [now(plane, task).last_status for task in launched.tasks[1:]] == ["PENDING"] * 2 + ["PROVISIONING"] * 2
    placed = now(plane, launched.tasks[2])
    assert (placed.instance, placed.version, placed.fence) == ("x", 2, plane.store.revision)
    await plane.one(instance("y", cpu=1000))
    assert [now(plane, task).instance for task in launched.tasks[3:]] == ["y", "y"]
    assert plane.tables.waiting_count["default"] == 0


async def test_without_queue_it_fails_at_once() -> None:
    plane = await plane_with(instance("x", cpu=250))
    launched = await plane.one(run("small", 5, queue=False))
    assert len(launched.tasks) == 2
    assert launched.failures[0].count == 3


async def test_those_that_came_first_go_first() -> None:
    plane = await plane_with(instance("x", cpu=100))
    first = await plane.one(run("small", 2))
    second = await plane.one(run("small", 1, group="other"))
    await stop(plane, first.tasks[0])
    assert now(plane, first.tasks[1]).instance == "x"
    assert not now(plane, second.tasks[0]).instance
    await stop(plane, first.tasks[1])
    assert now(plane, second.tasks[0]).instance == "x"


async def test_a_stream_of_small_ones_does_not_starve_a_big_one() -> None:
    plane = await plane_with(instance("x", cpu=1000), instance("y", cpu=1000))
    small = list((await plane.one(run("small", 20))).tasks)
    (big,) = (await plane.one(run("big"))).tasks
    held = plane.tables.held["default"]
    assert held.launch == big.launch.id
    for _ in range(30):
        ended = small.pop(0)
        await stop(plane, ended)
        if now(plane, big).instance:
            break
        small += (await plane.one(run("small", 1))).tasks
    assert now(plane, big).instance == held.instance
    assert plane.tables.held["default"].launch != big.launch.id


async def test_what_cannot_fit_anywhere_holds_nothing_and_lets_others_pass() -> None:
    plane = await plane_with(instance("x", cpu=100))
    (huge,) = (await plane.one(run("huge"))).tasks
    assert not plane.tables.held
    assert (await plane.one(run("small"))).tasks[0].instance == "x"
    assert not now(plane, huge).instance


async def test_one_that_waits_can_be_stopped_and_what_it_held_is_free_again() -> None:
    plane = await plane_with(instance("x", cpu=1000))
    await plane.one(run("small", 5))
    (big,) = (await plane.one(run("big"))).tasks
    failed = await plane.one(run("small", queue=False))
    assert failed.failures[0].reason == "HELD"
    stopped = await plane.one(i.StopTask("default", big.id, "not needed"))
    assert (stopped.last_status, stopped.stop_code) == ("STOPPED", "UserInitiated")
    assert not plane.tables.held
    assert (await plane.one(run("small", queue=False))).tasks


async def test_what_was_held_is_open_at_once_to_those_behind_when_its_launch_is_stopped() -> None:
    plane = await plane_with(instance("x", cpu=1000))
    await plane.one(run("small", 5))
    (big,) = (await plane.one(run("big"))).tasks
    (behind,) = (await plane.one(run("small"))).tasks
    assert not behind.instance
    await plane.one(i.StopTask("default", big.id, "not needed"))
    assert now(plane, behind).instance == "x"


async def test_what_was_held_is_open_at_once_to_those_behind_when_its_launch_is_placed() -> None:
    plane = await plane_with(instance("x", cpu=1250))
    small = (await plane.one(run("small", 5))).tasks
    (big,) = (await plane.one(run("big"))).tasks
    (behind,) = (await plane.one(run("small"))).tasks
    await plane.run([report(now(plane, task), "STOPPED") for task in small[:3]])
    assert now(plane, big).instance == now(plane, behind).instance == "x"
    assert not plane.tables.held


async def test_what_asks_for_the_same_as_the_launch_it_was_held_for_is_placed_with_it() -> None:
    """Neither waits for a further change, though of the first nothing is left that could be placed."""
    plane = await plane_with(instance("x", cpu=350))
    small = (await plane.one(run("small", 3))).tasks
    first = (await plane.one(run("small", 2))).tasks
    (behind,) = (await plane.one(run("small"))).tasks
    await plane.run([report(now(plane, task), "STOPPED") for task in small])
    assert [now(plane, task).instance for task in (*first, behind)] == ["x"] * 3
    assert not plane.tables.held


async def test_an_agent_that_returns_and_an_instance_that_is_activated_wake_the_queue() -> None:
    plane = await plane_with(instance("x", cpu=100))
    await plane.one(i.UpdateInstances("default", ("x",), "DRAINING"))
    (task,) = (await plane.one(run("small"))).tasks
    await plane.one(i.UpdateInstances("default", ("x",), "ACTIVE"))
    assert now(plane, task).instance == "x"
    await stop(plane, task)
    await plane.one(i.SessionClosed("x", 1))
    (task,) = (await plane.one(run("small"))).tasks
    assert not task.instance
    await plane.one(instance("x", cpu=100, incarnation=2))
    assert now(plane, task).instance == "x"


async def test_an_attribute_wakes_it_and_a_task_of_a_group_that_it_wants_to_be_near() -> None:
    plane = await plane_with(instance("x"), instance("y"))
    (by_attribute,) = (await plane.one(run("small", expressions=("attribute:disk == ssd",)))).tasks
    (by_group,) = (await plane.one(run("small", expressions=("task:group == family:web",)))).tasks
    await plane.one(i.ChangeAttributes("default", (("y", "disk", "ssd"),)))
    assert now(plane, by_attribute).instance == "y"
    (web,) = (await plane.one(i.RunTask("default", "web"))).tasks
    assert now(plane, by_group).instance == web.instance


async def test_a_queue_survives_a_new_leader() -> None:
    plane = await plane_with(instance("x", cpu=100))
    launched = await plane.one(run("small", 2, expressions=("attribute:none !exists",), distinct_instance=True))
    plane.tables = await plane.reloaded()
    waiting = now(plane, launched.tasks[1])
    assert waiting.last_status == "PROVISIONING"
    assert plane.tables.launches[waiting.launch.id].ask.distinct_instance
    await plane.run([instance("x", cpu=100, incarnation=2), instance("y", cpu=100)])
    assert now(plane, waiting).instance == "y"


async def test_more_than_a_transaction_holds_goes_on_in_the_next_step() -> None:
    plane = await plane_with()
    for _ in range(KEYS_PER_STEP):
        await plane.one(run("small"))
    await plane.one(instance("x", cpu=1_000_000))
    assert plane.tables.unsettled
    while plane.tables.unsettled:
        await plane.run([])
    assert plane.tables.waiting_count["default"] == 0


async def test_a_queue_that_cannot_be_looked_at_stops_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    plane = await plane_with()
    (waiting,) = (await plane.one(run("small"))).tasks

    def fails(*_: Any) -> None:
        raise ArithmeticError("a fault of ours")

    with monkeypatch.context() as broken:
        broken.setattr("shoal_scheduler.control.queue._place_waiting", fails)
        result = step(plane.tables, [instance("x")], plane.context)
        assert [type(fault.error) for fault in result.faults] == [ArithmeticError]
        await plane.one(instance("x"))
        assert not plane.tables.unsettled
        (other,) = (await plane.one(i.RunTask("default", "web"))).tasks
        assert other.instance == "x"
    await plane.one(instance("y"))
    assert now(plane, waiting).instance


async def test_a_queue_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shoal_scheduler.control.run_task.WAITING_TASKS_MAX", 10)
    plane = await plane_with()
    await plane.one(run("small", 8))
    with pytest.raises(Refused, match="8 tasks wait for room"):
        await plane.one(run("small", 3))
    assert plane.tables.waiting_count["default"] == 8
