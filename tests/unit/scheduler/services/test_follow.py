"""What the end of a task counts, in the very step in which it ends."""

from typing import Any

import pytest
from shoal_scheduler.control import inputs as i
from shoal_scheduler.control.services.follow import PAUSE_MILLIS
from shoal_scheduler.model.service import Deployment
from shoal_scheduler.model.task import Task
from shoal_scheduler.state.records import PutRecord
from shoal_scheduler.state.tables import Tables

from tests.unit.scheduler.plane import instance, report
from tests.unit.scheduler.services.stage import KEY, Stage

FAILED_TO_START = {"stop_code": "TaskFailedToStart", "stopped_reason": "CannotPullContainerError: gone"}
EXITED = {"stop_code": "EssentialContainerExited", "stopped_reason": "Essential container in task exited"}


async def opened(desired: int = 4) -> Stage:
    stage = Stage()
    await stage.open(*(instance(name, cpu=8192, memory_mib=16384) for name in "abc"))
    await stage.create(desired)
    return stage


async def tell(stage: Stage, task: Task, status: str, **more: Any) -> None:
    """And no look follows."""
    await stage.run([report(task, status, **more)])


def counts(tables: Tables) -> tuple[int, int]:
    deployment = tables.records.get(Deployment, *KEY, "d1")
    assert deployment is not None
    return deployment.failed_tasks, deployment.start_failures


async def test_who_never_ran_has_failed_and_delays_the_next_one() -> None:
    stage = await opened()
    (task, *_) = stage.tasks
    await tell(stage, task, "STOPPED", **FAILED_TO_START)
    assert counts(stage.tables) == (1, 1)
    assert stage.deployment.retry_at == stage.now
    assert counts(await stage.reloaded()) == (1, 1)


@pytest.mark.parametrize("ends", [EXITED, {"stop_code": "", "stopped_reason": ""}])
async def test_who_ran_and_ended_by_itself_has_failed_and_delays_nothing(ends: dict[str, Any]) -> None:
    stage = await opened()
    (task, *_) = stage.tasks
    await tell(stage, task, "RUNNING", started_at=stage.now)
    await tell(stage, task, "STOPPED", **ends)
    assert counts(stage.tables) == (1, 0)


@pytest.mark.parametrize("code", ["InfrastructureHealth", "HostLost", "SpotInterruption", "TerminationNotice"])
async def test_what_goes_with_its_instance_counts_for_nothing(code: str) -> None:
    stage = await opened()
    (task, *_) = stage.tasks
    await tell(stage, task, "STOPPED", stop_code=code, stopped_reason="it went")
    assert counts(stage.tables) == (0, 0)
    assert stage.deployment.paused_until == stage.now + PAUSE_MILLIS, "an instance may take tasks and end them all"


async def test_what_ran_and_went_with_its_instance_is_replaced_at_once() -> None:
    stage = await opened()
    (task, *_) = stage.tasks
    await tell(stage, task, "RUNNING", started_at=stage.now)
    await tell(stage, task, "STOPPED", stop_code="HostLost", stopped_reason="it went")
    assert stage.deployment.paused_until == 0


async def test_what_somebody_stopped_counts_for_nothing() -> None:
    stage = await opened()
    (task, *_) = stage.tasks
    await stage.one(i.StopTask("default", task.id, ""))
    await tell(stage, task, "STOPPED", stop_code="UserInitiated", stopped_reason="Task stopped by user")
    assert counts(stage.tables) == (0, 0)


@pytest.mark.parametrize(
    ("reason", "failed"),
    [
        ("Task failed container health checks", 1),
        ("Task failed ELB health checks in (target-group web)", 1),
        ("Scaling activity initiated by (deployment ecs-svc/d1)", 0),
    ],
)
async def test_what_the_service_stopped_has_failed_if_it_was_for_its_health(reason: str, failed: int) -> None:
    stage = await opened()
    (task, *_) = stage.tasks
    await tell(stage, task, "RUNNING", started_at=stage.now)
    await tell(stage, task, "STOPPED", stop_code="ServiceSchedulerInitiated", stopped_reason=reason)
    assert counts(stage.tables) == (failed, 0)


async def test_of_tasks_that_were_started_together_the_delay_grows_once() -> None:
    stage = await opened()
    first = stage.tasks
    stage.now += 1_000
    await stage.run([])
    for task in first:
        await tell(stage, task, "STOPPED", **FAILED_TO_START)
    failed, tries = counts(stage.tables)
    assert (failed, tries) == (len(first), 1)


async def test_one_that_runs_clears_the_delay() -> None:
    stage = await opened()
    (task, *_) = stage.tasks
    stopped_at = stage.now
    await tell(stage, task, "STOPPED", **FAILED_TO_START)
    stage.now += 1_000
    await stage.settle()
    (other, *_) = stage.tasks
    await tell(stage, other, "RUNNING", started_at=stage.now)
    assert (stage.deployment.start_failures, stage.deployment.retry_at) == (0, 0)
    assert stage.deployment.failed_tasks == 1
    assert stopped_at < stage.now


async def test_tasks_of_an_older_deployment_count_for_nothing() -> None:
    stage = await opened()
    (task, *_) = stage.tasks
    await tell(stage, task, "RUNNING", started_at=stage.now)
    await stage.deploy(2)
    await tell(stage, task, "STOPPED", **EXITED)
    assert counts(stage.tables) == (0, 0)
    assert stage.deployment.failed_tasks == 0


async def test_of_a_deployment_that_is_over_only_the_delay_goes_on() -> None:
    stage = await opened()
    (task, *_) = stage.tasks
    over = Deployment(cluster="default", service="web", id="d1", revision="r1", status="SUCCESSFUL", created_at=1)
    await stage.run([], [PutRecord(over)])
    await tell(stage, task, "STOPPED", **FAILED_TO_START)
    assert counts(stage.tables) == (0, 1)
