"""Which tasks are given up first."""

from collections import Counter
from typing import Any

import msgspec
import pytest
from shoal_scheduler.control.services.scale_in import order
from shoal_scheduler.control.services.view import view_of
from shoal_scheduler.model.ask import Strategy
from shoal_scheduler.model.task import Task
from shoal_scheduler.state.changes import PutInstance, PutTask
from shoal_scheduler.state.overlay import Overlay

from tests.unit.scheduler.plane import DEFINITION, instance
from tests.unit.scheduler.services.stage import KEY, Stage

ZONE = "ecs.availability-zone"
BIG = {"cpu": 100_000, "memory_mib": 100_000}


async def stage_with(*hosts: Any, desired: int = 6, **more: Any) -> Stage:
    stage = Stage()
    await stage.open(*hosts)
    await stage.create(desired, **more)
    await stage.start()
    await stage.wait(40)
    return stage


def given_up(stage: Stage, count: int | None = None) -> list[Task]:
    seen = view_of(Overlay(stage.tables), KEY, stage.context)
    assert seen is not None
    return list(order(seen, seen.wanted))[:count]


async def test_what_is_missed_least_comes_first() -> None:
    stage = await stage_with(instance("a", cpu=1024), instance("b", cpu=256), desired=4)
    host = stage.tables.instances["b"]
    await stage.run([], [PutInstance(msgspec.structs.replace(host, status="DRAINING"))])
    await stage.change(desired_count=6)
    found = given_up(stage)
    assert [(task.last_status, task.instance) for task in found] == [
        ("PROVISIONING", ""),
        ("PROVISIONING", ""),
        ("PENDING", "a"),
        ("RUNNING", "b"),
        *[("RUNNING", "a")] * 3,
    ]


async def test_the_last_that_started_of_those_that_are_alike() -> None:
    stage = await stage_with(instance("a", **BIG), desired=3)
    assert given_up(stage) == stage.wanted[::-1]


async def test_spread_keeps_the_balance_of_zones_and_hosts() -> None:
    zones = {"a": "z1", "b": "z1", "c": "z2"}
    hosts = [instance(name, attributes={ZONE: zone}, **BIG) for name, zone in zones.items()]
    stage = await stage_with(*hosts, desired=8)
    left = Counter(task.instance for task in stage.wanted)
    assert left == {"a": 2, "b": 2, "c": 4}
    for task in given_up(stage, 4):
        left[task.instance] -= 1
    assert left == {"a": 1, "b": 1, "c": 2}


async def test_what_goes_anyway_does_not_count() -> None:
    """Of four in one zone and four in the other, three leave the first: one of the second is too much."""
    zones = {"a": "z1", "b": "z1", "c": "z2"}
    hosts = [instance(name, attributes={ZONE: zone}, **BIG) for name, zone in zones.items()]
    stage = await stage_with(*hosts, desired=8)
    leaving = [task for task in stage.wanted if task.instance in ("a", "b")][:3]
    seen = view_of(Overlay(stage.tables), KEY, stage.context)
    assert seen is not None
    kept = [task for task in seen.wanted if task not in leaving]
    assert next(order(seen, kept)).instance == "c"
    assert next(order(seen, leaving, kept)).instance in ("a", "b")


@pytest.mark.parametrize("field", ["cpu", "memory"])
async def test_binpack_empties_the_host_that_has_the_most_left(field: str) -> None:
    small = {"cpu": 1024, "memory_mib": 2048}
    hosts = [instance("a", **small), instance("b", **small)]
    stage = await stage_with(*hosts, desired=6, strategies=(Strategy("binpack", field),))
    counts = Counter(task.instance for task in stage.wanted)
    (fuller, four), (emptier, two) = counts.most_common()
    assert (four, two) == (4, 2)
    assert [task.instance for task in given_up(stage, 3)] == [emptier, emptier, fuller]


async def test_protected_tasks_are_not_given_up() -> None:
    stage = await stage_with(instance("a", **BIG), desired=3)
    kept = stage.wanted[-1]
    await stage.run([], [PutTask(msgspec.structs.replace(kept, protected_until=stage.now + 1))])
    assert kept.id not in {task.id for task in given_up(stage)}


async def test_a_thousand_are_put_in_order_quickly() -> None:
    hosts = [instance(name, attributes={ZONE: f"z{number % 3}"}, **BIG) for number, name in enumerate("abcdefgh")]
    tiny = {**DEFINITION, "containerDefinitions": [{**DEFINITION["containerDefinitions"][0], "cpu": 1, "memory": 6}]}
    stage = Stage()
    await stage.open(*hosts, document=tiny)
    await stage.create(1000)
    assert len(given_up(stage)) == 1000
