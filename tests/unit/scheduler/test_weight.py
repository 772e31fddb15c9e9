"""A step's transaction is within what etcd takes, however large the launches are whose tasks it changes."""

from collections.abc import Sequence
from typing import Any

from shoal_scheduler.control import host_loss
from shoal_scheduler.control import inputs as i
from shoal_scheduler.control.step import step
from shoal_scheduler.model.task import ContainerState, Task
from shoal_scheduler.state import changes as c
from shoal_scheduler.state.writes import write_of

from tests.unit.scheduler.plane import Plane, instance, report

TASKS = 5_120

# etcd's own bound is 1.5 MiB; a request says more than its keys and values.
BYTES_MAX = 1_300_000
RUNNING = {
    "pull_started_at": 1_000_000,
    "pull_stopped_at": 1_000_000,
    "started_at": 1_000_000,
    "containers": (ContainerState("app", "RUNNING", "f" * 64, image_digest=f"sha256:{'a' * 64}"),),
}
STOPPED: dict[str, Any] = {
    "stop_code": "EssentialContainerExited",
    "stopped_reason": "Essential container in task exited",
    "containers": (ContainerState("app", "STOPPED", "f" * 64, exit_code=0, image_digest=f"sha256:{'a' * 64}"),),
}


async def with_tasks(on_disconnect: str = "") -> tuple[Plane, list[Task]]:
    """Of one launch, which are told to run."""
    plane = Plane()
    await plane.prepare(instance("0123456789abcdef" * 2, cpu=256 * TASKS, memory_mib=512 * TASKS))
    await plane.one(i.RunTask("default", "web", TASKS, on_disconnect=on_disconnect))
    tasks = list(plane.tables.tasks())
    await all_taken(plane, [report(task, "RUNNING", **RUNNING) for task in tasks])
    return plane, tasks


async def all_taken(plane: Plane, inputs: Sequence[i.Input], due: Sequence[c.Change] = ()) -> int:
    """How many steps it takes."""
    left, steps = list(inputs), 0
    while left or due:
        result = step(plane.tables, left, plane.context, due)
        write = write_of(plane.tables, result.changes, f"step-{plane.tables.revision}-{steps}")
        assert write is not None
        assert sum(len(key) + len(value) for key, value in write.puts.items()) < BYTES_MAX
        plane.tables.apply(result.changes, await plane.store.commit(write))
        left, due, steps = left[len(result.replies) :], (), steps + 1
    return steps


async def test_reports_of_tasks_that_lie_apart() -> None:
    plane, tasks = await with_tasks()
    some = [task for place in range(256) for task in tasks[place::256]][:2_000]  # one after the other of all chunks
    assert await all_taken(plane, [report(task, "STOPPED", **STOPPED) for task in some]) > 4
    assert sum(task.is_stopped for task in plane.tables.tasks()) == len(some)


async def test_a_host_is_lost_with_all_of_them() -> None:
    plane, tasks = await with_tasks("keep")
    host = tasks[0].instance
    await plane.one(i.SessionClosed(host, 1))
    for left in (TASKS, TASKS - 20, TASKS - 40):  # what takes their place is written as well
        assert len(plane.tables.tasks_on(host)) <= left
        looked = host_loss.look(plane.tables, {host: 0.0}, 0.0, 1_000.0, plane.context)
        await all_taken(plane, (), looked.changes)


async def test_an_instance_is_deregistered_by_force() -> None:
    plane, tasks = await with_tasks()
    host = tasks[0].instance
    requests = 0
    while plane.tables.instances[host].status != "INACTIVE":
        await all_taken(plane, [i.DeregisterInstance("default", host, force=True)])
        requests += 1
    assert not plane.tables.tasks_on(host)
    assert 3 < requests < 20
