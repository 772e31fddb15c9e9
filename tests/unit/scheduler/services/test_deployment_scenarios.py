"""Images that are no good: each deployment ends within its bound, and the old version serves all the while."""

from typing import Any

import pytest
from shoal_scheduler.model.service import (
    DAEMON,
    ROLLBACK_FAILED,
    ROLLBACK_SUCCESSFUL,
    STOPPED,
    SUCCESSFUL,
    CircuitBreaker,
    DeploymentConfiguration,
)

from tests.unit.scheduler.plane import DEFINITION
from tests.unit.scheduler.services.fleet import GOOD, Behaviour, Fleet, revision_of
from tests.unit.scheduler.services.stage import CHECKED

BREAKER = CircuitBreaker(enable=True, rollback=True)
DESIRED = 6

# Without a bound by failures it ends by time: by then it is to be over.
BOUND = 60 * 60

CRASHES = Behaviour(lives=5)
NEVER_HEALTHY = Behaviour(health="UNHEALTHY", checked_after=30)
SAYS_NOTHING = Behaviour()
DOES_NOT_EXIST = Behaviour(starts=lambda _: False)
REGISTRY_DIES = Behaviour(starts=lambda number: number <= 3)


def settings(minimum: int, maximum: int, breaker: CircuitBreaker = BREAKER) -> DeploymentConfiguration:
    return DeploymentConfiguration(
        minimum_healthy_percent=minimum, maximum_percent=maximum, circuit_breaker=breaker, progress_minutes=10
    )


async def running(document: dict[str, Any], configuration: DeploymentConfiguration) -> Fleet:
    """The first deployment is over and well."""
    fleet = Fleet()
    await fleet.begin(DESIRED, GOOD, document=document, configuration=configuration)
    await fleet.until(lambda: fleet.deployment.is_over, 200)
    assert fleet.deployment.status == SUCCESSFUL
    return fleet


async def moved(fleet: Fleet, behaviour: Behaviour) -> int:
    """How long the move to an image that does so took."""
    await fleet.move(2, behaviour)
    return await fleet.until(lambda: fleet.deployment.is_over, BOUND)


BAD = [
    pytest.param(DEFINITION, CRASHES, 90, id="crashes after 5 s"),
    pytest.param(CHECKED, NEVER_HEALTHY, 240, id="never healthy"),
    pytest.param(CHECKED, SAYS_NOTHING, 700, id="health never known"),
    pytest.param(DEFINITION, DOES_NOT_EXIST, 120, id="does not exist"),
    pytest.param(DEFINITION, REGISTRY_DIES, 240, id="registry dies half-way"),
]
PERCENTS = pytest.mark.parametrize(("minimum", "maximum"), [(100, 200), (50, 100), (100, 150), (67, 134)])


@PERCENTS
@pytest.mark.parametrize(("document", "behaviour", "bound"), BAD)
async def test_it_is_rolled_back(
    document: dict[str, Any], behaviour: Behaviour, bound: int, minimum: int, maximum: int
) -> None:
    fleet = await running(document, settings(minimum, maximum))
    took = await moved(fleet, behaviour)
    assert fleet.deployment.status == ROLLBACK_SUCCESSFUL, fleet.deployment
    assert took <= bound
    assert fleet.service.revision == fleet.deployment.rollback_revision == "r1"
    assert {revision_of(task) for task in fleet.tasks} == {"r1"}
    assert len(fleet.healthy()) == DESIRED
    assert fleet.healthy_least >= -(-DESIRED * minimum // 100)
    assert fleet.wanted_most <= DESIRED * maximum // 100
    assert any("rolling back to revision r1" in event for event in fleet.events)


@pytest.mark.parametrize(("document", "behaviour", "bound"), BAD)
async def test_without_rollback_it_fails_and_what_runs_stays(
    document: dict[str, Any], behaviour: Behaviour, bound: int
) -> None:
    fleet = await running(document, settings(100, 200, CircuitBreaker(enable=True)))
    took = await moved(fleet, behaviour)
    assert (fleet.deployment.status, fleet.deployment.has_failed) == (STOPPED, True)
    assert took <= bound
    launches = len(fleet.tables.launches)
    for _ in range(60):
        await fleet.second()
    assert len(fleet.tables.launches) == launches
    assert fleet.healthy_least >= DESIRED


@pytest.mark.parametrize(("document", "behaviour", "bound"), BAD)
async def test_the_first_one_of_a_service_fails(document: dict[str, Any], behaviour: Behaviour, bound: int) -> None:
    fleet = Fleet()
    await fleet.begin(DESIRED, behaviour, document=document, configuration=settings(100, 200))
    await fleet.until(lambda: fleet.deployment.is_over, bound)
    assert (fleet.deployment.status, fleet.deployment.is_halted) == (STOPPED, True)
    assert "nothing to go back to" in fleet.deployment.reason


@pytest.mark.parametrize(("document", "behaviour", "_bound"), BAD)
async def test_with_the_circuit_breaker_off_it_ends_by_time_and_the_service_tries_on(
    document: dict[str, Any], behaviour: Behaviour, _bound: int
) -> None:
    fleet = await running(document, settings(100, 200, CircuitBreaker()))
    took = await moved(fleet, behaviour)
    assert (fleet.deployment.status, fleet.deployment.has_failed, fleet.deployment.is_halted) == (STOPPED, True, False)
    assert took <= 20 * 60
    assert fleet.healthy_least >= DESIRED
    fleet.behaviours["r2"] = GOOD
    await fleet.until(lambda: [revision_of(task) for task in fleet.healthy()] == ["r2"] * DESIRED, 20 * 60)


async def test_a_rollback_that_finds_no_registry_either_fails_and_the_old_version_serves() -> None:
    fleet = await running(DEFINITION, settings(50, 100))
    fleet.behaviours["r1"] = DOES_NOT_EXIST
    await moved(fleet, REGISTRY_DIES)
    assert (fleet.deployment.status, fleet.deployment.is_halted) == (ROLLBACK_FAILED, False)
    assert fleet.healthy_least >= DESIRED // 2
    fleet.behaviours["r1"] = GOOD
    await fleet.until(lambda: [revision_of(task) for task in fleet.healthy()] == ["r1"] * DESIRED, 20 * 60)


@PERCENTS
async def test_a_good_one_is_successful(minimum: int, maximum: int) -> None:
    fleet = await running(DEFINITION, settings(minimum, maximum))
    await moved(fleet, GOOD)
    assert fleet.deployment.status == SUCCESSFUL
    assert {revision_of(task) for task in fleet.tasks} == {"r2"}
    assert fleet.healthy_least >= -(-DESIRED * minimum // 100)
    assert fleet.revision("r2").images == (("app", "busybox@sha256:r2"),)
    launched = {task.launch.service.images for task in fleet.tasks if task.launch.service is not None}
    assert launched == {(), fleet.revision("r2").images}


@pytest.mark.parametrize(
    ("document", "behaviour", "bound"), [each for each in BAD if each.id != "registry dies half-way"]
)
async def test_of_a_daemon_it_is_rolled_back(document: dict[str, Any], behaviour: Behaviour, bound: int) -> None:
    fleet = Fleet()
    await fleet.begin(0, GOOD, document=document, configuration=settings(50, 100), scheduling_strategy=DAEMON)
    await fleet.until(lambda: fleet.deployment.is_over, 400)
    assert (fleet.deployment.status, len(fleet.healthy())) == (SUCCESSFUL, 3)
    took = await moved(fleet, behaviour)
    assert fleet.deployment.status == ROLLBACK_SUCCESSFUL, fleet.deployment
    assert took <= bound
    assert fleet.healthy_least >= 2
    assert [revision_of(task) for task in fleet.healthy()] == ["r1"] * 3


async def test_it_is_said_that_no_more_tasks_are_started_of_what_failed() -> None:
    fleet = Fleet()
    await fleet.begin(DESIRED, CRASHES, document=DEFINITION, configuration=settings(100, 200))
    await fleet.until(lambda: fleet.deployment.is_over and not fleet.tasks, 200)
    for _ in range(20):
        await fleet.second()
    assert not fleet.tasks
    assert sum("starts no more tasks" in event for event in fleet.events) == 1


async def test_what_ends_after_a_failure_is_replaced_by_what_did_well_before() -> None:
    fleet = await running(DEFINITION, settings(100, 200, CircuitBreaker(enable=True)))
    await moved(fleet, REGISTRY_DIES)
    for number in range(DESIRED):
        await fleet.end([task for task in fleet.tasks if task.last_status == "RUNNING"][number])
        await fleet.until(lambda: len(fleet.healthy()) == len(fleet.tasks) == DESIRED, 120)
    assert (fleet.deployment.status, fleet.service.revision) == (STOPPED, "r2")
    assert "r1" in {revision_of(task) for task in fleet.tasks}


async def test_a_rollback_stops_no_healthy_task_of_its_revision() -> None:
    fleet = await running(DEFINITION, settings(100, 200))
    old = {task.id for task in fleet.tasks}
    await moved(fleet, CRASHES)
    assert {task.id for task in fleet.tasks} == old
    assert not fleet.stopped_healthy
