"""What the loop does of itself for jobs: nobody asks for what follows from others, or for what time brings."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import pytest
from shoal_scheduler.control.batch.attempts import TIMED_OUT
from shoal_scheduler.control.batch.inputs import UpdateJobQueue
from shoal_scheduler.control.batch.job_inputs import CancelJob
from shoal_scheduler.engine import Engine
from shoal_scheduler.model.job import Job
from shoal_scheduler.model.job_queue import TimeLimit
from shoal_scheduler.state.tables import Tables

from tests.ground.waiting import wait_until
from tests.unit.scheduler import jobs
from tests.unit.scheduler.plane import Plane, instance, report

TOO_LARGE = {"resourceRequirements": [{"type": "VCPU", "value": "90"}]}


@dataclass
class Ground:
    plane: Plane
    engine: Engine

    async def submit(self, **more: object) -> Job:
        job = await self.engine.submit(jobs.submit(**more))  # type: ignore[arg-type]
        assert isinstance(job, Job)
        return job

    async def until(self, holds: Callable[[Tables], bool]) -> None:
        await wait_until(lambda: holds(self.engine.tables))


@pytest.fixture
async def ground() -> AsyncIterator[Ground]:
    plane = Plane()
    await plane.prepare(instance("x", cpu=10_000, memory_mib=10_000))
    await jobs.prepare(plane, state="ENABLED")
    engine = Engine(plane.tables, plane.store, lambda *_: None, now=lambda: plane.now)
    running = asyncio.create_task(engine.run())
    yield Ground(plane, engine)
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


async def test_what_follows_comes_without_being_asked_for(ground: Ground) -> None:
    chain = [await ground.submit()]
    blocked = await ground.submit(containerOverrides=TOO_LARGE)
    for _ in range(5):
        chain.append(await ground.submit(after=[((chain[1:] or [blocked])[-1].id, "")]))
    await ground.engine.submit(CancelJob(blocked.id, "why"))
    await ground.until(lambda tables: tables.batch.jobs[chain[-1].id].state.outcome == "FAILED")
    assert ground.engine.tables.batch.jobs[chain[0].id].live  # that one started meanwhile
    steps = ground.engine._steps
    await ground.submit()
    assert ground.engine._steps < steps + 10  # nothing is looked at again and again


async def test_an_attempt_that_runs_too_long_is_stopped_without_a_word_from_anybody(ground: Ground) -> None:
    job = await ground.submit(timeout={"attemptDurationSeconds": 60})
    await ground.until(lambda tables: bool(tables.batch.jobs[job.id].live))
    task = jobs.task_of(ground.engine.tables, job)
    await ground.engine.submit(report(task, "RUNNING", started_at=ground.plane.now))
    ground.plane.now += 60_000
    await ground.until(lambda tables: jobs.task_of(tables, job).desired_status == "STOPPED")
    assert jobs.task_of(ground.engine.tables, job).stopped_reason == TIMED_OUT


async def test_the_first_job_of_a_queue_is_cancelled_when_it_waits_for_too_long(ground: Ground) -> None:
    limit = TimeLimit("no such host", 600)
    await ground.engine.submit(UpdateJobQueue("q", {"time_limits": (limit,)}))
    first, second = [await ground.submit(containerOverrides=TOO_LARGE) for _ in range(2)]
    await ground.until(lambda tables: tables.batch.is_unsettled is False)
    ground.plane.now += 599_999
    await ground.submit()  # something moves
    assert not ground.engine.tables.batch.jobs[first.id].state.outcome
    ground.plane.now += 1
    await ground.until(lambda tables: tables.batch.jobs[first.id].state.status_reason == "no such host")
    assert not ground.engine.tables.batch.jobs[second.id].state.outcome  # it is the first from now on
    ground.plane.now += 600_000
    await ground.until(lambda tables: tables.batch.jobs[second.id].state.status_reason == "no such host")
