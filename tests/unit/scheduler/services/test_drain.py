"""A task that requests reach is out of the load balancer before its agent is told to stop it."""

import msgspec
import pytest
from shoal.v1 import agent_pb2
from shoal_scheduler.api.agent_convert import assignment_messages
from shoal_scheduler.control import inputs as i
from shoal_scheduler.control import interruption
from shoal_scheduler.dispatch import _concerns_agent
from shoal_scheduler.model.interruption import Interruption
from shoal_scheduler.model.service import LoadBalancer
from shoal_scheduler.model.task import Task
from shoal_scheduler.model.traffic import TargetGroup
from shoal_scheduler.state.changes import PutInstance
from shoal_scheduler.state.records import PutRecord

from tests.unit.scheduler.plane import instance, report
from tests.unit.scheduler.services.stage import Stage

BALANCED = {"load_balancers": (LoadBalancer("web", "app", 80),)}


@pytest.fixture
async def stage() -> Stage:
    """Two tasks behind a load balancer, both healthy."""
    stage = Stage()
    await stage.open(instance("a"), instance("b"))
    group = TargetGroup(name="web", cluster="default", created_at=0, deregistration_delay=10)
    await stage.run([], [PutRecord(group)])
    await stage.create(2, revision=BALANCED)
    await stage.start()
    for task in stage.tasks:
        await stage.tell_target(task, "healthy")
    assert stage.deployment.status == "SUCCESSFUL"
    return stage


def told(stage: Stage, task: Task) -> agent_pb2.Assignment:
    (message,) = assignment_messages(stage.tables, [task.key], full=False)
    (assignment,) = agent_pb2.SchedulerMessage.FromString(message).assignments.assignments
    return assignment


def now(stage: Stage, task: Task) -> Task:
    found = stage.tables.task(task.key)
    assert found is not None
    return found


async def test_it_runs_on_while_its_requests_end(stage: Stage) -> None:
    await stage.change(desired_count=1)
    (leaving,) = (task for task in stage.tasks if task.desired_status == "STOPPED")
    assert leaving.last_status == "DEACTIVATING"
    assert not _concerns_agent(leaving)
    assert told(stage, leaving).desired_status == "RUNNING"
    assert told(stage, leaving).last_status == "RUNNING"
    assert not told(stage, leaving).stop_code
    await stage.wait(9.9)
    assert now(stage, leaving).last_status == "DEACTIVATING"
    await stage.wait(0.2)
    leaving = now(stage, leaving)
    assert leaving.last_status == "STOPPING"
    assert _concerns_agent(leaving)
    assert told(stage, leaving).desired_status == "STOPPED"
    assert told(stage, leaving).stop_code == "ServiceSchedulerInitiated"


async def test_whoever_asks_it_to_stop(stage: Stage) -> None:
    first, second = stage.tasks
    await stage.one(i.StopTask("default", first.id, "by hand"))
    assert now(stage, first).last_status == "DEACTIVATING"
    host = stage.tables.instances[second.instance]
    going = Interruption(source="operator", noticed_at=stage.now, deadline=stage.now + 30_000, reason="")
    await stage.run([], [PutInstance(msgspec.structs.replace(host, status="DRAINING", interruption=going))])
    await stage.run([], interruption.look(stage.tables, 0.0, stage.context).changes)
    assert now(stage, second).last_status == "DEACTIVATING"


async def test_what_an_agent_says_meanwhile_does_not_bring_it_back(stage: Stage) -> None:
    first, _ = stage.tasks
    await stage.one(i.StopTask("default", first.id, ""))
    await stage.one(report(first, "RUNNING"))
    assert now(stage, first).last_status == "DEACTIVATING"
    await stage.one(report(first, "STOPPED", stop_code="EssentialContainerExited"))
    assert now(stage, first).stop_code == "UserInitiated"


async def test_a_new_leader_comes_to_the_same_end(stage: Stage) -> None:
    first, _ = stage.tasks
    await stage.one(i.StopTask("default", first.id, ""))
    stage.tables = await stage.reloaded()
    await stage.wait(10)
    assert now(stage, first).last_status == "STOPPING"


async def test_what_does_not_run_yet_stops_at_once(stage: Stage) -> None:
    await stage.change(desired_count=3)
    (new,) = (task for task in stage.tasks if task.last_status == "PENDING")
    await stage.one(i.StopTask("default", new.id, ""))
    assert now(stage, new).last_status == "PENDING"
    assert told(stage, new).desired_status == "STOPPED"


async def test_tasks_of_a_deleted_service_drain_as_well(stage: Stage) -> None:
    await stage.change(status="DRAINING", desired_count=0, deleted_at=stage.now)
    assert stage.statuses() == ["DEACTIVATING"] * 2
    await stage.wait(10)
    assert stage.statuses() == ["STOPPING"] * 2


async def test_who_leads_anew_does_not_know_of_targets_and_stops_nothing_for_it(stage: Stage) -> None:
    assert stage.service.is_steady
    told = len(stage.events)
    stage.tables = await stage.reloaded()
    for name in ("a", "b"):
        await stage.one(instance(name, incarnation=2))
    await stage.settle()
    assert stage.statuses() == ["RUNNING"] * 2
    assert stage.service.is_steady
    await stage.deploy(2, revision=BALANCED)
    assert stage.revisions() == {"r1": 2, "r2": 2}  # the old ones are not known to be healthy, and stay
    assert len(stage.events) > told
