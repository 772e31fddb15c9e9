"""What is asked of services, step by step: what is kept of them and for how long, and what ends what."""

import pytest
from shoal_scheduler.control.services import inputs as i
from shoal_scheduler.control.services.delete import KEPT_MILLIS
from shoal_scheduler.control.services.new_deployment import SUPERSEDED
from shoal_scheduler.model.refusal import Refused
from shoal_scheduler.model.service import (
    IN_PROGRESS,
    INACTIVE,
    ROLLBACK_IN_PROGRESS,
    ROLLBACK_SUCCESSFUL,
    STOPPED,
    SUCCESSFUL,
    Deployment,
    Service,
    ServiceEvents,
    ServiceRevision,
)

from tests.unit.scheduler.plane import instance
from tests.unit.scheduler.services.stage import KEY, Stage

FORCED = i.UpdateService(*KEY, is_forced=True)


def wanted(desired: int = 0) -> i.CreateService:
    service = Service(cluster="default", name="web", created_at=0, desired_count=desired, revision="", deployment="")
    revision = ServiceRevision(
        cluster="default", service="web", id="", created_at=0, definition="web:1", is_resolved=True
    )
    return i.CreateService(service, revision)


@pytest.fixture
async def stage() -> Stage:
    made = Stage()
    await made.open(instance("a"))
    return made


async def update(stage: Stage, request: i.UpdateService) -> None:
    await stage.one(request)
    await stage.settle()


async def test_a_deleted_service_is_forgotten_in_the_end(stage: Stage) -> None:
    await stage.one(wanted())
    await stage.settle()
    for _ in range(30):
        await update(stage, FORCED)
    await stage.one(i.DeleteService(*KEY))
    await stage.settle()
    assert stage.service.status == INACTIVE
    await stage.wait(KEPT_MILLIS / 1000 - 1)
    assert stage.service.status == INACTIVE
    await stage.wait(2)
    for kind in (Service, ServiceRevision, Deployment, ServiceEvents):
        assert list(stage.tables.records.all(kind)) == []
    assert stage.tables.services.next_due() is None
    assert list((await stage.reloaded()).records.all(Service)) == []


async def test_it_drains_while_its_tasks_end(stage: Stage) -> None:
    await stage.one(wanted(2))
    await stage.settle()
    await stage.start()
    await stage.one(i.DeleteService(*KEY, force=True))
    await stage.settle()
    assert (stage.service.status, stage.deployment.status) == ("DRAINING", STOPPED)
    assert len(stage.wanted) == 0
    with pytest.raises(Refused, match="still DRAINING"):
        await stage.one(wanted(2))
    await stage.end()
    assert stage.service.status == INACTIVE
    await stage.one(wanted(1))
    await stage.settle()
    assert (stage.service.status, len(stage.wanted)) == ("ACTIVE", 1)


async def test_protection_ends_with_the_service(stage: Stage) -> None:
    await stage.one(wanted(2))
    await stage.settle()
    await stage.start()
    await stage.one(i.ProtectTasks("default", tuple(task.id for task in stage.tasks), 5))
    await stage.one(i.UpdateService(*KEY, service={"desired_count": 0}))
    await stage.settle()
    assert len(stage.wanted) == 2
    await stage.one(i.DeleteService(*KEY, force=True))
    await stage.settle()
    assert len(stage.wanted) == 0


async def test_a_newer_deployment_gives_up_the_one_before(stage: Stage) -> None:
    await stage.one(wanted(1))
    await stage.settle()
    first = stage.deployment
    await update(stage, FORCED)
    before = stage.tables.records.get(Deployment, *KEY, first.id)
    assert before is not None
    assert (before.status, before.reason, before.stopped_at) == (STOPPED, SUPERSEDED, stage.now)
    assert stage.deployment.sources == (first.revision,)


async def test_a_deployment_is_stopped_where_it_is_or_goes_back(stage: Stage) -> None:
    await stage.one(wanted(1))
    await stage.settle()
    await stage.start()
    await stage.wait(41)
    assert stage.deployment.status == SUCCESSFUL
    good = stage.service.revision
    await update(stage, FORCED)
    assert stage.deployment.status == IN_PROGRESS
    await stage.one(i.StopServiceDeployment(*KEY, stage.deployment.id, "ROLLBACK"))
    await stage.settle()
    assert (stage.deployment.status, stage.service.revision) == (ROLLBACK_IN_PROGRESS, good)
    # Once more is no other answer, and what is rolled back already is not stopped.
    await stage.one(i.StopServiceDeployment(*KEY, stage.deployment.id, "ROLLBACK"))
    with pytest.raises(Refused, match="cannot be stopped"):
        await stage.one(i.StopServiceDeployment(*KEY, stage.deployment.id, "ABORT"))
    await stage.end()
    await stage.wait(41)
    assert stage.deployment.status == ROLLBACK_SUCCESSFUL
    await update(stage, FORCED)
    await stage.one(i.StopServiceDeployment(*KEY, stage.deployment.id, "ABORT"))
    await stage.settle()
    assert stage.deployment.status == STOPPED
    with pytest.raises(Refused, match="cannot be stopped"):
        await stage.one(i.StopServiceDeployment(*KEY, stage.deployment.id, "ABORT"))


async def test_the_same_token_changes_it_once(stage: Stage) -> None:
    await stage.one(wanted(1))
    request = i.UpdateService(*KEY, service={"desired_count": 2}, client_token="one", request_digest="a")
    await stage.one(request)
    await stage.one(i.UpdateService(*KEY, service={"desired_count": 3}))
    await stage.one(request)
    assert stage.service.desired_count == 3
    with pytest.raises(Refused, match="clientToken"):
        await stage.one(i.UpdateService(*KEY, client_token="one", request_digest="b"))


async def test_what_changes_nothing_writes_nothing(stage: Stage) -> None:
    await stage.one(wanted(1))
    await stage.settle()
    before = stage.service
    await stage.one(i.UpdateService(*KEY, service={"desired_count": 1}, client_token="x", request_digest="y"))
    assert stage.service is before
