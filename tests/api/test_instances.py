"""Container instances, their attributes and their agents through the running server."""

import asyncio
from typing import Any

import grpc
from shoal.v1 import agent_pb2 as pb_agent
from shoal.v1 import container_instance_pb2 as pb
from shoal.v1 import resource_pb2

from tests.api.conftest import INSTANCE
from tests.api.refusals import refused_with
from tests.api.requests import register, run
from tests.fakes.agent import SimulatedAgent
from tests.fakes.scheduler import Scheduler
from tests.ground.waiting import wait_until

SECOND = "2e" * 16


async def listed(scheduler: Scheduler, **fields: Any) -> list[str]:
    answer = await scheduler.cluster.ListContainerInstances(pb.ListContainerInstancesRequest(**fields))
    return [arn.rsplit("/", 1)[1] for arn in answer.container_instance_arns]


async def described(scheduler: Scheduler, *names: str) -> pb.DescribeContainerInstancesResponse:
    request = pb.DescribeContainerInstancesRequest(container_instances=names, include=["TAGS"])
    answer: pb.DescribeContainerInstancesResponse = await scheduler.cluster.DescribeContainerInstances(request)
    return answer


def integer(resources: list[resource_pb2.Resource], name: str) -> int:
    return next(resource.integer_value for resource in resources if resource.name == name)


async def test_is_described_with_what_is_left(scheduler: Scheduler, agent: SimulatedAgent) -> None:
    await register(scheduler)
    await run(scheduler, 2)
    answer = await described(scheduler, INSTANCE, "f" * 32)
    (instance,) = answer.container_instances
    assert (instance.status, instance.agent_connected) == ("ACTIVE", True)
    assert integer(list(instance.registered_resources), "CPU") == 4096
    assert integer(list(instance.remaining_resources), "CPU") == 4096 - 32
    assert instance.version_info.docker_version == "20.10.24"
    assert [failure.reason for failure in answer.failures] == ["MISSING"]


async def test_lists_by_expression_and_status(scheduler: Scheduler, agent: SimulatedAgent) -> None:
    async with SimulatedAgent(scheduler.channel("agent", SECOND), SECOND, attributes={"stack": "prod"}):
        assert await listed(scheduler) == [INSTANCE, SECOND]
        assert await listed(scheduler, filter="attribute:stack == prod") == [SECOND]
        assert await listed(scheduler, filter="not attribute:stack exists and agentConnected == true") == [INSTANCE]
        assert await listed(scheduler, status="DRAINING") == []
    assert await listed(scheduler) == [INSTANCE, SECOND]


async def test_draining_takes_no_new_tasks(scheduler: Scheduler, agent: SimulatedAgent) -> None:
    await register(scheduler)
    request = pb.UpdateContainerInstancesStateRequest(container_instances=[INSTANCE, "x"], status="DRAINING")
    answer = await scheduler.cluster.UpdateContainerInstancesState(request)
    assert [instance.status for instance in answer.container_instances] == ["DRAINING"]
    assert [failure.arn for failure in answer.failures] == ["x"]
    assert [failure.reason for failure in (await run(scheduler)).failures] == ["INSTANCE:DRAINING"]
    request.status = "ACTIVE"
    await scheduler.cluster.UpdateContainerInstancesState(request)
    assert len((await run(scheduler)).tasks) == 1


async def test_one_whose_engine_is_impaired_takes_no_new_tasks(scheduler: Scheduler, agent: SimulatedAgent) -> None:
    await register(scheduler)
    reason = "The container engine does not answer"
    await agent.beat("IMPAIRED", reason)
    await wait_until(lambda: scheduler.plane.tables.health[INSTANCE].is_impaired)
    assert [failure.reason for failure in (await run(scheduler)).failures] == ["INSTANCE:IMPAIRED"]
    sick = await health(scheduler)
    assert (sick.overall_status, sick.details[0].status_reason) == ("IMPAIRED", reason)
    await agent.beat("OK")
    await wait_until(lambda: not scheduler.plane.tables.health[INSTANCE].is_impaired)
    assert len((await run(scheduler)).tasks) == 1
    well = await health(scheduler)
    (check,) = well.details
    assert (well.overall_status, check.type, check.status, check.status_reason) == ("OK", "CONTAINER_RUNTIME", "OK", "")
    assert check.last_status_change >= sick.details[0].last_status_change > 0


async def test_a_session_may_begin_impaired_and_its_health_ends_with_it(scheduler: Scheduler) -> None:
    sick = pb_agent.Heartbeat(engine_status="IMPAIRED")
    async with SimulatedAgent(scheduler.channel("agent", INSTANCE), INSTANCE, engine=sick):
        assert (await health(scheduler)).overall_status == "IMPAIRED"
        tables = scheduler.plane.tables
    await wait_until(lambda: INSTANCE not in tables.sessions)
    assert (await health(scheduler)).overall_status == "INSUFFICIENT_DATA"
    async with SimulatedAgent(scheduler.channel("agent", INSTANCE), INSTANCE, incarnation=2):
        assert (await health(scheduler)).overall_status == "OK"
        await register(scheduler)
        assert len((await run(scheduler)).tasks) == 1


async def health(scheduler: Scheduler) -> pb.ContainerInstanceHealthStatus:
    request = pb.DescribeContainerInstancesRequest(container_instances=[INSTANCE])
    plain = await scheduler.cluster.DescribeContainerInstances(request)
    assert not plain.container_instances[0].HasField("health_status")
    request.include.append("CONTAINER_INSTANCE_HEALTH")
    answer = await scheduler.cluster.DescribeContainerInstances(request)
    found: pb.ContainerInstanceHealthStatus = answer.container_instances[0].health_status
    return found


async def test_deregisters_with_tasks_only_by_force(scheduler: Scheduler, agent: SimulatedAgent) -> None:
    await register(scheduler)
    await run(scheduler)
    request = pb.DeregisterContainerInstanceRequest(container_instance=INSTANCE)
    call = scheduler.cluster.DeregisterContainerInstance(request)
    await refused_with(call, grpc.StatusCode.FAILED_PRECONDITION, "InvalidParameterException")
    request.force = True
    gone = (await scheduler.cluster.DeregisterContainerInstance(request)).container_instance
    assert gone.status == "INACTIVE"
    assert await listed(scheduler) == []
    assert [task.last_status for task in scheduler.plane.tables.tasks()] == ["STOPPED"]
    assert scheduler.over_committed() == []


async def test_attributes_are_put_listed_and_deleted(scheduler: Scheduler, agent: SimulatedAgent) -> None:
    attribute = resource_pb2.Attribute(name="stack", value="prod", target_type="container-instance", target_id=INSTANCE)
    put = await scheduler.cluster.PutAttributes(pb.PutAttributesRequest(attributes=[attribute]))
    assert list(put.attributes) == [attribute]
    request = pb.ListAttributesRequest(target_type="container-instance", attribute_name="stack")
    assert list((await scheduler.cluster.ListAttributes(request)).attributes) == [attribute]
    assert await listed(scheduler, filter="attribute:stack in [prod, test]") == [INSTANCE]
    deleted = resource_pb2.Attribute(name="stack", target_id=INSTANCE)
    await scheduler.cluster.DeleteAttributes(pb.DeleteAttributesRequest(attributes=[deleted]))
    assert list((await scheduler.cluster.ListAttributes(request)).attributes) == []


async def test_is_not_connected_once_its_agent_has_gone(scheduler: Scheduler) -> None:
    async with SimulatedAgent(scheduler.channel("agent", INSTANCE), INSTANCE) as agent:
        agent.call.cancel()
        await scheduler.until_disconnected(INSTANCE)
    (instance,) = (await described(scheduler, INSTANCE)).container_instances
    assert not instance.agent_connected


async def test_one_with_more_submissions_than_a_write_may_touch(scheduler: Scheduler, agent: SimulatedAgent) -> None:
    """It is emptied in several steps, and gone only when it is empty."""
    await register(scheduler)
    await asyncio.gather(*(run(scheduler) for _ in range(200)))
    assert len(scheduler.plane.tables.tasks_on(INSTANCE)) == 200
    request = pb.DeregisterContainerInstanceRequest(container_instance=INSTANCE, force=True)
    gone = (await scheduler.cluster.DeregisterContainerInstance(request)).container_instance
    assert gone.status == "INACTIVE"
    assert {task.last_status for task in scheduler.plane.tables.tasks()} == {"STOPPED"}
    assert scheduler.over_committed() == []
