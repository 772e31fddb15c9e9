"""REPLICA services: as many tasks as are desired, and deployments within the percents."""

from typing import Any

import msgspec
from shoal_scheduler.state.changes import PutTask

from tests.unit.scheduler.plane import instance, report
from tests.unit.scheduler.services.stage import CHECKED, Stage, percents


async def started(desired: int, **more: Any) -> Stage:
    """A service whose first deployment is done."""
    stage = Stage()
    await stage.open(instance("a", cpu=100_000, memory_mib=100_000), instance("b", cpu=100_000, memory_mib=100_000))
    await stage.create(desired, **more)
    await stage.start()
    await stage.wait(40)
    assert stage.deployment.status == "SUCCESSFUL"
    return stage


async def test_as_many_tasks_as_are_desired_are_started_and_spread() -> None:
    stage = Stage()
    await stage.open(instance("a"), instance("b"))
    await stage.create(4)
    assert stage.statuses() == ["PENDING"] * 4
    assert sorted(task.instance for task in stage.tasks) == ["a", "a", "b", "b"]
    assert {task.launch.started_by for task in stage.tasks} == {"ecs-svc/d1"}


async def test_a_steady_service_is_not_looked_at() -> None:
    stage = await started(3)
    assert stage.service.is_steady
    assert stage.events[-1] == "(service web) has reached a steady state."
    assert stage.tables.services.next_due() is None
    assert not stage.tables.is_unsettled


async def test_what_ends_is_replaced() -> None:
    stage = await started(2)
    first, second = stage.tasks
    await stage.end(first)
    assert [task.last_status for task in stage.tasks] == ["RUNNING", "PENDING"]
    assert second in stage.tasks


async def test_what_is_too_much_is_stopped() -> None:
    stage = await started(4)
    await stage.change(desired_count=1)
    assert len(stage.wanted) == 1
    await stage.end()
    assert len(stage.tasks) == 1


async def test_new_tasks_come_before_old_ones_go() -> None:
    stage = await started(3)
    await stage.deploy(2)
    assert stage.revisions() == {"r1": 3, "r2": 3}
    await stage.start()
    assert stage.revisions() == {"r1": 3, "r2": 3}  # not healthy yet
    await stage.wait(40)
    assert stage.revisions() == {"r2": 3}
    await stage.end()
    assert stage.deployment.status == "SUCCESSFUL"


async def test_old_tasks_go_first_where_the_maximum_is_reached() -> None:
    stage = await started(4, configuration=percents(50, 100))
    await stage.deploy(2)
    assert stage.revisions() == {"r1": 2, "r2": 2}
    await stage.end()
    await stage.start()
    await stage.wait(39)
    assert stage.revisions() == {"r1": 2, "r2": 2}
    await stage.wait(1)
    assert stage.revisions() == {"r2": 4}


async def test_old_tasks_go_first_where_new_ones_find_no_room() -> None:
    stage = Stage()
    await stage.open(instance("a", cpu=1024))
    await stage.create(4, configuration=percents(50, 200))
    await stage.start()
    await stage.wait(40)
    await stage.deploy(2)
    assert stage.revisions() == {"r1": 2, "r2": 4}
    await stage.end()
    await stage.start()
    await stage.wait(40)
    await stage.end()
    await stage.start()
    await stage.wait(40)
    assert stage.revisions() == {"r2": 4}


async def test_what_cannot_go_on_says_why_once() -> None:
    stage = await started(1, configuration=percents(100, 100))
    await stage.deploy(2)
    assert stage.revisions() == {"r1": 1}
    await stage.wait(60)
    assert sum("minimumHealthyPercent or maximumPercent" in event for event in stage.events) == 1


async def test_an_old_task_that_does_not_run_yet_goes_at_once() -> None:
    stage = Stage()
    await stage.open(instance("a"))
    await stage.create(2)
    await stage.deploy(2)
    assert stage.revisions() == {"r2": 2}


async def test_an_unhealthy_task_is_replaced_before_it_goes() -> None:
    stage = Stage()
    await stage.open(instance("a", cpu=100_000, memory_mib=100_000), document=CHECKED)
    await stage.create(2)
    await stage.start()
    for task in stage.tasks:
        await stage.tell_health(task, "HEALTHY")
    bad, good = stage.tasks
    await stage.tell_health(bad, "UNHEALTHY")
    assert len(stage.wanted) == 3
    await stage.start()
    new = next(task for task in stage.wanted if task.id not in (bad.id, good.id))
    await stage.tell_health(new, "HEALTHY")
    assert {task.id for task in stage.wanted} == {good.id, new.id}
    stopped = stage.tables.task(bad.key)
    assert stopped is not None
    assert stopped.stopped_reason == "Task failed container health checks"


async def test_unhealthy_tasks_go_one_by_one_where_the_maximum_leaves_no_room() -> None:
    stage = Stage()
    await stage.open(instance("a", cpu=100_000, memory_mib=100_000), document=CHECKED)
    await stage.create(3, configuration=percents(100, 100))
    await stage.start()
    for task in stage.tasks:
        await stage.tell_health(task, "UNHEALTHY")
    for _ in range(3):
        assert stage.statuses().count("PENDING") == 1
        await stage.end()
        await stage.start()
        await stage.tell_health(stage.wanted[-1], "HEALTHY")
    assert [task.containers[0].health_status for task in stage.wanted] == ["HEALTHY"] * 3


async def test_within_the_grace_period_no_check_counts() -> None:
    stage = Stage()
    await stage.open(instance("a"), document=CHECKED)
    await stage.create(1, grace_seconds=60)
    await stage.start()
    await stage.tell_health(stage.tasks[0], "UNHEALTHY")
    assert len(stage.wanted) == 1
    await stage.wait(60)
    assert len(stage.wanted) == 2


async def test_protected_tasks_stay_until_their_time_is_over() -> None:
    stage = await started(2)
    kept, _ = stage.tasks
    await stage.run([], [PutTask(msgspec.structs.replace(kept, protected_until=stage.now + 600_000))])
    await stage.change(desired_count=0)
    assert [task.id for task in stage.wanted] == [kept.id]
    await stage.wait(599)
    assert [task.id for task in stage.wanted] == [kept.id]
    await stage.wait(1)
    assert not stage.wanted


async def test_a_report_of_what_is_gone_changes_nothing() -> None:
    stage = await started(1)
    (task,) = stage.tasks
    await stage.end(task)
    await stage.one(report(task, "RUNNING"))
    assert len(stage.tasks) == 1
