"""DAEMON services: one task on each instance that meets the constraints."""

from typing import Any

import msgspec
from shoal_scheduler.control import inputs as i
from shoal_scheduler.model.service import DAEMON
from shoal_scheduler.state.changes import PutInstance

from tests.unit.scheduler.plane import instance
from tests.unit.scheduler.services.stage import Stage, percents

OF_DAEMON: dict[str, Any] = {"scheduling_strategy": DAEMON, "configuration": percents(0, 100)}


async def on_three() -> Stage:
    stage = Stage()
    await stage.open(instance("a"), instance("b"), instance("c"))
    await stage.create(**OF_DAEMON)
    await stage.start()
    await stage.wait(40)
    return stage


def where(stage: Stage) -> list[str]:
    return sorted(task.instance for task in stage.wanted)


async def drain(stage: Stage, name: str) -> None:
    host = stage.tables.instances[name]
    await stage.run([], [PutInstance(msgspec.structs.replace(host, status="DRAINING", version=host.version + 1))])
    await stage.settle()


async def test_one_on_each_instance_and_on_one_that_joins() -> None:
    stage = await on_three()
    assert where(stage) == ["a", "b", "c"]
    assert stage.service.is_steady
    await stage.one(instance("d"))
    await stage.settle()
    assert where(stage) == ["a", "b", "c", "d"]


async def test_only_where_the_constraints_hold_and_no_longer_than_they_do() -> None:
    stage = Stage()
    await stage.open(instance("a", attributes={"disk": "ssd"}), instance("b"))
    await stage.create(**OF_DAEMON, expressions=("attribute:disk == ssd",))
    assert where(stage) == ["a"]
    await stage.start()
    await stage.one(i.ChangeAttributes("default", (("b", "disk", "ssd"),)))
    await stage.settle()
    assert where(stage) == ["a", "b"]


async def test_one_that_ends_comes_again_where_it_was() -> None:
    stage = await on_three()
    await stage.end(stage.tasks[1])
    assert where(stage) == ["a", "b", "c"]


async def test_a_deployment_takes_the_place_of_what_is_there_within_the_minimum() -> None:
    stage = await on_three()
    await stage.deploy(2, configuration=percents(60, 100))  # two of three are to stay healthy
    assert stage.revisions() == {"r1": 2, "r2": 1}
    for left in (1, 0):
        await stage.end()
        await stage.start()
        await stage.wait(40)
        assert stage.revisions().get("r1", 0) == left
    await stage.end()
    await stage.start()
    await stage.wait(40)
    assert stage.revisions() == {"r2": 3}
    assert where(stage) == ["a", "b", "c"]


async def test_one_waits_for_room_on_its_own_instance() -> None:
    stage = Stage()
    await stage.open(instance("a", cpu=256))
    (taken,) = (await stage.one(i.RunTask("default", "web:1"))).tasks
    await stage.one(instance("b"))
    await stage.create(**OF_DAEMON)
    assert where(stage) == ["", "b"]
    assert any("was unable to place a task" in event for event in stage.events)
    await stage.end(taken)
    assert where(stage) == ["a", "b"]


async def test_on_a_drained_instance_the_daemon_goes_last() -> None:
    stage = await on_three()
    (other,) = (await stage.one(i.RunTask("default", "web:1"))).tasks
    await drain(stage, other.instance)
    assert where(stage) == ["a", "b", "c"]
    await stage.end(other)
    await stage.wait(2)
    assert where(stage) == sorted({"a", "b", "c"} - {other.instance})


async def test_one_that_was_deleted_runs_nowhere_and_waits_for_nobody() -> None:
    stage = await on_three()
    (other,) = (await stage.one(i.RunTask("default", "web:1"))).tasks
    await drain(stage, other.instance)
    await stage.change(status="DRAINING")
    await stage.settle()
    assert not stage.wanted


async def test_only_daemons_are_looked_at_when_an_instance_joins() -> None:
    stage = Stage()
    await stage.open(instance("a"))
    await stage.create(1)
    await stage.start()
    await stage.one(instance("b"))
    assert not stage.tables.services.unsettled
    await stage.change(scheduling_strategy=DAEMON)
    await stage.one(instance("c"))
    assert stage.tables.services.unsettled
