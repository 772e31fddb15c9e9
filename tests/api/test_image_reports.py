"""Agents report the images of their engines; instances are described with them, and tasks go where theirs is."""

import asyncio
import logging
from functools import partial
from typing import Any

import pytest
from shoal.v1 import agent_pb2 as pb_agent
from shoal.v1 import container_instance_pb2, image_pb2, placement_pb2, task_pb2

from tests.api.conftest import INSTANCE
from tests.api.requests import register, run
from tests.fakes.agent import SimulatedAgent
from tests.fakes.scheduler import Scheduler
from tests.ground.waiting import wait_until

SECOND, THIRD = "2e" * 16, "3e" * 16


def held(number: int, *tags: str, **more: Any) -> image_pb2.HeldImage:
    layers = {"layers": [number], "layer_sizes_in_bytes": [100 * 2**20], **more}
    return image_pb2.HeldImage(image_id=f"sha256:{number:064x}", image_tags=tags, image_size_in_bytes=7, **layers)


async def report(agent: SimulatedAgent, *images: image_pb2.HeldImage, full: bool = True, removed: Any = ()) -> None:
    said = image_pb2.ImageReport(full=full, images=images, removed_image_ids=removed)
    await agent.say(pb_agent.AgentMessage(images=said))


async def tags_of(scheduler: Scheduler, instance: str = INSTANCE) -> list[str]:
    request = container_instance_pb2.DescribeContainerInstancesRequest(
        container_instances=[instance], include=["IMAGES"]
    )
    (described,) = (await scheduler.cluster.DescribeContainerInstances(request)).container_instances
    return sorted(tag for image in described.images for tag in image.image_tags)


async def until_tags(scheduler: Scheduler, *tags: str, instance: str = INSTANCE) -> None:
    look: Any = partial(tags_of, scheduler, instance)
    await wait_until(look, lambda known: known == sorted(tags))


async def test_a_report_then_changes_then_nothing_without_a_session(
    scheduler: Scheduler, agent: SimulatedAgent
) -> None:
    await report(agent, held(1, "web:1"), held(2, "db:1"))
    await until_tags(scheduler, "db:1", "web:1")
    await report(agent, held(1, "web:1", "web:2"), held(3, "new:1"), full=False, removed=[held(2).image_id])
    await until_tags(scheduler, "new:1", "web:1", "web:2")
    await report(agent, held(4, "only:1"))
    await until_tags(scheduler, "only:1")
    async with SimulatedAgent(scheduler.channel("agent", SECOND), SECOND) as other:
        await report(other, held(4, "only:1"))
        await until_tags(scheduler, "only:1", instance=SECOND)
    await until_tags(scheduler, instance=SECOND)
    assert await tags_of(scheduler) == ["only:1"]


async def test_they_are_described_only_if_that_is_asked_for(scheduler: Scheduler, agent: SimulatedAgent) -> None:
    await report(agent, held(1, "web:1"))
    await until_tags(scheduler, "web:1")
    request = container_instance_pb2.DescribeContainerInstancesRequest(container_instances=[INSTANCE])
    (described,) = (await scheduler.cluster.DescribeContainerInstances(request)).container_instances
    assert not described.images


@pytest.mark.parametrize(
    ("image", "complaint"),
    [
        (held(1, "bad\n"), "imageTags"),
        (held(1, *[f"t:{number}" for number in range(21)]), "imageTags has 21"),
        (held(1, layer_sizes_in_bytes=[]), "layerSizesInBytes"),
        (held(1, layer_sizes_in_bytes=[-1]), "size"),
        (held(1, layers=range(201), layer_sizes_in_bytes=[1] * 201), "layers has 201"),
        (image_pb2.HeldImage(), "imageId"),
    ],
)
async def test_a_report_that_cannot_be_is_said_to_the_log_and_ends_no_session(
    scheduler: Scheduler,
    agent: SimulatedAgent,
    caplog: pytest.LogCaptureFixture,
    image: image_pb2.HeldImage,
    complaint: str,
) -> None:
    caplog.set_level(logging.WARNING)
    await report(agent, image, held(2, "other:1"))
    await report(agent, held(3, "web:1"), full=False)
    await until_tags(scheduler, "web:1")
    assert complaint in caplog.text


async def test_no_more_images_of_an_instance_are_kept_than_a_report_may_have(
    scheduler: Scheduler, agent: SimulatedAgent
) -> None:
    await report(agent, *[held(number, f"web:{number}") for number in range(200)])
    await report(agent, held(200, "web:200"), full=False)
    await report(agent, held(201, "web:201"), full=False, removed=[held(0).image_id])
    await until_tags(scheduler, *[f"web:{number}" for number in (*range(1, 200), 201)])


async def test_a_task_goes_where_its_image_is_and_explain_says_so(scheduler: Scheduler, agent: SimulatedAgent) -> None:
    await register(scheduler)
    async with (
        SimulatedAgent(scheduler.channel("agent", SECOND), SECOND) as second,
        SimulatedAgent(scheduler.channel("agent", THIRD), THIRD) as third,
    ):
        await report(second, held(1, "busybox:latest"))
        await report(third, held(2, "other:1", layers=[1], layer_sizes_in_bytes=[100 * 2**20]))
        await until_tags(scheduler, "busybox:latest", instance=SECOND)
        await until_tags(scheduler, "other:1", instance=THIRD)
        (task,) = (await run(scheduler)).tasks
        assert task.container_instance_arn.endswith(SECOND)
        explained = await _explained(scheduler)
        (choice,) = explained.placements
        (rank,) = choice.strategies
        assert (rank.type, rank.value, rank.equal_count) == ("image", "has its image already", 1)
        # Who has all of its layers is the next.
        await report(second)
        await report(agent, held(1, "busybox:latest", layers=[1, 2], layer_sizes_in_bytes=[100 * 2**20, 2**20]))
        await until_tags(scheduler, instance=SECOND)
        await until_tags(scheduler, "busybox:latest")
        await _drain(scheduler, INSTANCE)
        (choice,) = (await _explained(scheduler)).placements
        (rank,) = choice.strategies
        assert choice.container_instance_arn.endswith(THIRD)
        assert rank.value == "has to fetch 1.0 MiB of its image"


async def test_an_agent_that_reports_no_images_is_placed_on_as_before(
    scheduler: Scheduler, agent: SimulatedAgent
) -> None:
    """One of a version that knows nothing of reports."""
    await register(scheduler)
    (task,) = (await run(scheduler)).tasks
    assert task.container_instance_arn.endswith(INSTANCE)
    assert await tags_of(scheduler) == []
    (choice,) = (await _explained(scheduler)).placements
    assert not choice.strategies


async def test_an_operator_may_ask_for_chance_or_for_images_first(scheduler: Scheduler, agent: SimulatedAgent) -> None:
    await register(scheduler)
    async with SimulatedAgent(scheduler.channel("agent", SECOND), SECOND):
        await report(agent, held(1, "busybox:latest"))
        await until_tags(scheduler, "busybox:latest")
        chance = await _explained(scheduler, [task_pb2.PlacementStrategy(type="random")])
        assert [rank.type for rank in chance.placements[0].strategies] == ["random"]
        strategies = [
            task_pb2.PlacementStrategy(type="image"),
            task_pb2.PlacementStrategy(type="spread", field="instanceId"),
        ]
        placed = (await run(scheduler, 3, placement_strategy=strategies)).tasks
        assert {task.container_instance_arn.rpartition("/")[2] for task in placed} == {INSTANCE}
        placed = (await run(scheduler, 5, placement_strategy=strategies[1:])).tasks
        assert {task.container_instance_arn.rpartition("/")[2] for task in placed} == {INSTANCE, SECOND}


async def _explained(scheduler: Scheduler, strategies: Any = ()) -> placement_pb2.ExplainPlacementResponse:
    wanted = task_pb2.RunTaskRequest(task_definition="web", placement_strategy=strategies)
    async with asyncio.timeout(10):
        answer: placement_pb2.ExplainPlacementResponse = await scheduler.cluster.ExplainPlacement(
            placement_pb2.ExplainPlacementRequest(run_task=wanted)
        )
    return answer


async def _drain(scheduler: Scheduler, instance: str) -> None:
    await scheduler.cluster.UpdateContainerInstancesState(
        container_instance_pb2.UpdateContainerInstancesStateRequest(container_instances=[instance], status="DRAINING")
    )
