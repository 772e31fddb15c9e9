"""Programs people run, as tasks: with health checks, and with data that outlives a task on a shared volume."""

import uuid
from collections.abc import Sequence
from typing import Any

import pytest
from shoal.client import Client
from shoal.v1 import task_pb2

from tests.ground import work
from tests.ground.cluster import Cluster
from tests.ground.engine import Engine
from tests.ground.images import DataImage

STOPPED_SECONDS = 45.0

# How each is told to keep a word, and asked for it again.
KEEP = {
    "redis": ("redis-cli", "set", "word", "kept"),
    "postgresql": (
        *("psql", "-h", "/tmp", "-U", "postgres"),
        *("-c", "create table words (word text)", "-c", "insert into words values ('kept')"),
    ),
}
ASK = {
    "redis": ("redis-cli", "get", "word"),
    "postgresql": ("psql", "-h", "/tmp", "-U", "postgres", "-At", "-c", "select word from words"),
}


def definition(name: str, image: DataImage, volume: str) -> dict[str, Any]:
    container = {
        "name": name,
        "image": image.tag.removesuffix(":latest"),
        "memory": 256,
        "stopTimeout": 20,
        "mountPoints": [{"sourceVolume": volume, "containerPath": "/data"}],
        "healthCheck": {"command": ["CMD", *image.check], "interval": 5, "timeout": 5, "retries": 5},
    }
    docker = {"scope": "shared", "autoprovision": True}
    volumes = [{"name": volume, "dockerVolumeConfiguration": docker}]
    return {"family": f"data-{name}", "networkMode": "none", "containerDefinitions": [container], "volumes": volumes}


@pytest.mark.parametrize("name", KEEP)
async def test_data_outlives_the_task(
    cluster: Cluster, engine: Engine, data_images: dict[str, DataImage], name: str
) -> None:
    volume = f"data-{uuid.uuid4().hex}"
    async with cluster.client() as client:
        wanted = await work.register(client, definition(name, data_images[name], volume))
        first = await healthy(client, wanted)
        in_container(engine, first, KEEP[name])
        await stop(client, first)
        second = await healthy(client, wanted)
        assert second.containers[0].runtime_id != first.containers[0].runtime_id
        assert in_container(engine, second, ASK[name]) == "kept"
        await stop(client, second)
    engine.docker("volume", "inspect", volume)  # no task owns it
    engine.docker("rm", "--force", *(each.containers[0].runtime_id for each in (first, second)))
    engine.docker("volume", "rm", volume)


async def healthy(client: Client, wanted: str) -> task_pb2.Task:
    """A new task, once its health check succeeded."""
    ids = await work.run(client, wanted)
    await work.until_all(client, ids, "RUNNING")
    return (await work.until_healthy(client, ids))[ids[0]]


async def stop(client: Client, task: task_pb2.Task) -> None:
    """And it goes in peace."""
    id_ = task.task_arn.rpartition("/")[2]
    await work.stop(client, [id_])
    ended = await work.until_all(client, [id_], "STOPPED", STOPPED_SECONDS)
    assert work.exit_codes(ended) == {id_: 0}


def in_container(engine: Engine, task: task_pb2.Task, command: Sequence[str]) -> str:
    return engine.docker("exec", task.containers[0].runtime_id, *command)
