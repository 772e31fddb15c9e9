import asyncio
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from shoal import client as client_module
from shoal import errors
from shoal.client import Client, with_client_token
from shoal.problems import Problem
from shoal.v1 import cluster_pb2, event_pb2, task_definition_pb2, task_pb2

from tests.fakes.cluster_service import ClusterService
from tests.fakes.serving import Running, serve


@pytest.fixture
def service() -> ClusterService:
    return ClusterService()  # type: ignore[abstract]


@pytest.fixture
def running(service: ClusterService, tmp_path: Path) -> Iterator[Running]:
    running = serve(service, tmp_path)
    yield running
    running.server.stop(None)


def definition(family: str = "web") -> task_definition_pb2.RegisterTaskDefinitionRequest:
    container = task_definition_pb2.ContainerDefinition(name="c", image="i")
    return task_definition_pb2.RegisterTaskDefinitionRequest(family=family, container_definitions=[container])


def closed_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


async def test_a_call_waits_for_the_leader(service: ClusterService, running: Running) -> None:
    service.state.unavailable = 3
    async with Client(running.context) as client:
        await client.cluster.ListTasks(task_pb2.ListTasksRequest())
    assert len(service.state.requests) == 4


async def test_a_call_finds_the_leader_among_the_endpoints(service: ClusterService, running: Running) -> None:
    context = replace(running.context, endpoints=(closed_port(), closed_port(), *running.context.endpoints))
    async with Client(context) as client:
        await client.cluster.ListTasks(task_pb2.ListTasksRequest())
        await client.cluster.ListTasks(task_pb2.ListTasksRequest())
    assert len(service.state.requests) == 2


async def test_a_follower_says_where_the_leader_is(service: ClusterService, running: Running, tmp_path: Path) -> None:
    """Also one that the context does not name."""
    follower = ClusterService()  # type: ignore[abstract]
    follower.state.unavailable, (follower.state.leader,) = 1_000, running.context.endpoints
    beside = serve(follower, tmp_path)
    async with Client(replace(running.context, endpoints=beside.context.endpoints)) as client:
        await client.cluster.ListTasks(task_pb2.ListTasksRequest())
        await client.cluster.ListTasks(task_pb2.ListTasksRequest())
    beside.server.stop(None)
    assert (len(follower.state.requests), len(service.state.requests)) == (1, 2)


async def test_followers_that_name_each_other_use_up_no_processor(
    service: ClusterService, running: Running, tmp_path: Path
) -> None:
    other = ClusterService()  # type: ignore[abstract]
    beside = serve(other, tmp_path)
    service.state.unavailable = other.state.unavailable = 1_000
    (service.state.leader,), (other.state.leader,) = beside.context.endpoints, running.context.endpoints
    async with Client(running.context, timeout_seconds=1.5) as client:
        with pytest.raises(errors.Unreachable, match="not the leader"):
            await client.cluster.ListTasks(task_pb2.ListTasksRequest())
    beside.server.stop(None)
    assert 2 <= len(service.state.requests) + len(other.state.requests) <= 20


async def test_a_host_that_is_silent_is_passed_over(
    service: ClusterService, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "CONNECT_SECONDS", 0.2)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()  # the kernel takes the connection; nobody ever says a word
        endpoint = f"127.0.0.1:{silent.getsockname()[1]}"
        context = replace(running.context, endpoints=(endpoint, *running.context.endpoints))
        began = time.monotonic()
        async with Client(context) as client:
            await client.cluster.RegisterTaskDefinition(definition())
    assert time.monotonic() - began < 3.0
    assert len(service.state.requests) == 1


async def test_a_leader_that_stands_still_is_left(
    service: ClusterService, running: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "ANSWER_SECONDS", 0.3)
    frozen = ClusterService()  # type: ignore[abstract]
    frozen.state.delay_seconds = 2.0
    beside = serve(frozen, tmp_path)
    context = replace(running.context, endpoints=(*beside.context.endpoints, *running.context.endpoints))
    async with Client(context) as client:
        await client.cluster.ListTasks(task_pb2.ListTasksRequest())
        with pytest.raises(errors.TimedOut):
            service.state.delay_seconds = 2.0
            await client.cluster.ListTasks(task_pb2.ListTasksRequest(), timeout=1.0)
    beside.server.stop(None)


async def test_nobody_there(running: Running) -> None:
    context = replace(running.context, endpoints=(closed_port(),))
    async with Client(context, timeout_seconds=0.3) as client:
        with pytest.raises(errors.Unreachable) as caught:
            await client.cluster.ListTasks(task_pb2.ListTasksRequest())
    assert context.endpoints[0] in caught.value.message
    assert "shoal up" in caught.value.hint


async def test_no_answer_until_the_deadline(service: ClusterService, running: Running) -> None:
    service.state.delay_seconds = 0.4
    async with Client(running.context) as client:
        with pytest.raises(errors.TimedOut, match=r"ListTasks within 0\.1 s"):
            await client.cluster.ListTasks(task_pb2.ListTasksRequest(), timeout=0.1)


async def test_an_error_carries_what_its_details_say(running: Running) -> None:
    async with Client(running.context) as client:
        with pytest.raises(errors.InvalidInput) as caught:
            await client.cluster.RegisterTaskDefinition(task_definition_pb2.RegisterTaskDefinitionRequest(family="x"))
        assert caught.value.code == "INVALID_ARGUMENT"
        assert caught.value.reason == "ClientException"
        assert caught.value.problems == (Problem("containerDefinitions", "is missing"),)
        with pytest.raises(errors.NotFound):
            await client.cluster.StopTask(task_pb2.StopTaskRequest(task="x"))


async def test_a_broken_call_is_repeated_with_the_same_client_token(service: ClusterService, running: Running) -> None:
    async with Client(running.context) as client:
        await client.cluster.RegisterTaskDefinition(definition())
        service.state.breaks = 1
        request = task_pb2.RunTaskRequest(task_definition="web")
        await client.cluster.RunTask(request)
    assert not request.HasField("client_token"), "the caller's message is the caller's"
    tokens = [each.client_token for each in service.state.requests if isinstance(each, task_pb2.RunTaskRequest)]
    assert len(tokens) == 2
    assert len(set(tokens)) == 1
    assert tokens[0]


async def test_what_may_not_be_done_twice_is_not_repeated(service: ClusterService, running: Running) -> None:
    service.state.breaks = 1
    async with Client(running.context) as client:
        with pytest.raises(errors.Unreachable, match="connection broke"):
            await client.cluster.RegisterTaskDefinition(definition())
    assert len(service.state.definitions["web"]) == 1


async def test_what_a_follower_refused_was_surely_not_done(service: ClusterService, running: Running) -> None:
    service.state.unavailable = 2
    async with Client(running.context) as client:
        answer = await client.cluster.RegisterTaskDefinition(definition())
    assert answer.task_definition.revision == 1


def test_a_client_token_given_is_kept() -> None:
    given = task_pb2.RunTaskRequest(client_token="mine")
    assert with_client_token(given).client_token == "mine"
    without = cluster_pb2.ListClustersRequest()
    assert with_client_token(without) is without


async def test_a_watch_goes_on_where_it_was_when_the_leader_changes(service: ClusterService, tmp_path: Path) -> None:
    first, second = serve(service, tmp_path), serve(service, tmp_path)
    context = replace(first.context, endpoints=(*first.context.endpoints, *second.context.endpoints))
    seen: list[int] = []
    async with Client(context) as client:
        await client.cluster.RegisterTaskDefinition(definition())
        async for answer in client.watch("default"):
            seen += [event.revision for event in answer.events]
            if not answer.events and not seen:
                await client.cluster.RunTask(task_pb2.RunTaskRequest(task_definition="web"))
            elif len(seen) == 3:
                await asyncio.to_thread(first.server.stop(None).wait)
                await client.cluster.RunTask(task_pb2.RunTaskRequest(task_definition="web"))
            if len(seen) == 6:
                break
    second.server.stop(None)
    assert seen == [1, 2, 3, 4, 5, 6]


class BreaksOff(ClusterService):
    """Its first watch breaks off after two of the three events of one revision."""

    first = True

    def Watch(self, request: Any, context: Any) -> Iterator[Any]:  # noqa: N802  the name is of the contract
        task = task_pb2.Task(task_arn="arn:one")
        # The first task changed twice at once.
        events = [event_pb2.Event(revision=5, message=words, task=task) for words in ("made", "placed")]
        events.append(event_pb2.Event(revision=5, message="ended", task=task_pb2.Task(task_arn="arn:two")))
        yield event_pb2.WatchResponse(revision=4)
        if self.first:
            self.first = False
            yield event_pb2.WatchResponse(events=[events[0], events[2]])
            context.abort(grpc.StatusCode.UNAVAILABLE, "the leader has gone")
        assert request.after_revision == 4
        yield event_pb2.WatchResponse(events=events)
        yield event_pb2.WatchResponse(revision=5)


async def test_a_watch_that_broke_off_within_a_revision_tells_nothing_twice(tmp_path: Path) -> None:
    running = serve(BreaksOff(), tmp_path)  # type: ignore[abstract]
    heard: list[str] = []
    async with Client(running.context) as client:
        async for answer in client.watch("default"):
            heard += [f"{event.task.task_arn} {event.message}" for event in answer.events]
            if answer.revision == 5:
                break
    running.server.stop(None)
    assert heard == ["arn:one made", "arn:two ended", "arn:one placed"]


async def test_a_certificate_of_another_authority_is_refused(running: Running, tmp_path: Path) -> None:
    stranger = serve(ClusterService(), tmp_path / "other")  # type: ignore[abstract]
    context = replace(stranger.context, endpoints=running.context.endpoints, authority=running.context.authority)
    async with Client(context, timeout_seconds=0.3) as client:
        with pytest.raises(errors.Unreachable):
            await client.cluster.ListTasks(task_pb2.ListTasksRequest())
    stranger.server.stop(None)


def test_a_missing_certificate_is_said_in_words(running: Running, tmp_path: Path) -> None:
    with pytest.raises(errors.NoContext, match="cannot be read"):
        Client(replace(running.context, key=tmp_path / "nothing"))


def test_an_unknown_method_is_an_attribute_error(running: Running) -> None:
    client = Client(running.context)
    with pytest.raises(AttributeError):
        client.cluster.Nonsense  # type: ignore[attr-defined]  # noqa: B018
