"""A large array whose leaders and hosts go away while it runs: every child ends exactly once."""

from collections import Counter
from random import Random

import pytest
from shoal_scheduler.control import host_loss
from shoal_scheduler.control import inputs as i
from shoal_scheduler.control.batch.children import counts
from shoal_scheduler.model.job import FAILED, SUCCEEDED, Job
from shoal_scheduler.model.task import Task
from shoal_scheduler.state import changes as c

from tests.ground.repeats import TEN
from tests.unit.scheduler import jobs
from tests.unit.scheduler.plane import Plane, instance

CHILDREN = 2_000
HOSTS = tuple(f"host-{number}" for number in range(20))

# One of twenty fails, every time.
FAILS_EVERY = 20
ATTEMPTS = 3

# Of one child no more than these are lost, or it may fail for that.
LOSSES_MAX = 100


@pytest.mark.parametrize("repeat", TEN)
async def test_every_child_ends_exactly_once(repeat: int) -> None:
    rng = Random(repeat)
    plane = Plane(repeat)
    await plane.prepare(*(_host(name, 1) for name in HOSTS))
    await jobs.prepare(plane, state="ENABLED")
    retry = {"attempts": ATTEMPTS, "hostLosses": LOSSES_MAX}
    job = await jobs.submitted(plane, CHILDREN, retryStrategy=retry)
    ended, begun = Counter[int](), dict[int, int]()
    for number in range(1, 10_000):
        if plane.tables.batch.jobs[job.id].state.outcome:
            break
        inputs, due = list[i.Input](), list[c.Change]()
        if number % 4 == 0:
            plane.tables = await plane.reloaded()
            inputs += [_host(name, number) for name in HOSTS]
        elif number % 3 == 0:
            due = _lost(plane, rng.choice(HOSTS))
        lost = {change.task.key for change in due if isinstance(change, c.PutTask)}
        live = [task for task in jobs.live(plane.tables, job) if task.key not in lost]
        ends = [task for task in live if rng.random() < 0.3]
        await plane.run([*inputs, *(_ended(plane, task) for task in ends)], due)
        _note(plane, job, begun)
        ended.update(_child(task) for task in ends if _stopped_well(plane, task))
    found = counts(plane.tables.batch, job.id)
    assert (found[SUCCEEDED], found[FAILED]) == (CHILDREN - CHILDREN // FAILS_EVERY, CHILDREN // FAILS_EVERY)
    assert set(ended.values()) == {1}
    assert len(ended) == found[SUCCEEDED]
    losses = 0
    for chunk in plane.tables.batch.jobs[job.id].chunks.values():
        for child, record in chunk.children.items():
            own = [attempt for attempt in record.attempts if not attempt.host_lost]
            assert len(own) == (ATTEMPTS if child % FAILS_EVERY == 0 else 1)
            assert len(record.attempts) == begun[child]
            losses += len(record.attempts) - len(own)
    assert losses > len(HOSTS)


def _host(name: str, incarnation: int) -> i.AgentHello:
    return instance(name, cpu=100, memory_mib=1000, incarnation=incarnation)


def _lost(plane: Plane, host: str) -> list[c.Change]:
    tasks = plane.tables.tasks_on(host)
    losses = (host_loss.losing(task, host_loss.HOST_LOST, "silent", plane.context) for task in tasks)
    return [change for changes in losses for change in changes]


def _child(task: Task) -> int:
    assert task.launch.job is not None
    return task.launch.job.child(task.index)


def _ended(plane: Plane, task: Task) -> i.TaskReport:
    incarnation = plane.tables.sessions.get(task.instance, 1)
    code = 1 if _child(task) % FAILS_EVERY == 0 else 0
    return i.TaskReport(task.instance, incarnation, task.id, "STOPPED", **jobs.exited(code))


def _stopped_well(plane: Plane, task: Task) -> bool:
    now = plane.tables.task(task.key)
    assert now is not None
    return now.is_stopped and now.containers[0].exit_code == 0


def _note(plane: Plane, job: Job, begun: dict[int, int]) -> None:
    """The newest attempt of each child that has one: never an earlier one than before, and one more at most."""
    for task in jobs.live(plane.tables, job):
        assert task.launch.job is not None
        child, attempt = _child(task), task.launch.job.attempt
        assert begun.get(child, 0) <= attempt <= begun.get(child, 0) + 1
        begun[child] = attempt
