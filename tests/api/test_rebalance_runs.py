"""A host joins a running scheduler, and gets its part of a service: never fewer healthy tasks than are desired."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any

from shoal.v1 import agent_pb2, rebalance_pb2_grpc, task_pb2
from shoal.v1 import rebalance_pb2 as pb

from tests.api.services import Services
from tests.fakes.agent import SimulatedAgent, now_millis
from tests.fakes.scheduler import Scheduler

HOSTS = {"1a" * 16: "z1", "2b" * 16: "z1", "3c" * 16: "z2", "4d" * 16: "z1"}
CHECK = {"command": ["CMD", "true"]}
CONTAINER = {"name": "app", "image": f"web@sha256:{'0' * 64}", "memory": 64, "healthCheck": CHECK}


def healthy(assignment: agent_pb2.Assignment) -> Sequence[agent_pb2.TaskReport]:
    """At once, until it is told to stop."""
    container = task_pb2.Container(name="app", last_status="RUNNING", health_status="HEALTHY")
    running = agent_pb2.TaskReport(
        task_id=assignment.task_id, last_status="RUNNING", started_at=now_millis(), containers=[container]
    )
    return [running]


def where(scheduler: Scheduler) -> Counter[str]:
    """Zones of the tasks that run and that nobody has asked to stop."""
    tables = scheduler.plane.tables
    tasks = tables.tasks()
    running = [task for task in tasks if (task.last_status, task.desired_status) == ("RUNNING", "RUNNING")]
    return Counter(HOSTS[task.instance] for task in running)


async def join(stack: AsyncExitStack, scheduler: Scheduler, host: str) -> None:
    zone = {"ecs.availability-zone": HOSTS[host]}
    agent = SimulatedAgent(scheduler.channel("agent", host), host, life=healthy, attributes=zone)
    await stack.enter_async_context(agent)


async def moved(scheduler: Scheduler, rebalancing: Any, at_least: int) -> pb.Rebalance:
    """Once it is over; at any time so many tasks run."""
    seen: pb.Rebalance = (await rebalancing.StartRebalance(pb.StartRebalanceRequest(max_parallel=2))).rebalance
    async with asyncio.timeout(30):
        while seen.status == "IN_PROGRESS":
            assert where(scheduler).total() >= at_least
            (seen,) = (await rebalancing.DescribeRebalances(pb.DescribeRebalancesRequest())).rebalances
            await asyncio.sleep(0.01)
    return seen


async def test_a_host_that_joins_gets_its_part(scheduler: Scheduler) -> None:
    first, second, third, _ = HOSTS
    services = Services(scheduler)
    rebalancing = rebalance_pb2_grpc.RebalancingStub(scheduler.channel())
    async with AsyncExitStack() as stack:
        await join(stack, scheduler, first)
        await join(stack, scheduler, second)
        await services.register(containerDefinitions=[CONTAINER])
        await services.create(desiredCount=6, availabilityZoneRebalancing="DISABLED")
        await services.until(lambda found: found["deployments"][0]["rolloutState"] == "COMPLETED")
        assert where(scheduler) == {"z1": 6}
        await join(stack, scheduler, third)
        seen = await moved(scheduler, rebalancing, at_least=6)
        assert (seen.status, seen.status_reason) == ("COMPLETED", "3 of 3 tasks moved")
        assert where(scheduler) == {"z1": 3, "z2": 3}
        assert not scheduler.over_committed()


async def test_full_hosts_are_relieved_where_services_do_not_mind(scheduler: Scheduler) -> None:
    """Of four services, each with a task on both hosts, which are full."""
    first, second, _, third = HOSTS
    services = Services(scheduler)
    rebalancing = rebalance_pb2_grpc.RebalancingStub(scheduler.channel())
    async with AsyncExitStack() as stack:
        await join(stack, scheduler, first)
        await join(stack, scheduler, second)
        await services.register(containerDefinitions=[{**CONTAINER, "cpu": 1024}])
        for name in ("a", "b", "c", "d"):
            await services.create(serviceName=name)
            await services.until(lambda found: found["deployments"][0]["rolloutState"] == "COMPLETED", name)
        await join(stack, scheduler, third)
        seen = await moved(scheduler, rebalancing, at_least=8)
        assert (seen.status, seen.status_reason) == ("COMPLETED", "2 of 2 tasks moved")
        assert len(scheduler.plane.tables.tasks_on(third)) == 2
        assert not scheduler.over_committed()
