"""An image on one of three hosts: tasks of it go there, and nowhere else unless they are told to."""

import asyncio
import json

from shoal.client import Client
from shoal.v1 import container_instance_pb2

from tests.ground import pushed, work
from tests.ground.engine import Engine
from tests.ground.fleet import Fleet
from tests.ground.waiting import wait_until


async def test_tasks_go_where_their_image_was_pulled_ahead(fleet: Fleet, engine: Engine, busybox_image: str) -> None:
    image = await asyncio.to_thread(pushed.push, fleet.cluster, engine, busybox_image, "team/ahead:v1")
    chosen = fleet.hosts[1]
    (pulled,) = json.loads(await fleet.says("image", "prepull", image, chosen.name, "--wait", "-o", "json"))["pulls"]
    assert (pulled["ec2InstanceId"], pulled["status"]) == (chosen.name, "PULLED")
    async with fleet.cluster.client() as client:

        async def holders() -> set[str]:
            return await hosts_with(fleet, client, image)

        def is_chosen(found: set[str]) -> bool:
            return found == {chosen.name}

        await wait_until(holders, is_chosen, 30.0, "the image is reported by that host alone")
        definition = await work.register(client, work.definition("ahead", ("sleep", "600"), image=image))
        said = await fleet.says("run", definition, "--count", "3", "--dry-run")
        assert "image: has its image already" in said
        tasks = await work.run(client, definition, 3)
        found = (await work.until_all(client, tasks, "RUNNING", 60.0)).values()
        assert {fleet.host_of(task.container_instance_arn) for task in found} == {chosen}
        await work.stop(client, tasks)
        await work.until_all(client, tasks, "STOPPED", 60.0)
        # The user's strategy comes before it, and then all have it.
        tasks = await fleet.spread(client, definition, 3)
        spread = (await work.describe(client, tasks)).values()
        assert {fleet.host_of(task.container_instance_arn) for task in spread} == set(fleet.hosts)
        await work.stop(client, tasks)


async def hosts_with(fleet: Fleet, client: Client, image: str) -> set[str]:
    request = container_instance_pb2.DescribeContainerInstancesRequest(
        container_instances=[host.instance_id for host in fleet.hosts], include=["IMAGES"]
    )
    described = (await client.cluster.DescribeContainerInstances(request)).container_instances
    return {each.ec2_instance_id for each in described if any(image in held.image_tags for held in each.images)}
