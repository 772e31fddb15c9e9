"""What tasks used: every one counted once, whatever its reports do, over days, months, restarts and retention."""

from random import Random
from typing import Any

import pytest
from shoal_scheduler.control import inputs as i
from shoal_scheduler.control import usage
from shoal_scheduler.control.context import Limits
from shoal_scheduler.model.ask import Resources
from shoal_scheduler.model.usage import CPU_SECOND, DAY_MILLIS, GIB_SECOND, GPU_SECOND, Usage, by_day, during

from tests.unit.scheduler.plane import DEFINITION, Plane, instance, report

DAY = 20_782  # 2026-11-25
MORNING = DAY * DAY_MILLIS
EVER = (0, 10**6)


def run_task(**more: Any) -> i.RunTask:
    return i.RunTask(cluster="default", definition="web", **more)


async def started(plane: Plane, **more: Any) -> Any:
    (task,) = (await plane.one(run_task(**more))).tasks
    await plane.one(report(task, "RUNNING", started_at=plane.now))
    return task


@pytest.fixture
async def plane() -> Plane:
    plane = Plane()
    plane.now = MORNING
    await plane.prepare(instance("x", cpu=4096, memory_mib=8192))
    return plane


async def test_a_task_counts_from_its_start_to_its_end(plane: Plane) -> None:
    task = await started(plane)
    plane.now += 60_000
    running = usage.used(plane.tables, "default", *EVER, plane.now)
    assert running == {(DAY, "family:web"): Usage(0, 15 * CPU_SECOND, 30 * GIB_SECOND, 0)}
    await plane.one(report(task, "STOPPED"))
    plane.now += 60_000
    assert usage.used(plane.tables, "default", *EVER, plane.now) == {
        (DAY, "family:web"): Usage(1, 15 * CPU_SECOND, 30 * GIB_SECOND, 0)
    }
    assert (await plane.reloaded()).usage == plane.tables.usage


async def test_pulling_counts_and_what_never_ran_does_not(plane: Plane) -> None:
    (pulls, waits) = (await plane.one(run_task(count=2))).tasks
    await plane.one(report(pulls, "PENDING", pull_started_at=plane.now))
    plane.now += 10_000
    await plane.run([report(pulls, "STOPPED"), report(waits, "STOPPED")])
    (used,) = usage.used(plane.tables, "default", *EVER, plane.now).values()
    assert (used.tasks, used.cpu) == (1, 10 * 256 * 1000)


async def test_a_report_that_comes_again_counts_nothing_twice(plane: Plane) -> None:
    task = await started(plane)
    plane.now += 1_000
    await plane.run([report(task, "STOPPED"), report(task, "STOPPED")])
    plane.now += 1_000
    await plane.one(report(task, "STOPPED"))
    assert [each.tasks for each in usage.used(plane.tables, "default", *EVER, plane.now).values()] == [1]


async def test_tasks_of_one_step_add_up_and_groups_stay_apart(plane: Plane) -> None:
    tasks = [await started(plane, group=group) for group in ("a", "a", "b")]
    plane.now += 4_000
    await plane.run([report(task, "STOPPED") for task in tasks])
    used = usage.used(plane.tables, "default", DAY, DAY, plane.now)
    assert {group: (each.tasks, each.cpu) for (_, group), each in used.items()} == {
        "a": (2, 2 * CPU_SECOND),
        "b": (1, CPU_SECOND),
    }
    assert usage.used(plane.tables, "other", *EVER, plane.now) == {}
    assert usage.used(plane.tables, "default", DAY + 1, DAY + 9, plane.now) == {}


async def test_a_long_life_is_spread_over_its_days_and_months(plane: Plane) -> None:
    task = await started(plane)
    plane.now += 10 * DAY_MILLIS + DAY_MILLIS // 2
    before = usage.used(plane.tables, "default", *EVER, plane.now)
    await plane.one(report(task, "STOPPED"))
    after = usage.used(plane.tables, "default", *EVER, plane.now)
    assert {month for _, _, month in plane.tables.usage} == {"2026-11", "2026-12"}
    assert [day for day, _ in after] == list(range(DAY, DAY + 11))
    assert [each.cpu for each in after.values()] == [each.cpu for each in before.values()]
    assert after[DAY, "family:web"].cpu == 256 * DAY_MILLIS
    assert [each.tasks for each in after.values()] == [0] * 10 + [1]


async def test_it_outlives_the_tasks_and_is_kept_for_a_year() -> None:
    plane = Plane(limits=Limits(stopped_tasks_keep_seconds=0))
    plane.now = MORNING
    await plane.prepare(instance("x"))
    task = await started(plane)
    plane.now += 1_000
    await plane.one(report(task, "STOPPED"))
    plane.now += 360 * DAY_MILLIS
    assert usage.expired(plane.tables, plane.now) == []
    plane.now += 35 * DAY_MILLIS
    await plane.run([], usage.expired(plane.tables, plane.now))
    assert plane.tables.usage == {} == (await plane.reloaded()).usage


async def test_many_lives_in_any_order_give_the_sum_of_each(plane: Plane) -> None:
    chance, expected = Random(7), Usage()
    live: dict[str, tuple[Any, int]] = {}
    for _ in range(200):
        plane.now += chance.randrange(1, 3 * 3600 * 1000)
        if live and chance.random() < 0.5:
            task, since = live.pop(chance.choice(list(live)))
            await plane.one(report(task, "STOPPED"))
            expected += during(Resources(256, 512), since, plane.now) + Usage(tasks=1)
        elif len(live) < 8:
            task = await started(plane, group=chance.choice("abc"))
            live[task.id] = (task, plane.now)
        if chance.random() < 0.1:
            plane.tables = await plane.reloaded()
            await plane.one(instance("x", cpu=4096, memory_mib=8192))
    running = sum((during(Resources(256, 512), since, plane.now) for _, since in live.values()), Usage())
    assert sum(usage.used(plane.tables, "default", *EVER, plane.now).values(), Usage()) == expected + running


@pytest.mark.parametrize(("start", "end"), [(0, 0), (5, 3), (1, DAY_MILLIS), (DAY_MILLIS - 1, 3 * DAY_MILLIS + 1)])
def test_days_add_up_to_the_whole(start: int, end: int) -> None:
    resources = Resources(cpu=100, memory_mib=7, gpus=2, gpu_milli=500)
    assert sum((each for _, each in by_day(resources, start, end)), Usage()) == during(resources, start, end)


def test_a_share_of_a_gpu_counts_as_its_share() -> None:
    assert during(Resources(gpus=1, gpu_milli=250), 0, 4_000).gpu == GPU_SECOND


def test_definition_of_these_tests() -> None:
    (container,) = DEFINITION["containerDefinitions"]
    assert (container["cpu"], container["memory"]) == (256, 512)
