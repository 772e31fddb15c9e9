"""A host that takes tasks again gets its part of a service: by the witness's word, the replacement first."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from shoal import arn, awsjson
from shoal.client import Client
from shoal.v1 import service_pb2, task_pb2

from tests.ground import work
from tests.ground.fleet import Fleet
from tests.ground.waiting import wait_until

DESIRED = 4
CHECKED: dict[str, Any] = {
    "healthCheck": {"command": ["CMD-SHELL", "true"], "interval": 5},
    "versionConsistency": "disabled",
}


@asynccontextmanager
async def a_service(fleet: Fleet, client: Client, name: str) -> AsyncIterator[None]:
    """Its tasks run and are healthy."""
    document: dict[str, Any] = {
        "serviceName": name,
        "taskDefinition": await work.register(client, fleet.witness.definition(name, **CHECKED)),
        "desiredCount": DESIRED,
        "availabilityZoneRebalancing": "DISABLED",
    }
    message = awsjson.to_message(document, service_pb2.CreateServiceRequest, strict=True)[0]
    await client.services.CreateService(message)
    try:
        await until(client, name, lambda found: found.deployments[0].rollout_state == "COMPLETED", "it is steady")
        yield
    finally:
        await client.services.DeleteService(service_pb2.DeleteServiceRequest(service=name, force=True))
        await until(client, name, lambda found: found.status == "INACTIVE", "its tasks have ended")


async def until(client: Client, name: str, is_so: Callable[[service_pb2.Service], bool], what: str) -> None:
    async def describe() -> service_pb2.Service:
        answer = await client.services.DescribeServices(service_pb2.DescribeServicesRequest(services=[name]))
        return answer.services[0]

    await wait_until(describe, is_so, 60.0, what)


async def tasks_of(client: Client, name: str) -> dict[str, task_pb2.Task]:
    """Those that run, by id."""
    listed = await client.cluster.ListTasks(task_pb2.ListTasksRequest(service_name=name, desired_status="RUNNING"))
    return await work.describe(client, map(arn.short, listed.task_arns))


def on_hosts(fleet: Fleet, tasks: dict[str, task_pb2.Task]) -> list[str]:
    return sorted(fleet.host_of(task.container_instance_arn).name for task in tasks.values())


async def test_a_host_that_takes_tasks_again_gets_its_part(fleet: Fleet) -> None:
    *others, last = fleet.hosts
    async with fleet.cluster.client() as client:
        await fleet.says("drain", last.name)
        try:
            async with a_service(fleet, client, "moved"):
                before = await tasks_of(client, "moved")
                assert on_hosts(fleet, before) == sorted([host.name for host in others] * 2)
                await fleet.says("activate", last.name)
                planned = json.loads(await fleet.says("rebalance", "--plan", "-o", "json"))
                assert [arn.short(move["targetContainerInstanceArn"]) for move in planned["moves"]] == [
                    last.instance_id
                ]
                assert "MOVED" in await fleet.says("rebalance", "--yes", "--wait", "--timeout", "60s")
                after = await tasks_of(client, "moved")
                assert on_hosts(fleet, after).count(last.name) == 1
                assert len(after) == DESIRED
                (moved,) = fleet.witness.runs_of(before.keys() - after.keys()).values()
                (came,) = fleet.witness.runs_of(after.keys() - before.keys()).values()
                assert came[0].began < moved[0].last, "the replacement runs before the task stops"
        finally:
            await asyncio.to_thread(fleet.cluster.shoal, "activate", last.name)
