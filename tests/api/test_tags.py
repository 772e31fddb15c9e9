"""Tags of everything that has an ARN, through the running server."""

import grpc
import pytest
from shoal import arn
from shoal.v1 import resource_pb2 as pb

from tests.api.conftest import INSTANCE
from tests.api.refusals import refused_with
from tests.api.requests import register, run
from tests.fakes.agent import SimulatedAgent
from tests.fakes.scheduler import Scheduler


async def tags_of(scheduler: Scheduler, name: str) -> dict[str, str]:
    answer = await scheduler.cluster.ListTagsForResource(pb.ListTagsForResourceRequest(resource_arn=name))
    return {tag.key: tag.value for tag in answer.tags}


async def test_each_kind_can_be_tagged_and_untagged(scheduler: Scheduler, agent: SimulatedAgent) -> None:
    definition = await register(scheduler)
    (task,) = (await run(scheduler)).tasks
    instance = arn.container_instance_arn("default", INSTANCE)
    for name in (definition, task.task_arn, instance, arn.cluster_arn("default")):
        tags = [pb.Tag(key="a", value="1"), pb.Tag(key="b", value="2")]
        await scheduler.cluster.TagResource(pb.TagResourceRequest(resource_arn=name, tags=tags))
        assert await tags_of(scheduler, name) == {"a": "1", "b": "2"}
        await scheduler.cluster.UntagResource(pb.UntagResourceRequest(resource_arn=name, tag_keys=["a", "no"]))
        assert await tags_of(scheduler, name) == {"b": "2"}


async def test_no_more_than_fifty_in_all(scheduler: Scheduler) -> None:
    name = arn.cluster_arn("default")
    tags = [pb.Tag(key=f"k{number}") for number in range(30)]
    await scheduler.cluster.TagResource(pb.TagResourceRequest(resource_arn=name, tags=tags))
    before = scheduler.stored()
    more = [pb.Tag(key=f"more{number}") for number in range(30)]
    call = scheduler.cluster.TagResource(pb.TagResourceRequest(resource_arn=name, tags=more))
    await refused_with(call, grpc.StatusCode.INVALID_ARGUMENT, "InvalidParameterException", "tags")
    assert scheduler.stored() == before


@pytest.mark.parametrize(
    ("name", "code"),
    [
        (arn.cluster_arn("green"), grpc.StatusCode.NOT_FOUND),
        (arn.task_definition_arn("web", 1), grpc.StatusCode.NOT_FOUND),
        (arn.task_arn("default", "0" * 32), grpc.StatusCode.NOT_FOUND),
        (arn.container_instance_arn("default", "0" * 32), grpc.StatusCode.NOT_FOUND),
        (f"{arn.PREFIX}volume/x", grpc.StatusCode.INVALID_ARGUMENT),
        (arn.PREFIX, grpc.StatusCode.INVALID_ARGUMENT),
        ("arn:aws:ecs:eu-west-1:1:cluster/default", grpc.StatusCode.INVALID_ARGUMENT),
        ("default", grpc.StatusCode.INVALID_ARGUMENT),
        ("", grpc.StatusCode.INVALID_ARGUMENT),
    ],
)
async def test_other_names_are_refused(scheduler: Scheduler, name: str, code: grpc.StatusCode) -> None:
    before = scheduler.stored()
    request = pb.TagResourceRequest(resource_arn=name, tags=[pb.Tag(key="a", value="1")])
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await scheduler.cluster.TagResource(request)
    assert caught.value.code() == code
    assert scheduler.stored() == before
