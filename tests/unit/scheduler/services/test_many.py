"""Many tasks and services: what a step writes stays within a transaction, and nothing is looked at for nothing."""

from typing import Any

from shoal_scheduler.control.services.reconcile import STARTS_PER_LOOK
from shoal_scheduler.control.step import KEYS_PER_STEP, step
from shoal_scheduler.model.service import Deployment, Service, ServiceRevision
from shoal_scheduler.state.records import PutRecord
from shoal_scheduler.state.service_tables import ServiceTables, SetServiceLooked
from shoal_scheduler.state.writes import write_of

from tests.unit.scheduler.plane import DEFINITION, instance
from tests.unit.scheduler.services.stage import Stage

TINY: dict[str, Any] = {
    **DEFINITION,
    "containerDefinitions": [{**DEFINITION["containerDefinitions"][0], "cpu": 1, "memory": 6}],
}
ETCD_TAKES = 1_500_000


class Measured(Stage):
    """Keeps how much each step writes."""

    def __init__(self) -> None:
        super().__init__()
        self.keys: list[int] = []
        self.bytes: list[int] = []

    async def run(self, inputs: Any, due: Any = ()) -> list[Any]:
        write = write_of(self.tables, step(self.tables, inputs, self.context, due).changes, "x")
        if write is not None:
            self.keys.append(len(write.puts) + len(write.deletes))
            self.bytes.append(sum(len(key) + len(value) for key, value in write.puts.items()))
        return await super().run(inputs, due)


def big(name: str) -> Any:
    return instance(name, cpu=100_000, memory_mib=100_000)


async def test_thousands_start_and_stop_a_part_in_each_step() -> None:
    stage = Measured()
    await stage.open(big("a"), big("b"), document=TINY)
    await stage.create(2500)
    assert len(stage.tasks) == 2500
    assert len({task.launch.id for task in stage.tasks}) == -(-2500 // STARTS_PER_LOOK)
    await stage.change(desired_count=0)
    assert not stage.wanted
    assert max(stage.keys) <= KEYS_PER_STEP
    assert max(stage.bytes) <= ETCD_TAKES


async def test_many_launches_of_one_task_are_stopped_within_the_keys_of_a_step() -> None:
    stage = Measured()
    await stage.open(big("a"), document=TINY)
    for desired in range(1, 151):
        await stage.change(desired_count=desired) if desired > 1 else await stage.create(1)
    stage.keys.clear()
    await stage.change(desired_count=0)
    assert not stage.wanted
    assert max(stage.keys) <= 100


async def test_a_hundred_services_are_looked_at_a_part_in_each_step_and_then_no_more() -> None:
    stage = Measured()
    await stage.open(big("a"), document=TINY)
    changes = []
    for number in range(100):
        name, revision, deployment = f"s{number}", f"r{number}", f"d{number}"
        changes += [
            PutRecord(Service(cluster="default", name=name, created_at=0, desired_count=10, revision=revision,
                              deployment=deployment)),
            PutRecord(ServiceRevision(cluster="default", service=name, id=revision, created_at=0, definition="web:1",
                                      is_resolved=True)),
            PutRecord(Deployment(cluster="default", service=name, id=deployment, revision=revision, created_at=0)),
        ]  # fmt: skip
    await stage.run([], changes)
    stage.keys.clear()
    await stage.settle()
    assert max(stage.keys) <= KEYS_PER_STEP
    assert max(stage.bytes) <= ETCD_TAKES
    assert sum(task.instance == "a" for task in stage.tables.tasks()) == 1000
    assert not stage.tables.services.to_look_at(stage.now, 1000)
    assert not step(stage.tables, [], stage.context).changes


def test_what_is_looked_at_again_waits_behind_the_others() -> None:
    busy, quiet = ("default", "busy"), ("default", "quiet")
    services = ServiceTables()
    services.stir(busy)
    services.stir(quiet)
    services.set_looked(SetServiceLooked(busy, again=True))
    assert services.to_look_at(0, 1) == [quiet]
    assert services.to_look_at(0, 2) == [quiet, busy]


def test_those_for_which_it_is_time_come_first_and_once() -> None:
    late, busy = ("default", "late"), ("default", "busy")
    services = ServiceTables()
    for due_at in (50, 100, 100):
        services.set_looked(SetServiceLooked(late, due_at))
    services.stir(busy)
    assert services.to_look_at(99, 9) == [busy]
    assert services.to_look_at(100, 9) == [late, busy]
    services.set_looked(SetServiceLooked(late))
    assert services.to_look_at(100, 9) == [busy]
    assert services.next_due() is None
