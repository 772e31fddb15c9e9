"""The containers whose start is measured, which only sleep: by the bare engine, and as tasks of a cluster of ours.

One image, command, memory limit and log for all who start them, so that only the way there differs.
"""

import asyncio
import signal
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiodocker
from aiodocker.containers import DockerContainer
from shoal import arn, awsjson
from shoal.client import Client
from shoal.v1 import task_definition_pb2, task_pb2

from tests.ground.cluster import Cluster
from tests.ground.engine import Engine, make_engine
from tests.ground.images import BUSYBOX, import_busybox

CONCURRENCY = 8  # what the agent starts at once; so does the bare loop
COMMAND = ["sleep", "100000"]
MEMORY_MIB = 6
MEMORY_BYTES = MEMORY_MIB * 1024 * 1024
GRACE_SECONDS = 2
LOG_DRIVER = "json-file"
LOG_OPTIONS = {"max-size": "10m", "max-file": "3"}
POLL_SECONDS = 0.02
TIMEOUT_SECONDS = 300.0


@asynccontextmanager
async def ground() -> AsyncIterator[tuple[Client, aiodocker.Docker, Cluster, Engine]]:
    """An engine with the image, and a cluster of one instance on it; both end with the block, and on SIGTERM."""
    whole = asyncio.current_task()
    assert whole is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, whole.cancel)
    with tempfile.TemporaryDirectory(prefix="shoal-load-") as folder:
        engine = make_engine(Path(folder) / "engine")
        try:
            engine.start()
            import_busybox(engine)
            cluster = Cluster(Path(folder) / "cluster", engine.host, engine)
            try:
                cluster.up()
                async with aiodocker.Docker(url=engine.host) as docker, cluster.client() as client:
                    yield client, docker, cluster, engine
            finally:
                cluster.end()
        finally:
            engine.end()


async def start_bare(docker: aiodocker.Docker, count: int, network: str = "bridge") -> list[DockerContainer]:
    """By the engine alone: create and start, as many at once as the agent does."""
    room = asyncio.Semaphore(CONCURRENCY)
    body: dict[str, Any] = {
        "Image": BUSYBOX,
        "Cmd": COMMAND,
        "HostConfig": {
            "NetworkMode": network,
            "CpuShares": 2,
            "Memory": MEMORY_BYTES,
            "LogConfig": {"Type": LOG_DRIVER, "Config": LOG_OPTIONS},
        },
    }

    async def one() -> DockerContainer:
        async with room:
            container = await docker.containers.create(body)
            await container.start()
            return container

    return await asyncio.gather(*(one() for _ in range(count)))


async def remove(containers: list[DockerContainer]) -> None:
    for container in containers:
        await container.delete(force=True)


async def register(client: Client, family: str, network: str = "bridge") -> None:
    document: dict[str, Any] = {
        "family": family,
        "networkMode": network,
        "containerDefinitions": [
            {
                "name": "main",
                "image": BUSYBOX,
                "command": COMMAND,
                "cpu": 1,
                "memory": MEMORY_MIB,
                "stopTimeout": GRACE_SECONDS,
            }
        ],
    }
    request, _ = awsjson.to_message(document, task_definition_pb2.RegisterTaskDefinitionRequest)
    await client.cluster.RegisterTaskDefinition(request)


async def run(client: Client, family: str, count: int) -> list[str]:
    answer = await client.cluster.RunTask(task_pb2.RunTaskRequest(task_definition=family, count=count))
    assert not answer.failures, answer.failures[0]
    return [arn.short(task.task_arn) for task in answer.tasks]


async def all_run(client: Client, ids: list[str]) -> list[task_pb2.Task]:
    """Asked for seldom enough not to be felt. With their traces."""
    return await _all_are(client, ids, "RUNNING", POLL_SECONDS * min(len(ids), 10), ["TRACE"])


async def all_known_to_run(client: Client, ids: list[str], poll_seconds: float) -> None:
    await _all_are(client, ids, "RUNNING", poll_seconds)


async def stop(client: Client, ids: list[str]) -> None:
    await asyncio.gather(*(client.cluster.StopTask(task_pb2.StopTaskRequest(task=task_id)) for task_id in ids))
    await _all_are(client, ids, "STOPPED", POLL_SECONDS * min(len(ids), 10))


async def _all_are(
    client: Client, ids: list[str], status: str, poll_seconds: float, include: list[str] | None = None
) -> list[task_pb2.Task]:
    request = task_pb2.DescribeTasksRequest(tasks=ids, include=include)
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while True:
            answer = await client.cluster.DescribeTasks(request)
            if all(task.last_status == status for task in answer.tasks):
                return list(answer.tasks)
            ended = [task for task in answer.tasks if task.last_status == "STOPPED" != status]
            assert not ended, ended[0].stopped_reason
            await asyncio.sleep(poll_seconds)
