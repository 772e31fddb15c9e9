"""What is wrong before any field is looked at: bytes, sizes, headers, streams and connections."""

import asyncio
from typing import Any

import grpc
import pytest
from shoal import rpc
from shoal.v1 import (
    cluster_pb2,
    container_instance_pb2,
    event_pb2,
    resource_pb2,
    task_definition_pb2,
    task_pb2,
)

from tests.api.refusals import INVALID, METADATA_BYTES_MAX, PARAMETER, costs_less, lives, refused, refused_with
from tests.api.requests import definition, register
from tests.api.wire import call, field, named, varint
from tests.fakes.agent import SimulatedAgent
from tests.fakes.scheduler import Scheduler

DEEP = 5_000


def nested(depth: int) -> bytes:
    """Groups in groups: fields nobody knows, as deep as they come."""
    return varint(1000 << 3 | 3) * depth + varint(1000 << 3 | 4) * depth


NOT_A_MESSAGE = {
    "no UTF-8 in a name": ("RunTask", field(17, b"\xff\xfe")),
    "a surrogate in a name": ("RunTask", field(17, b"\xed\xa0\x80")),
    "no UTF-8 in a nested one": ("RegisterTaskDefinition", field(2, field(1, b"\xc3\x28"))),
    "cut in the middle": ("RunTask", field(17, "web")[:-1]),
    "a length beyond the end": ("RunTask", varint(17 << 3 | 2) + varint(2**31)),
    "a length of 2^63": ("RunTask", varint(17 << 3 | 2) + varint(2**63)),
    "a number that never ends": ("RunTask", varint(3 << 3) + b"\xff" * 20),
    "field number 0": ("RunTask", b"\x02\x01a"),
    "nested without end": ("RunTask", nested(DEEP)),
    "an end without a beginning": ("RunTask", varint(5 << 3 | 4)),
    "text": ("RunTask", b'{"taskDefinition": "web"}'),
    "random": ("RunTask", bytes(range(255, 0, -1)) * 8),
}


@pytest.mark.parametrize("case", NOT_A_MESSAGE)
async def test_bytes_that_are_no_message(scheduler: Scheduler, case: str) -> None:
    method, message = NOT_A_MESSAGE[case]
    before = scheduler.stored()
    await refused_with(call(scheduler.channel(), method, message), INVALID, PARAMETER)
    assert scheduler.stored() == before
    await lives(scheduler)


@pytest.mark.parametrize("case", ["no UTF-8 in a name", "random"])
async def test_such_bytes_end_a_stream_with_the_same_error(scheduler: Scheduler, case: str) -> None:
    """What came before them is still answered."""
    channel = scheduler.channel()
    stream: Any = channel.stream_stream("/shoal.v1.Cluster/RunTasks")()
    await stream.write(task_pb2.RunTasksRequest(sequence=7).SerializeToString())
    await stream.write(NOT_A_MESSAGE[case][1] if case == "random" else field(2, NOT_A_MESSAGE[case][1]))
    first = task_pb2.RunTasksResponse.FromString(await stream.read())
    assert first.sequence == 7
    await refused_with(stream.read(), INVALID, PARAMETER)
    await lives(scheduler)


async def test_fields_nobody_knows_do_no_harm(scheduler: Scheduler) -> None:
    """A newer client may say more than this server understands."""
    message = task_definition_pb2.ListTaskDefinitionsRequest().SerializeToString() + field(999, "admin") + nested(5)
    assert await call(scheduler.channel(), "ListTaskDefinitions", message) == b""


MANY = 1_000_000
REGISTER, RUN = task_definition_pb2.RegisterTaskDefinitionRequest, task_pb2.RunTaskRequest
OVERRIDES, CONTAINER = task_pb2.TaskOverride, task_definition_pb2.ContainerDefinition
TOO_MANY = {
    "a million tasks": ("DescribeTasks", named(task_pb2.DescribeTasksRequest, "tasks") * MANY, "tasks"),
    "a million tags": ("RunTask", named(RUN, "tags") * MANY, "tags"),
    "a million overrides": (
        "RunTask",
        named(RUN, "overrides", named(OVERRIDES, "container_overrides") * MANY),
        "overrides.containerOverrides",
    ),
    "a million containers": (
        "RegisterTaskDefinition",
        named(REGISTER, "container_definitions") * MANY,
        "containerDefinitions",
    ),
    "a million variables": (
        "RegisterTaskDefinition",
        named(REGISTER, "container_definitions", named(CONTAINER, "environment") * MANY),
        "containerDefinitions[0].environment",
    ),
    "100,000 labels": (
        "RegisterTaskDefinition",
        named(
            REGISTER,
            "container_definitions",
            b"".join(named(CONTAINER, "docker_labels", field(1, str(n))) for n in range(100_000)),
        ),
        "containerDefinitions[0].dockerLabels",
    ),
    "a million settings": ("CreateCluster", named(cluster_pb2.CreateClusterRequest, "settings") * MANY, "settings"),
    "a million clusters": (
        "DescribeClusters",
        named(cluster_pb2.DescribeClustersRequest, "clusters") * MANY,
        "clusters",
    ),
    "a million attributes": (
        "PutAttributes",
        named(container_instance_pb2.PutAttributesRequest, "attributes") * MANY,
        "attributes",
    ),
    "a million watched": ("ListEvents", named(event_pb2.ListEventsRequest, "tasks") * MANY, "tasks"),
}


@pytest.mark.parametrize("case", TOO_MANY)
async def test_more_elements_than_anybody_needs(scheduler: Scheduler, case: str) -> None:
    method, message, path = TOO_MANY[case]
    before = scheduler.stored()
    channel = scheduler.channel()
    await call(channel, "DescribeControlPlane", b"")
    # Both sides of the call, with the encryption of 2 to 4 MiB.
    await costs_less(0.3, lambda: refused_with(call(channel, method, message), INVALID, PARAMETER, path))
    assert scheduler.stored() == before
    await lives(scheduler)


async def test_a_message_that_is_too_large(scheduler: Scheduler) -> None:
    options = [*rpc.channel_options(), ("grpc.max_send_message_length", -1)]
    mine = scheduler.certificates.credentials("operator", "alice")
    credentials = grpc.ssl_channel_credentials(mine.authority, mine.key, mine.certificate)
    channel = scheduler.keep(grpc.aio.secure_channel(scheduler.address, credentials, options))
    message = field(17, b"x" * (rpc.MESSAGE_BYTES_MAX + 1))
    error = await refused(call(channel, "RunTask", message))
    assert error.code == "RESOURCE_EXHAUSTED"
    await lives(scheduler)


async def test_an_answer_that_would_be_too_large(scheduler: Scheduler, agent: SimulatedAgent) -> None:
    """Is refused with advice, not broken off by the transport."""
    await register(scheduler)
    environment = [resource_pb2.KeyValuePair(name=f"V{n}", value="x" * 700) for n in range(10)]
    overrides = task_pb2.TaskOverride(
        container_overrides=[task_pb2.ContainerOverride(name="app", environment=environment)]
    )
    request = task_pb2.RunTaskRequest(task_definition="web", count=250, overrides=overrides)
    runs = [await scheduler.cluster.RunTask(request) for _ in range(1)]
    assert 0 < len(runs[0].tasks) <= 100
    prefix = runs[0].task_id_ranges[0].prefix
    names = [f"{prefix}{n % 250:08x}" for n in range(1000)]
    call_all = scheduler.cluster.DescribeTasks(task_pb2.DescribeTasksRequest(tasks=names))
    error = await refused_with(call_all, grpc.StatusCode.RESOURCE_EXHAUSTED, "LimitExceededException")
    assert "fewer" in error.message
    some = await scheduler.cluster.DescribeTasks(task_pb2.DescribeTasksRequest(tasks=names[:100]))
    assert len(some.tasks) == 100


async def test_a_refusal_fits_into_headers(scheduler: Scheduler) -> None:
    """However much is wrong, and however long it is."""
    request = definition("\U0001f600" * 5000)
    request.ClearField("container_definitions")
    for number in range(10):
        request.container_definitions.add(name="\u202e" * 300, image="\U0001f600" * 500, cpu=-number)
    await refused_with(scheduler.cluster.RegisterTaskDefinition(request), INVALID, "ClientException", "family")
    request = definition()
    request.container_definitions[0].image = "\x1b[2J" * 3000
    await refused(scheduler.cluster.RegisterTaskDefinition(request))
    for call_it in (
        scheduler.cluster.DescribeTaskDefinition(
            task_definition_pb2.DescribeTaskDefinitionRequest(task_definition="\U0001f600" * 5000)
        ),
        scheduler.cluster.StopTask(task_pb2.StopTaskRequest(task="\U0001f600" * 100_000)),
        scheduler.cluster.TagResource(
            resource_pb2.TagResourceRequest(resource_arn="\u202e" * 5000, tags=[resource_pb2.Tag(key="a")])
        ),
    ):
        await refused(call_it)


METADATA = {
    "8 KiB in one": [("x-filler", "a" * METADATA_BYTES_MAX * 3)],
    "a thousand": [(f"x-{n}", "a" * 64) for n in range(1000)],
    "binary": [("x-any-bin", b"\xff" * METADATA_BYTES_MAX * 3)],
}


@pytest.mark.parametrize("case", METADATA)
async def test_headers_that_are_too_large(scheduler: Scheduler, case: str) -> None:
    error = await refused(call(scheduler.channel(), "ListTasks", b"", metadata=METADATA[case]))
    assert error.code in ("RESOURCE_EXHAUSTED", "UNAVAILABLE", "CANCELLED", "INTERNAL")  # the transport's own words
    await lives(scheduler)


async def test_a_deadline_that_has_passed(scheduler: Scheduler) -> None:
    """Whether it was done in time after all, nobody can say; the server goes on."""
    calls = [scheduler.cluster.RegisterTaskDefinition(definition(), timeout=t) for t in (0.0, -1.0, 1e-9) * 20]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    errors = [each for each in outcomes if isinstance(each, grpc.aio.AioRpcError)]
    assert {error.code() for error in errors} == {grpc.StatusCode.DEADLINE_EXCEEDED}
    await lives(scheduler)


async def test_a_method_nobody_has(scheduler: Scheduler) -> None:
    for method in ("Nothing", "", "../RunTask", "RunTask/"):
        error = await refused(call(scheduler.channel(), method, b""))
        assert error.code == "UNIMPLEMENTED"
