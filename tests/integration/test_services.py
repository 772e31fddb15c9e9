"""Services with real containers: kept running, changed, and the same bytes in each of their tasks."""

import asyncio
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from shoal import arn
from shoal.client import Client
from shoal.v1 import service_pb2, task_pb2

from tests.ground import work
from tests.ground.cluster import Cluster
from tests.ground.engine import Engine
from tests.ground.registry import registry
from tests.ground.waiting import wait_until

BUSYBOX = Path(shutil.which("busybox") or "busybox is not installed")

# To be told of the end, and to start another: so much more than the engine takes may a loaded machine need.
REPLACED_SECONDS = 15.0
PATIENCE_SECONDS = 60.0


def checked(command: str) -> dict[str, Any]:
    """Healthy after its first check, and not only after 40 seconds."""
    return {"healthCheck": {"command": ["CMD", command, "true"], "interval": 5}, "stopTimeout": 1}


async def create(client: Client, name: str, document: dict[str, Any], count: int) -> None:
    request = service_pb2.CreateServiceRequest(
        service_name=name, task_definition=await work.register(client, document), desired_count=count
    )
    await client.services.CreateService(request)


async def described(client: Client, name: str) -> service_pb2.Service:
    answer = await client.services.DescribeServices(service_pb2.DescribeServicesRequest(services=[name]))
    (service,) = answer.services
    return service


async def tasks_of(client: Client, name: str) -> dict[str, task_pb2.Task]:
    """Those that are wanted, by id."""
    answer = await client.cluster.ListTasks(task_pb2.ListTasksRequest(service_name=name, desired_status="RUNNING"))
    return await work.describe(client, map(arn.short, answer.task_arns))


async def until_service(client: Client, name: str, accept: Callable[[service_pb2.Service], bool]) -> None:
    async def look() -> service_pb2.Service:
        return await described(client, name)

    await wait_until(look, accept, PATIENCE_SECONDS)


async def until_tasks(client: Client, name: str, accept: Callable[[dict[str, task_pb2.Task]], bool]) -> list[str]:
    """Their ids."""

    async def look() -> dict[str, task_pb2.Task]:
        return await tasks_of(client, name)

    found = await wait_until(look, accept, PATIENCE_SECONDS)
    return list(found)


async def until_deployed(client: Client, name: str, count: int) -> dict[str, task_pb2.Task]:
    """One deployment is left, and so many tasks run."""

    def is_there(service: service_pb2.Service) -> bool:
        (first, *others) = service.deployments
        return not others and first.rollout_state == "COMPLETED" and service.running_count == count

    await until_service(client, name, is_there)
    return await tasks_of(client, name)


async def delete(client: Client, name: str) -> None:
    await client.services.DeleteService(service_pb2.DeleteServiceRequest(service=name, force=True))
    await until_service(client, name, lambda it: it.status == "INACTIVE")


async def test_a_killed_container_is_replaced_and_what_is_too_much_is_stopped(cluster: Cluster, engine: Engine) -> None:
    async with cluster.client() as client:
        await create(client, "kept", work.definition("kept", ["sleep", "600"], **checked("/bin/busybox")), 2)
        before = await until_deployed(client, "kept", 2)
        killed, other = before
        since = time.monotonic()
        await asyncio.to_thread(engine.docker, "kill", "--signal", "KILL", before[killed].containers[0].runtime_id)
        await until_tasks(client, "kept", lambda now: killed not in now and runs(now, 2))
        assert time.monotonic() - since < REPLACED_SECONDS
        await client.services.UpdateService(service_pb2.UpdateServiceRequest(service="kept", desired_count=1))
        (left,) = await until_tasks(client, "kept", lambda now: len(now) == 1)
        assert left == other  # the other one is the younger
        await delete(client, "kept")
        assert not await tasks_of(client, "kept")


async def test_all_tasks_of_a_revision_run_the_same_bytes_whatever_the_tag_means_by_then(cluster: Cluster) -> None:
    async with cluster.client() as client, registry() as server:
        first = server.push("web:1", BUSYBOX.read_bytes(), "busybox", ["RELEASE=first"])
        command = ["/busybox", "sleep", "600"]
        document = work.definition("pinned", command, image=server.image("web:1"), **checked("/busybox"))
        await create(client, "pinned", document, 2)
        assert digests(await until_deployed(client, "pinned", 2)) == {first}

        second = server.push("web:1", BUSYBOX.read_bytes(), "busybox", ["RELEASE=second"])
        await client.services.UpdateService(service_pb2.UpdateServiceRequest(service="pinned", desired_count=3))
        assert digests(await until_deployed(client, "pinned", 3)) == {first}

        forced = service_pb2.UpdateServiceRequest(service="pinned", force_new_deployment=True)
        await client.services.UpdateService(forced)
        await until_service(client, "pinned", lambda it: len(it.deployments) == 2)
        assert digests(await until_deployed(client, "pinned", 3)) == {second}
        await delete(client, "pinned")


def runs(tasks: dict[str, task_pb2.Task], count: int) -> bool:
    return [task.last_status for task in tasks.values()] == ["RUNNING"] * count


def digests(tasks: dict[str, task_pb2.Task]) -> set[str]:
    return {task.containers[0].image_digest for task in tasks.values()}
