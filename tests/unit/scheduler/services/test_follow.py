"""What the end of a task counts, in the very step in which it ends."""

from typing import Any

import pytest
from shoal_scheduler.control import inputs as i
from shoal_scheduler.model.service import Deployment
from shoal_scheduler.state.records import PutRecord
from shoal_scheduler.state.tables import Tables

from tests.unit.scheduler.services.plane import WEB, ServicePlane

FAILED_TO_START = {"stop_code": "TaskFailedToStart", "stopped_reason": "CannotPullContainerError: gone"}
EXITED = {"stop_code": "EssentialContainerExited", "stopped_reason": "Essential container in task exited"}


async def opened(desired: int = 4) -> ServicePlane:
    plane = ServicePlane()
    await plane.open(desired)
    # As if its digests were known, so that all its tasks start.
    await plane.settle()
    return plane


def counts(tables: Tables) -> tuple[int, int]:
    deployment = tables.records.get(Deployment, *WEB, "d1")
    assert deployment is not None
    return deployment.failed_tasks, deployment.start_failures


async def test_who_never_ran_has_failed_and_delays_the_next_one() -> None:
    plane = await opened()
    (task, *_) = plane.live()
    await plane.tell([task], "STOPPED", **FAILED_TO_START)
    assert counts(plane.tables) == (1, 1)
    assert plane.deployment.retry_at == plane.now
    assert counts(await plane.reloaded()) == (1, 1)


@pytest.mark.parametrize("ends", [EXITED, {"stop_code": "", "stopped_reason": ""}])
async def test_who_ran_and_ended_by_itself_has_failed_and_delays_nothing(ends: dict[str, Any]) -> None:
    plane = await opened()
    (task, *_) = plane.live()
    await plane.tell([task], "RUNNING")
    await plane.tell([task], "STOPPED", **ends)
    assert counts(plane.tables) == (1, 0)


@pytest.mark.parametrize("code", ["InfrastructureHealth", "HostLost", "SpotInterruption", "TerminationNotice"])
async def test_what_goes_with_its_instance_counts_for_nothing(code: str) -> None:
    plane = await opened()
    (task, *_) = plane.live()
    await plane.tell([task], "STOPPED", stop_code=code, stopped_reason="it went")
    assert counts(plane.tables) == (0, 0)


async def test_what_somebody_stopped_counts_for_nothing() -> None:
    plane = await opened()
    (task, *_) = plane.live()
    await plane.one(i.StopTask("default", task.id, ""))
    await plane.tell([task], "STOPPED", stop_code="UserInitiated", stopped_reason="Task stopped by user")
    assert counts(plane.tables) == (0, 0)


@pytest.mark.parametrize(
    ("reason", "failed"),
    [
        ("Task failed container health checks", 1),
        ("Task failed ELB health checks in (target-group web)", 1),
        ("Scaling activity initiated by (deployment ecs-svc/d1)", 0),
    ],
)
async def test_what_the_service_stopped_has_failed_if_it_was_for_its_health(reason: str, failed: int) -> None:
    plane = await opened()
    (task, *_) = plane.live()
    await plane.tell([task], "RUNNING")
    await plane.tell([task], "STOPPED", stop_code="ServiceSchedulerInitiated", stopped_reason=reason)
    assert counts(plane.tables) == (failed, 0)


async def test_of_tasks_that_were_started_together_the_delay_grows_once() -> None:
    plane = await opened()
    first = plane.live()
    plane.now += 1_000
    await plane.run([])
    for task in first:
        await plane.tell([task], "STOPPED", **FAILED_TO_START)
    failed, tries = counts(plane.tables)
    assert (failed, tries) == (len(first), 1)


async def test_one_that_runs_clears_the_delay() -> None:
    plane = await opened()
    (task, *_) = plane.live()
    stopped_at = plane.now
    await plane.tell([task], "STOPPED", **FAILED_TO_START)
    plane.now += 1_000
    await plane.settle()
    (other, *_) = plane.live()
    await plane.tell([other], "RUNNING")
    assert (plane.deployment.start_failures, plane.deployment.retry_at) == (0, 0)
    assert plane.deployment.failed_tasks == 1
    assert stopped_at < plane.now


async def test_tasks_of_an_older_deployment_count_for_nothing() -> None:
    plane = await opened()
    (task, *_) = plane.live()
    await plane.tell([task], "RUNNING")
    await plane.deploy()
    await plane.tell([task], "STOPPED", **EXITED)
    assert counts(plane.tables) == (0, 0)
    assert plane.deployment.failed_tasks == 0


async def test_of_a_deployment_that_is_over_only_the_delay_goes_on() -> None:
    plane = await opened()
    (task, *_) = plane.live()
    over = Deployment(cluster="default", service="web", id="d1", revision="r1", status="SUCCESSFUL", created_at=1)
    await plane.run([], [PutRecord(over)])
    await plane.tell([task], "STOPPED", **FAILED_TO_START)
    assert counts(plane.tables) == (0, 1)
