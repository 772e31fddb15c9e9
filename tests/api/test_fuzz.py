"""Whatever anybody says: no fault, no hang, nothing over-committed, and a store that a new leader can read."""

import contextlib
import logging
import os
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
from google.protobuf.message import Message
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shoal import arn
from shoal.errors import from_rpc
from shoal.v1 import agent_pb2, agent_pb2_grpc, cluster_pb2, task_definition_pb2, task_pb2
from shoal_scheduler.state.tables import Tables

from tests.api.conftest import INSTANCE
from tests.api.generated import Words
from tests.api.requests import definition, register, run
from tests.fakes.agent import SimulatedAgent, hello
from tests.fakes.scheduler import Scheduler
from tests.ground.certificates import Certificates
from tests.unit.scheduler.plane import CountedIds

SECOND = "2e" * 16
FAULTS = {"INTERNAL", "UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "DATA_LOSS"}
TASKS = [f"{launch:024x}{index:08x}" for launch in (1, 2) for index in (0, 1, 2)]
NAMES = ("web", "web:1", "web:2", "db", "db:1", arn.task_definition_arn("web", 1))
EXPRESSIONS = ("attribute:a == b", "not (attribute:a exists)", "runningTasksCount < 3", "task:group == family:web")
WORDS = Words(
    {
        "cluster": ("default", "blue"),
        "clusters": ("default", "blue"),
        "cluster_name": ("blue", "green"),
        "family": ("web", "db", "new"),
        "family_prefix": ("web", "w"),
        "task_definition": NAMES,
        "task_definitions": NAMES,
        "task": TASKS,
        "tasks": TASKS,
        "task_id": TASKS,
        "container_instance": (INSTANCE, SECOND),
        "container_instances": (INSTANCE, SECOND),
        "target_id": (INSTANCE, SECOND),
        "target_type": ("container-instance",),
        "resource_arn": (arn.cluster_arn("default"), arn.task_arn("default", TASKS[0]), NAMES[-1]),
        "type": ("memberOf", "distinctInstance", "spread", "binpack", "random", "GPU"),
        "field": ("cpu", "memory", "instanceId", "attribute:a"),
        "expression": EXPRESSIONS,
        "filter": EXPRESSIONS,
        "status": ("ACTIVE", "DRAINING", "INACTIVE"),
        "desired_status": ("RUNNING", "STOPPED"),
        "last_status": ("PENDING", "RUNNING", "STOPPED"),
        "image": ("busybox", "nginx:1"),
        "cpu": ("256", "1 vCPU", "1024"),
        "memory": ("512", "1 GB"),
        "protocol": ("tcp", "udp"),
        "network_mode": ("bridge", "host", "none", "awsvpc"),
        "launch_type": ("EC2", "FARGATE"),
        "include": ("TAGS", "TRACE"),
        "client_token": ("one", "two"),
        "condition": ("START", "HEALTHY", "COMPLETE", "SUCCESS"),
    }
)
WRITTEN_TOO_LATE = "Internal error from Core"
METHODS = list(cluster_pb2.DESCRIPTOR.services_by_name["Cluster"].methods)

# Always the same few examples, unless somebody asks for many: then they differ from run to run.
EXAMPLES = os.environ.get("SHOAL_FUZZ_EXAMPLES", "")
SETTINGS = settings(
    max_examples=int(EXAMPLES or "60"),
    derandomize=not EXAMPLES,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture],
)


def mutated(data: bytes, edits: list[tuple[int, int, bytes]]) -> bytes:
    """Bytes taken out here, others put in there."""
    for place, length, new in edits:
        start = place % (len(data) + 1)
        data = data[:start] + new + data[start + length :]
    return data


def nearly_right(method: Any) -> st.SearchStrategy[Message]:
    """For registering, a definition that is right but for what is mixed into it."""
    generated = WORDS.messages(method.input_type)
    if method.name == "RegisterTaskDefinition":
        container = WORDS.messages(task_definition_pb2.ContainerDefinition.DESCRIPTOR)
        return st.builds(_definition, container, st.just(None) | generated)
    if method.name in ("RunTask", "StartTask"):
        return generated.map(_named)
    return generated


def _definition(container: Any, rest: Any) -> Message:
    request = definition()
    request.container_definitions[0].MergeFrom(container)
    if rest is not None:
        request.MergeFrom(rest)
    return request


def _named(request: Any) -> Any:
    request.task_definition = request.task_definition or "web"
    return request


EDITS = st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 8), st.binary(max_size=8)), min_size=1, max_size=4)
CALLS = st.sampled_from(METHODS).flatmap(
    lambda method: st.tuples(st.just(method.name), nearly_right(method).map(lambda m: m.SerializeToString()))
)
PROGRAMS = st.lists(CALLS, min_size=1, max_size=8)
SPOILT = st.lists(st.tuples(CALLS, EDITS).map(lambda c: (c[0][0], mutated(c[0][1], c[1]))), min_size=1, max_size=8)


async def outcome(channel: grpc.aio.Channel, method: str, message: bytes) -> str:
    send: Any = channel.unary_stream(f"/shoal.v1.Cluster/{method}")
    call = send(message, timeout=30)
    try:
        await call.read()
    except grpc.aio.AioRpcError as error:
        typed = from_rpc(error)
        assert typed.message
        return typed.code
    finally:
        call.cancel()
    return "OK"


@contextlib.contextmanager
def no_faults() -> Iterator[None]:
    """Nothing is logged as an error meanwhile, by the scheduler or by the transport for it."""
    faults: list[str] = []
    handler = logging.Handler(logging.ERROR)
    handler.emit = lambda record: faults.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
    assert faults == []


async def invariants(scheduler: Scheduler) -> None:
    assert not scheduler.running.done()
    assert scheduler.over_committed() == []
    await scheduler.cluster.DescribeControlPlane(cluster_pb2.DescribeControlPlaneRequest())
    assert _durable(await scheduler.reloaded()) == _durable(scheduler.plane.tables)


def _durable(tables: Tables) -> tuple[object, ...]:
    tasks = {task.id: task for task in tables.tasks()}
    return tables.clusters, tables.definitions, tables.instances, tasks


async def carry_out(certificates: Certificates, program: list[tuple[str, bytes]]) -> None:
    with no_faults():
        await _carry_out(certificates, program)


async def _carry_out(certificates: Certificates, program: list[tuple[str, bytes]]) -> None:
    async with Scheduler(certificates) as scheduler:
        scheduler.plane.engine._ids = CountedIds()  # type: ignore[assignment]
        first = SimulatedAgent(scheduler.channel("agent", INSTANCE), INSTANCE, attributes={"a": "b"})
        second = SimulatedAgent(scheduler.channel("agent", SECOND), SECOND, cpu=512, memory_mib=512)
        async with first, second:
            for family in ("web", "db"):
                await register(scheduler, family)
                await run(scheduler, 3, task_definition=family)
            channel = scheduler.channel()
            for method, message in program:
                code = await outcome(channel, method, message)
                assert code not in FAULTS, method
                assert code != "UNAVAILABLE" or method == "ReadLogs"
            await invariants(scheduler)


@SETTINGS
@given(PROGRAMS)
async def test_operators_may_say_anything(certificates: Certificates, program: list[tuple[str, bytes]]) -> None:
    await carry_out(certificates, program)


@SETTINGS
@given(SPOILT)
async def test_bytes_may_be_spoilt(certificates: Certificates, program: list[tuple[str, bytes]]) -> None:
    await carry_out(certificates, program)


AGENT_WORDS = st.lists(WORDS.messages(agent_pb2.AgentMessage.DESCRIPTOR), max_size=6)
REPORTS = st.lists(WORDS.messages(agent_pb2.TaskReport.DESCRIPTOR).map(lambda report: _sure(report)), max_size=4)


def _sure(report: Any) -> Any:
    report.task_id = report.task_id or TASKS[0]
    report.last_status = report.last_status or "RUNNING"
    return report


def _session(said: Any, reports: list[Any], more: list[Any]) -> list[agent_pb2.AgentMessage]:
    """A session that begins well, and what an agent might say then."""
    first = hello(INSTANCE)
    first.hello.MergeFrom(said)
    first.hello.protocol_version, first.hello.cluster = 1, "default"
    inventory = agent_pb2.AgentMessage(inventory=agent_pb2.Inventory())
    told = agent_pb2.AgentMessage(reports=agent_pb2.Reports(sequence=1, tasks=reports))
    return [first, inventory, told, *more]


SESSIONS = st.builds(_session, WORDS.messages(agent_pb2.Hello.DESCRIPTOR), REPORTS, AGENT_WORDS)


async def _each(messages: list[agent_pb2.AgentMessage]) -> AsyncIterator[agent_pb2.AgentMessage]:
    for message in messages:
        yield message


@SETTINGS
@given(SESSIONS)
async def test_agents_may_say_anything(certificates: Certificates, said: list[agent_pb2.AgentMessage]) -> None:
    with no_faults():
        await _say(certificates, said)


async def _say(certificates: Certificates, said: list[agent_pb2.AgentMessage]) -> None:
    async with Scheduler(certificates) as scheduler:
        scheduler.plane.engine._ids = CountedIds()  # type: ignore[assignment]
        await register(scheduler)
        async with SimulatedAgent(scheduler.channel("agent", INSTANCE), INSTANCE):
            await run(scheduler, 3)
            await scheduler.cluster.RunTask(task_pb2.RunTaskRequest(task_definition="web"))
        await scheduler.until_disconnected(INSTANCE)
        stub: Any = agent_pb2_grpc.AgentSessionStub(scheduler.channel("agent", INSTANCE))
        call = stub.Session(_each(said), timeout=30)
        with contextlib.suppress(grpc.aio.AioRpcError):
            async for _ in call:
                pass
        # A client that still writes when its call is ended sometimes says INTERNAL of itself.
        if not str(await call.details()).startswith(WRITTEN_TOO_LATE):
            assert (await call.code()).name not in FAULTS | {"UNAVAILABLE"}
        await scheduler.until_disconnected(INSTANCE)
        await invariants(scheduler)
