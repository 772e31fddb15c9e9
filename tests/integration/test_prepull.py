"""Images pulled ahead of their tasks by a real agent on a real engine, and what the cluster then knows."""

import asyncio
import json
import os
import uuid
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest
from shoal.client import Client
from shoal.v1 import container_instance_pb2, image_pb2

from tests.ground import pushed, work
from tests.ground.cluster import Cluster
from tests.ground.engine import Engine
from tests.ground.registry import Registry, registry
from tests.ground.waiting import wait_until


@pytest.fixture
async def source() -> AsyncIterator[Registry]:
    async with registry() as made:
        yield made


@pytest.fixture
def name(cluster: Cluster) -> Any:
    """Of an image of this test's own, which is not on the engine afterwards."""
    repository = f"ahead-{uuid.uuid4().hex[:12]}"
    yield f"{repository}:1"
    assert cluster.engine is not None
    for line in cluster.engine.docker("images", "--format", "{{.Repository}}:{{.Tag}}").splitlines():
        if repository in line:
            cluster.engine.docker("rmi", "--force", line)


async def held(client: Client) -> list[image_pb2.HeldImage]:
    instances = await client.cluster.ListContainerInstances(container_instance_pb2.ListContainerInstancesRequest())
    described = await client.cluster.DescribeContainerInstances(
        container_instance_pb2.DescribeContainerInstancesRequest(
            container_instances=instances.container_instance_arns, include=["IMAGES"]
        )
    )
    return [image for instance in described.container_instances for image in instance.images]


async def is_held(client: Client, image: str) -> bool:
    return any(image in each.image_tags for each in await held(client))


async def test_an_image_is_there_before_its_task_and_the_cluster_knows(
    cluster: Cluster, source: Registry, name: str
) -> None:
    source.push(name, b"content")
    image = source.image(name)
    async with cluster.client() as client:
        done = await _prepull(cluster, image, "--wait", "-o", "json")
        (pulled,) = json.loads(done.stdout)["pulls"]
        assert (done.returncode, pulled["status"]) == (0, "PULLED")
        look: Any = partial(is_held, client, image)
        await wait_until(look, bool, 30.0, "the image is reported")
        (known,) = [each for each in await held(client) if image in each.image_tags]
        assert known.image_size_in_bytes > 0 and known.image_digests[0].startswith(image.rpartition(":")[0])
        again = await _prepull(cluster, image, "--wait", "-o", "json")
        assert json.loads(again.stdout)["pulls"][0]["status"] == "PRESENT"

        ids = await work.run(client, await work.register(client, work.definition("ahead", ["/content"], image=image)))
        await work.until_all(client, ids, "STOPPED")
        assert source.pulls[name] == 1
        (instance,) = cluster.shoal("instances", "-o", "name").stdout.split()
        assert image in cluster.shoal("instances", "describe", instance).stdout


async def test_from_the_cluster_s_own_registry(cluster: Cluster, engine: Engine, busybox_image: str, name: str) -> None:
    """With a token that the agent asks for, as for a task."""
    image = pushed.push(cluster, engine, busybox_image, name)
    done = await _prepull(cluster, image, "--wait", "-o", "json")
    assert [each["status"] for each in json.loads(done.stdout)["pulls"]] == ["PULLED"]


async def test_a_failure_is_said_in_the_engine_s_words(cluster: Cluster, source: Registry, name: str) -> None:
    failed = await _prepull(cluster, source.image(name), "--wait")
    assert failed.returncode == 1
    assert "manifest" in failed.stdout and "could not pull" in failed.stderr


async def test_who_leaves_ends_the_pull(cluster: Cluster, source: Registry, name: str) -> None:
    source.push(name, os.urandom(500_000))
    source.stalls = True
    async with cluster.client() as client:
        request = image_pb2.PullImageRequest(image=source.image(name))
        waiting = asyncio.create_task(_until_over(client, request))
        await wait_until(lambda: source.stalled, bool, 30.0, "the pull is under way")
        waiting.cancel()
        given_up = f"pull given up image={request.image}"
        await wait_until(lambda: cluster.log("agent"), lambda log: given_up in log, 30.0, "the pull has ended")
        # The engine, too, has begun anew: it would share what was under way.
        source.stalls = False
        done = await _prepull(cluster, source.image(name), "--wait")
        assert done.returncode == 0


async def _until_over(client: Client, request: image_pb2.PullImageRequest) -> None:
    async for _ in client.cluster.PullImage(request):
        pass


async def _prepull(cluster: Cluster, *arguments: str) -> Any:
    """In a thread: the registry is in this process."""
    return await asyncio.to_thread(cluster.shoal, "image", "prepull", *arguments, check=False)
