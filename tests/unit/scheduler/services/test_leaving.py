"""Tasks whose instance is drained, interrupted, lost, or that a rebalance moves: they run elsewhere."""

from typing import Any

import msgspec
from shoal_scheduler.control import interruption
from shoal_scheduler.control.host_loss import HOST_LOST, losing
from shoal_scheduler.model.interruption import Interruption
from shoal_scheduler.model.rebalance import Move, Rebalance
from shoal_scheduler.state.changes import PutInstance
from shoal_scheduler.state.records import PutRecord

from tests.unit.scheduler.plane import instance
from tests.unit.scheduler.services.stage import Stage, percents


async def on_hosts(*names: str, desired: int = 4, **more: Any) -> Stage:
    """All of its tasks are healthy."""
    stage = Stage()
    await stage.open(*(instance(name, cpu=4096) for name in names))
    await stage.create(desired, **more)
    await stage.start()
    await stage.wait(40)
    return stage


async def drain(stage: Stage, name: str) -> None:
    host = stage.tables.instances[name]
    await stage.run([], [PutInstance(msgspec.structs.replace(host, status="DRAINING", version=host.version + 1))])
    await stage.settle()


def on(stage: Stage, name: str) -> int:
    return sum(task.instance == name for task in stage.wanted)


async def test_what_runs_on_a_drained_instance_is_replaced_first() -> None:
    stage = await on_hosts("a", "b")
    await drain(stage, "a")
    assert (on(stage, "a"), on(stage, "b")) == (2, 4)
    await stage.start()
    await stage.wait(40)
    assert (on(stage, "a"), on(stage, "b")) == (0, 4)


async def test_within_the_percents() -> None:
    stage = await on_hosts("a", "b", configuration=percents(75, 100))
    await drain(stage, "a")
    assert (on(stage, "a"), on(stage, "b")) == (1, 3)


async def test_what_has_not_started_there_stops_at_once() -> None:
    stage = Stage()
    await stage.open(instance("a"), instance("b"))
    await stage.create(2)
    await drain(stage, "a")
    assert (on(stage, "a"), on(stage, "b")) == (0, 2)


async def test_what_is_lost_with_its_host_is_replaced_at_once() -> None:
    stage = await on_hosts("a", "b", desired=2)
    task = next(task for task in stage.tasks if task.instance == "a")
    await stage.run([], losing(task, HOST_LOST, "silent", stage.context))
    await stage.settle()
    assert len(stage.wanted) == 2
    assert task.id not in {each.id for each in stage.tasks}


async def test_what_a_rebalance_moves_does_not_go_back_to_where_it_was() -> None:
    stage = await on_hosts("a", "b", desired=3)
    crowded = "a" if on(stage, "a") == 2 else "b"
    moved = next(task for task in stage.tasks if task.instance == crowded)
    await stage.one(instance("c", cpu=512))
    rebalance = Rebalance(cluster="default", id="m", created_at=stage.now, moves=(Move(moved.id, "web", crowded, "c"),))
    await stage.run([], [PutRecord(rebalance)])
    await stage.settle()
    assert (on(stage, crowded), len(stage.wanted)) == (2, 4)
    await stage.start()
    await stage.wait(40)
    assert on(stage, crowded) == 1
    assert moved.id not in {task.id for task in stage.wanted}


async def test_what_waits_for_a_move_that_was_given_up_waits_for_any_room() -> None:
    stage = Stage()
    await stage.open(instance("a", cpu=256))
    await stage.create(1)
    await stage.start()
    await stage.wait(40)
    (moved,) = stage.tasks
    rebalance = Rebalance(cluster="default", id="m", created_at=stage.now, moves=(Move(moved.id, "web", "a"),))
    await stage.run([], [PutRecord(rebalance)])
    await stage.settle()
    assert stage.statuses() == ["RUNNING", "PROVISIONING"]
    await stage.run([], [PutRecord(msgspec.structs.replace(rebalance, status="STOPPED"))])
    await stage.settle()
    assert [task.id for task in stage.wanted] == [moved.id]


async def test_on_an_interrupted_instance_it_is_replaced_first_as_long_as_there_is_time() -> None:
    stage = await on_hosts("a", "b", desired=2)
    host = stage.tables.instances["a"]
    going = Interruption(source="notice", noticed_at=stage.now, deadline=stage.now + 120_000, reason="")
    await stage.run([], [PutInstance(msgspec.structs.replace(host, status="DRAINING", interruption=going))])
    looked = interruption.look(stage.tables, 0.0, stage.context)
    assert (looked.changes, looked.due_at) == ([], 120 - 30 - interruption.MARGIN_SECONDS)
    await stage.settle()
    assert (on(stage, "a"), on(stage, "b")) == (1, 2)
    await stage.wait(looked.due_at)  # its replacement finds nobody that starts it
    (stop,) = interruption.look(stage.tables, looked.due_at, stage.context).changes
    await stage.run([], [stop])
    await stage.settle()
    assert (on(stage, "a"), on(stage, "b")) == (0, 2)
