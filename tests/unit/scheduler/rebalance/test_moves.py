"""Moves as the service's own loop carries them out: the replacement first, elsewhere, within the percents."""

import pytest
from shoal_scheduler.control.rebalance import progress
from shoal_scheduler.control.rebalance.inputs import StartRebalance, StopRebalance, Wanted
from shoal_scheduler.control.rebalance.look import look
from shoal_scheduler.model.rebalance import Move, Rebalance
from shoal_scheduler.model.refusal import Refused
from shoal_scheduler.model.task import Task
from shoal_scheduler.state.records import PutRecord

from tests.unit.scheduler.rebalance.moving import Moving, host
from tests.unit.scheduler.services.stage import percents


def running(stage: Moving) -> list[Task]:
    return [task for task in stage.wanted if task.last_status == "RUNNING"]


async def test_a_host_that_joins_gets_its_part_and_nothing_stops_before_its_replacement_is_healthy() -> None:
    stage = await Moving.opened(4, host("a"), host("b"))
    await stage.join(host("c"))
    assert stage.hosts() == ["a", "a", "b", "b"]
    started = await stage.rebalance()
    assert [(move.source, move.target) for move in started.planned] == [("a", "c")]
    assert started.planned[0].reason == "2 tasks of it on one instance, 0 on the other"
    assert stage.hosts() == ["a", "a", "b", "b", "c"]
    await stage.start()
    await stage.wait(39)
    assert len(running(stage)) == 5
    await stage.wait(1)
    assert stage.hosts() == ["a", "b", "b", "c"]
    assert stage.last.is_in_progress
    (leaving,) = [task for task in stage.tasks if task.desired_status == "STOPPED"]
    assert leaving.stopped_reason == "Rebalanced: it goes on on another instance"
    await stage.end()
    await stage.look()
    assert (stage.last.status, stage.last.reason) == ("COMPLETED", "1 of 1 task moved")
    assert stage.last.over[0].outcome == "MOVED"
    again = await stage.one(StartRebalance("default", Wanted()))
    assert (again.status, again.reason, again.over) == ("COMPLETED", "nothing is to be moved", ())


async def test_zones_come_first() -> None:
    stage = await Moving.opened(6, host("a", "z1"), host("b", "z1"))
    await stage.join(host("c", "z2"))
    started = await stage.rebalance(parallel=3)
    assert len(started.planned) == 3
    assert started.planned[0].reason == "6 tasks of it where ecs.availability-zone is z1, 0 where it is z2"
    await stage.until_over()
    assert stage.hosts() == ["a", "a", "b", "c", "c", "c"] or stage.hosts() == ["a", "b", "b", "c", "c", "c"]


async def test_at_maximum_percent_100_a_task_stops_first_and_never_below_the_minimum() -> None:
    stage = await Moving.opened(4, host("a"), host("b"), configuration=percents(50, 100))
    await stage.join(host("c"))
    await stage.rebalance()
    assert len(running(stage)) == 3
    ended = await stage.until_over()
    assert ended.status == "COMPLETED"
    assert stage.hosts() == ["a", "b", "b", "c"]


async def test_no_more_than_so_many_are_under_way_at_once() -> None:
    stage = await Moving.opened(8, host("a", "z1"))
    await stage.join(host("b", "z2"))
    await stage.rebalance(parallel=2)
    for _ in range(5):
        await stage.look()
    assert (len(stage.last.moves), len(stage.last.planned)) == (2, 2)
    assert stage.hosts() == ["a"] * 8 + ["b"] * 2
    await stage.until_over()
    assert stage.hosts() == ["a"] * 4 + ["b"] * 4


async def test_no_more_than_so_many_move_in_one_run() -> None:
    stage = await Moving.opened(8, host("a", "z1"))
    await stage.join(host("b", "z2"))
    await stage.rebalance(moves=1)
    assert (await stage.until_over()).reason == "1 of 1 task moved"
    assert stage.hosts() == ["a"] * 7 + ["b"]


async def test_named_instances_are_emptied_and_nothing_comes_back_meanwhile() -> None:
    stage = await Moving.opened(4, host("a"), host("b"))
    await stage.join(host("c"))
    await stage.rebalance("EMPTY", "a", parallel=1)
    await stage.change(desired_count=8)
    await stage.until_over()
    await stage.start()
    assert "a" not in stage.hosts()
    assert len(stage.hosts()) == 8


async def test_consolidation_frees_an_instance() -> None:
    stage = await Moving.opened(2, host("a"), host("b"))
    await stage.rebalance("EMPTY")
    await stage.until_over()
    assert len(set(stage.hosts())) == 1


async def test_what_is_not_replaced_in_time_is_given_up_and_stays() -> None:
    stage = await Moving.opened(4, host("a"), host("b"))
    before = {task.key for task in stage.tasks}
    await stage.join(host("c"))
    await stage.rebalance()
    await stage.wait(progress.GIVE_UP_MILLIS / 1000)
    await stage.look()
    (move,) = stage.last.over
    assert (move.outcome, move.detail) == ("GIVEN_UP", "it was not replaced by a healthy task within 10 minutes")
    assert (stage.last.status, stage.last.reason) == ("COMPLETED", "0 of 1 task moved")
    assert {task.key for task in stage.wanted} == before


async def test_what_finds_no_room_by_then_is_given_up_with_the_reason() -> None:
    stage = await Moving.opened(4, host("a"), host("b"))
    await stage.join(host("c"))
    started = await stage.one(StartRebalance("default", Wanted("EMPTY", instances=("a",))))
    assert len(started.planned) == 2
    for name in ("b", "c"):
        await stage.drain(name)
    for _ in range(3):
        await stage.look()
    assert len(stage.last.planned) == 2
    stage.now += progress.GIVE_UP_MILLIS
    await stage.look()
    assert {move.detail for move in stage.last.over} == {
        "no other instance has room: INSTANCE:DRAINING on 2 instances, MEMBEROF on 1 instance"
    }


async def test_what_breaks_down_meanwhile_does_not_wait_for_where_a_move_goes() -> None:
    stage = await Moving.opened(4, host("a"), host("b"))
    await stage.join(host("c"))
    leaving, broken = [task for task in stage.wanted if task.instance == "a"]
    move = Move(leaving.id, "web", "a", "c", began_at=stage.now, is_pinned=True)
    await stage.drain("c")
    await stage.run([], [PutRecord(Rebalance(cluster="default", id="r", created_at=stage.now, moves=(move,)))])
    await stage.end(broken)
    assert stage.hosts().count("") == 2
    stage.now += progress.PLACED_MILLIS
    await stage.look()
    assert stage.last.over[0].detail.startswith("no other instance has room: MEMBEROF on 2 instances")
    assert (stage.hosts().count(""), len(stage.wanted)) == (0, 4)
    assert leaving.key in {task.key for task in stage.wanted}


async def test_a_deployment_that_began_meanwhile_has_its_way() -> None:
    stage = await Moving.opened(4, host("a"), host("b"))
    await stage.join(host("c"))
    await stage.one(StartRebalance("default", Wanted()))
    await stage.deploy(2)
    await stage.look()
    assert [move.detail for move in stage.last.over] == ["a deployment of it is under way"]


async def test_a_protected_task_does_not_move() -> None:
    stage = await Moving.opened(4, host("a"), host("b"))
    await stage.join(host("c"))
    await stage.protect(*stage.tasks)
    started = await stage.one(StartRebalance("default", Wanted()))
    assert started.status == "COMPLETED"


async def test_stopped_it_leaves_everything_where_it_is() -> None:
    stage = await Moving.opened(8, host("a", "z1"))
    before = {task.key for task in stage.tasks}
    await stage.join(host("b", "z2"))
    await stage.rebalance(parallel=1)
    stopped = await stage.halt("enough")
    assert (stopped.status, stopped.reason) == ("STOPPED", "enough")
    assert {(move.outcome, move.detail) for move in stopped.over} == {("GIVEN_UP", "enough")}
    assert {task.key for task in stage.wanted} == before
    assert await stage.one(StopRebalance("default", stopped.id, "again")) == stopped


async def test_one_at_a_time_and_the_same_token_is_the_same_one() -> None:
    stage = await Moving.opened(4, host("a"), host("b"))
    await stage.join(host("c"))
    request = StartRebalance("default", Wanted(), "alice", "token")
    started = await stage.one(request)
    assert await stage.one(request) == started
    with pytest.raises(Refused, match=rf"Rebalance {started.id} of cluster 'default' is in progress"):
        await stage.one(StartRebalance("default", Wanted(), "alice", "other"))
    with pytest.raises(Refused, match="has no rebalance 'x'"):
        await stage.one(StopRebalance("default", "x", ""))


async def test_a_new_leader_goes_on_with_it() -> None:
    stage = await Moving.opened(4, host("a"), host("b"))
    await stage.join(host("c"))
    await stage.rebalance()
    reloaded = await stage.reloaded()
    assert reloaded.records == stage.tables.records


async def test_the_last_ten_are_kept() -> None:
    stage = await Moving.opened(4, host("a"), host("b"))
    for number in range(12):
        await stage.join(host(f"more-{number}", f"z{number}"))
        await stage.rebalance("EMPTY", stage.hosts()[0])
        await stage.halt()
        stage.now += 1
    assert len(stage.rebalances) == 10


async def test_a_task_whose_replacement_waits_for_room_goes_on() -> None:
    stage = await Moving.opened(4, host("a"), host("b"), configuration=percents(50, 200))
    await stage.join(host("c"))
    await stage.one(StartRebalance("default", Wanted("EMPTY", instances=("a",))))
    await stage.run([], look(stage.tables, stage.context, starts=False).changes)
    for name in ("b", "c"):
        await stage.drain(name)
    await stage.settle()
    assert [task.instance for task in running(stage)].count("a") == 2
