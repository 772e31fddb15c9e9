"""Agents whose host is hostile or whose program is wrong: whatever they say, the scheduler goes on for the others."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from shoal.v1 import agent_pb2 as pb
from shoal.v1 import agent_pb2_grpc, cluster_pb2, resource_pb2, task_pb2
from shoal_scheduler.api import agent_session
from shoal_scheduler.control.inputs import AgentHello, Input, Reply

from tests.api.conftest import INSTANCE
from tests.api.refusals import refused, refused_with
from tests.api.requests import register, run
from tests.fakes.agent import SimulatedAgent, hello, never_starts
from tests.fakes.scheduler import Scheduler

INVALID = grpc.StatusCode.INVALID_ARGUMENT
PARAMETER = "InvalidParameterException"
FOREIGN = "2e" * 16


class RawSession:
    """A session by hand: every message is the test's own."""

    def __init__(self, scheduler: Scheduler, instance: str = FOREIGN) -> None:
        self.stub: Any = agent_pb2_grpc.AgentSessionStub(scheduler.channel("agent", instance))
        self.call: Any = self.stub.Session()

    async def say(self, *messages: pb.AgentMessage) -> None:
        for message in messages:
            await self.call.write(message)

    async def opened(self) -> "RawSession":
        """After hello and inventory, welcome and the full assignments."""
        await self.say(hello(FOREIGN), pb.AgentMessage(inventory=pb.Inventory()))
        assert (await self.call.read()).HasField("welcome")
        assert (await self.call.read()).assignments.full
        return self

    async def end(self) -> None:
        """Reads until the scheduler ends the session; raises how."""
        while await self.call.read() is not grpc.aio.EOF:
            pass


async def goes_on(scheduler: Scheduler) -> None:
    async with asyncio.timeout(5):
        await scheduler.cluster.DescribeControlPlane(cluster_pb2.DescribeControlPlaneRequest())
    assert not scheduler.running.done()
    assert scheduler.over_committed() == []


def hello_with(**fields: Any) -> pb.AgentMessage:
    message = hello(FOREIGN)
    message.hello.MergeFrom(pb.Hello(**fields))
    return message


def resource(**fields: Any) -> dict[str, Any]:
    return {"resources": [resource_pb2.Resource(**fields)]}


MANY = 100_000
HELLOS: dict[str, tuple[dict[str, Any], str]] = {
    "incarnation 0": ({"incarnation": 0}, "hello.incarnation"),
    "incarnation below 0": ({"incarnation": -(2**63)}, "hello.incarnation"),
    "another cluster": ({"cluster": "green"}, "hello.cluster"),
    "cpu below 0": (resource(name="CPU", integer_value=-1), "hello.resources[2].integerValue"),
    "not a number": (resource(name="CPU", double_value=float("nan")), "hello.resources[2].doubleValue"),
    "infinite": (resource(name="MEMORY", double_value=float("inf")), "hello.resources[2].doubleValue"),
    "a port that is none": (resource(name="PORTS", string_set_value=["²"]), "hello.resources[2].stringSetValue[0]"),
    "a port of 5000 digits": (
        resource(name="PORTS_UDP", string_set_value=["1", "9" * 5000]),
        "hello.resources[2].stringSetValue[1]",
    ),
    "a port too high": (resource(name="PORTS", string_set_value=["65536"]), "hello.resources[2].stringSetValue[0]"),
    "a GPU with a long id": (
        resource(name="GPU", string_set_value=["x" * 513]),
        "hello.resources[2].stringSetValue[0]",
    ),
    "many GPUs": (resource(name="GPU", string_set_value=["a"] * MANY), "hello.resources[2].stringSetValue"),
    "many resources": ({"resources": [resource_pb2.Resource()] * MANY}, "hello.resources"),
    "many attributes": ({"attributes": [resource_pb2.Attribute(name="a")] * MANY}, "hello.attributes"),
    "an attribute without a name": ({"attributes": [resource_pb2.Attribute()]}, "hello.attributes[0].name"),
    "an attribute for a terminal": (
        {"attributes": [resource_pb2.Attribute(name="\x1b[2J", value="x")]},
        "hello.attributes[0].name",
    ),
    "many tags": ({"tags": [resource_pb2.Tag(key=f"k{n}") for n in range(MANY)]}, "hello.tags"),
    "a tag twice": ({"tags": [resource_pb2.Tag(key="k")] * 2}, "hello.tags[1].key"),
}


@pytest.mark.parametrize("case", HELLOS)
async def test_a_hello_that_says_too_much(scheduler: Scheduler, case: str) -> None:
    fields, path = HELLOS[case]
    before = scheduler.stored()
    session = RawSession(scheduler)
    await session.say(hello_with(**fields))
    await refused_with(session.end(), INVALID, PARAMETER, path)
    assert scheduler.stored() == before
    assert scheduler.plane.tables.sessions == {}
    await goes_on(scheduler)


async def test_texts_of_a_hello_are_cut_and_cleaned(scheduler: Scheduler) -> None:
    session = RawSession(scheduler)
    await session.say(hello_with(hostname="\x1b[2J" + "h" * 100_000))
    await session.call.read()
    instance = scheduler.plane.tables.instances[FOREIGN]
    assert len(instance.hostname) == 253
    assert instance.hostname.isprintable()


async def test_another_protocol_is_told_so(scheduler: Scheduler) -> None:
    for version in (0, 2, 2**31 - 1, -1):
        session = RawSession(scheduler)
        await session.say(hello_with(protocol_version=version))
        error = await refused(session.end())
        assert error.code == "FAILED_PRECONDITION"
        assert "Upgrade" in error.message


FIRST_MESSAGES: dict[str, pb.AgentMessage] = {
    "nothing": pb.AgentMessage(),
    "an inventory": pb.AgentMessage(inventory=pb.Inventory()),
    "reports": pb.AgentMessage(reports=pb.Reports(sequence=1)),
    "a heartbeat": pb.AgentMessage(heartbeat=pb.Heartbeat(engine_status="OK")),
}


@pytest.mark.parametrize("case", FIRST_MESSAGES)
async def test_hello_comes_first(scheduler: Scheduler, case: str) -> None:
    session = RawSession(scheduler)
    await session.say(FIRST_MESSAGES[case])
    await refused_with(session.end(), INVALID, PARAMETER, "hello")


async def test_a_stream_that_never_says_hello_is_ended(scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent_session, "HELLO_SECONDS", 0.05)
    await refused_with(RawSession(scheduler).end(), INVALID, PARAMETER, "hello")
    session = RawSession(scheduler)
    await session.call.done_writing()
    await refused_with(session.end(), INVALID, PARAMETER, "hello")


LATER_MESSAGES: dict[str, tuple[pb.AgentMessage, str]] = {
    "hello twice": (hello(FOREIGN), "hello"),
    "another inventory": (pb.AgentMessage(inventory=pb.Inventory()), "inventory"),
    "nothing": (pb.AgentMessage(), "message"),
}


@pytest.mark.parametrize("case", LATER_MESSAGES)
async def test_what_must_not_come_later(scheduler: Scheduler, case: str) -> None:
    message, path = LATER_MESSAGES[case]
    session = await RawSession(scheduler).opened()
    await session.say(message)
    await refused_with(session.end(), INVALID, PARAMETER, path)
    await scheduler.until_disconnected(FOREIGN)


async def test_reports_before_the_inventory(scheduler: Scheduler) -> None:
    session = RawSession(scheduler)
    await session.say(hello(FOREIGN), pb.AgentMessage(heartbeat=pb.Heartbeat()))
    await refused_with(session.end(), INVALID, PARAMETER, "heartbeat")


def container(**fields: Any) -> dict[str, Any]:
    return {"containers": [task_pb2.Container(**{"name": "app", **fields})]}


def bound(**fields: Any) -> dict[str, Any]:
    return container(network_bindings=[task_pb2.NetworkBinding(**fields)])


REPORTS: dict[str, tuple[dict[str, Any], str]] = {
    "no status": ({"last_status": ""}, "lastStatus"),
    "a status nobody knows": ({"last_status": "FINE"}, "lastStatus"),
    "a status of the scheduler's": ({"last_status": "PROVISIONING"}, "lastStatus"),
    "a long id": ({"task_id": "f" * 65}, "taskId"),
    "a time below 0": ({"started_at": -1}, "startedAt"),
    "a time beyond all": ({"execution_stopped_at": 2**63 - 1}, "executionStoppedAt"),
    "a stop code with a newline": ({"stop_code": "a\nb"}, "stopCode"),
    "a long stop code": ({"stop_code": "a" * 65}, "stopCode"),
    "a million containers": ({"containers": [task_pb2.Container()] * 1_000_000}, "containers"),
    "a container without a name": (container(name=""), "containers[0].name"),
    "a name that is none": (container(name="../x"), "containers[0].name"),
    "a container status nobody knows": (container(last_status="x"), "containers[0].lastStatus"),
    "a health nobody knows": (container(health_status="x"), "containers[0].healthStatus"),
    "a long runtime id": (container(runtime_id="x" * 513), "containers[0].runtimeId"),
    "a digest for a terminal": (container(image_digest="\x1b"), "containers[0].imageDigest"),
    "a port below 0": (bound(host_port=-1), "containers[0].networkBindings[0].hostPort"),
    "a port too high": (bound(container_port=65_536), "containers[0].networkBindings[0].hostPort"),
    "a protocol nobody knows": (bound(protocol="x"), "containers[0].networkBindings[0].protocol"),
    "many ports": (container(network_bindings=[task_pb2.NetworkBinding()] * MANY), "containers"),
}


@pytest.mark.parametrize("case", REPORTS)
async def test_a_report_that_says_too_much(scheduler: Scheduler, case: str) -> None:
    fields, path = REPORTS[case]
    session = await RawSession(scheduler).opened()
    before = scheduler.stored()
    good = pb.TaskReport(task_id="0" * 32, last_status="RUNNING")
    bad = pb.TaskReport(**{"task_id": "0" * 32, "last_status": "RUNNING", **fields})
    await session.say(pb.AgentMessage(reports=pb.Reports(sequence=1, tasks=[good, bad])))
    await refused_with(session.end(), INVALID, PARAMETER, f"reports.tasks[1].{path}")
    assert scheduler.stored() == before
    await goes_on(scheduler)


async def test_an_inventory_is_checked_alike(scheduler: Scheduler) -> None:
    session = RawSession(scheduler)
    report = pb.TaskReport(task_id="0" * 32, last_status="FINE")
    await session.say(hello(FOREIGN), pb.AgentMessage(inventory=pb.Inventory(tasks=[report])))
    await refused_with(session.end(), INVALID, PARAMETER, "inventory.tasks[0].lastStatus")


async def test_too_many_reports_in_a_message(scheduler: Scheduler) -> None:
    session = await RawSession(scheduler).opened()
    reports = [pb.TaskReport()] * (agent_session.REPORTS_PER_MESSAGE_MAX + 1)
    await session.say(pb.AgentMessage(reports=pb.Reports(sequence=1, tasks=reports)))
    await refused_with(session.end(), INVALID, PARAMETER, "reports.tasks")


async def test_texts_of_a_report_are_cut_and_cleaned(scheduler: Scheduler, agent: SimulatedAgent) -> None:
    agent.life = never_starts
    await register(scheduler)
    (task,) = (await run(scheduler)).tasks
    said = "\x1b[2J" + "x" * 1_000_000
    stopped = task_pb2.Container(name="app", last_status="STOPPED", exit_code=-(2**31), reason=said)
    spans = [task_pb2.Span(name=f"{n}{said[:100]}", start_micros=-n) for n in range(1000)]
    report = pb.TaskReport(
        task_id=task.task_arn[-32:], last_status="STOPPED", containers=[stopped], stopped_reason=said, trace=spans
    )
    await agent.report(report)
    await agent.until(lambda: agent.acknowledged == 1)
    request = task_pb2.DescribeTasksRequest(tasks=[task.task_arn], include=["TRACE"])
    (seen,) = (await scheduler.cluster.DescribeTasks(request)).tasks
    assert seen.last_status == "STOPPED"
    assert len(seen.stopped_reason) == 1024
    assert len(seen.containers[0].reason) == 255
    assert seen.stopped_reason.isprintable()
    assert len(seen.trace) < 100


async def test_a_task_of_another_instance(scheduler: Scheduler, agent: SimulatedAgent) -> None:
    """Whatever is said of it changes nothing, and whoever says it is told to forget it."""
    await register(scheduler)
    (task,) = (await run(scheduler)).tasks
    await agent.until(lambda: agent.acknowledged == 1)
    before = scheduler.stored()
    foreign = scheduler.channel("agent", FOREIGN)
    async with SimulatedAgent(foreign, FOREIGN) as other:
        before = scheduler.stored()
        names = [task.task_arn[-32:], "0" * 32, "", "no id", "é" * 32, "+" + task.task_arn[-31:]]
        for name in names:
            await other.report(pb.TaskReport(task_id=name, last_status="STOPPED"))
        await other.until(lambda: other.forgotten == set(names))
        assert scheduler.stored() == before
    await goes_on(scheduler)


async def test_statuses_and_sequences_that_go_back(scheduler: Scheduler, agent: SimulatedAgent) -> None:
    await register(scheduler)
    (task,) = (await run(scheduler)).tasks
    await agent.until(lambda: agent.acknowledged == 1)
    before = scheduler.stored()
    task_id = task.task_arn[-32:]
    for sequence in (0, -(2**63), 2**63 - 1, 1):
        back = pb.TaskReport(task_id=task_id, last_status="PENDING")
        await agent.call.write(pb.AgentMessage(reports=pb.Reports(sequence=sequence, tasks=[back])))
        await agent.until(lambda sequence=sequence: agent.acknowledged == sequence)  # type: ignore[misc]
    assert scheduler.stored() == before


async def test_a_stopped_task_does_not_run_again(scheduler: Scheduler, agent: SimulatedAgent) -> None:
    await register(scheduler)
    (task,) = (await run(scheduler)).tasks
    task_id = task.task_arn[-32:]
    await agent.report(pb.TaskReport(task_id=task_id, last_status="STOPPED"))
    await agent.until(lambda: agent.tasks == {task_id: "STOPPED"})
    await agent.report(pb.TaskReport(task_id=task_id, last_status="RUNNING"))
    await agent.until(lambda: agent.acknowledged == agent.sequence == 3)
    (seen,) = (await scheduler.cluster.DescribeTasks(task_pb2.DescribeTasksRequest(tasks=[task_id]))).tasks
    assert seen.last_status == "STOPPED"


@pytest.mark.parametrize("incarnation", [0, 1, -1])
async def test_a_copy_of_an_agent_is_refused(scheduler: Scheduler, agent: SimulatedAgent, incarnation: int) -> None:
    """An equal or lower incarnation never takes over, nor does its end end the other's session."""
    before = scheduler.stored()
    copy = RawSession(scheduler, INSTANCE)
    await copy.say(hello(INSTANCE, incarnation=incarnation))
    error = await refused(copy.end())
    assert error.code == ("ALREADY_EXISTS" if incarnation == 1 else "INVALID_ARGUMENT")
    assert scheduler.stored() == before
    assert scheduler.plane.tables.sessions == {INSTANCE: 1}


async def test_a_higher_incarnation_takes_over(scheduler: Scheduler, agent: SimulatedAgent) -> None:
    async with SimulatedAgent(scheduler.channel("agent", INSTANCE), INSTANCE, incarnation=2**63 - 1):
        await asyncio.gather(*agent._running[:1])  # the first session's reading has come to its end
        assert scheduler.plane.tables.sessions == {INSTANCE: 2**63 - 1}


async def test_silence_ends_a_session(scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent_session, "SESSION_DEADLINE_MIN_SECONDS", 0.1)
    monkeypatch.setattr(agent_session, "HEARTBEAT_MIN_SECONDS", 0.01)
    session = await RawSession(scheduler).opened()
    error = await refused(session.end())
    assert error.code == "UNAVAILABLE"
    await scheduler.until_disconnected(FOREIGN)


async def test_an_agent_that_says_no_more_is_not_connected(scheduler: Scheduler) -> None:
    """It closes its side of the stream only."""
    session = await RawSession(scheduler).opened()
    await session.call.done_writing()
    await session.end()
    await scheduler.until_disconnected(FOREIGN)


async def test_an_agent_that_does_not_listen_is_not_connected(
    scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent_session, "SESSION_DEADLINE_MIN_SECONDS", 0.5)
    monkeypatch.setattr(agent_session, "HEARTBEAT_MIN_SECONDS", 0.01)
    monkeypatch.setattr(agent_session, "OUTGOING_MAX", 2)
    session = await RawSession(scheduler).opened()
    reports = [pb.TaskReport(task_id=f"{n:064d}", last_status="STOPPED") for n in range(10_000)]
    message = pb.AgentMessage(reports=pb.Reports(sequence=1, tasks=reports))

    async def talk() -> None:
        while True:
            await session.call.write(message)

    talking = asyncio.create_task(talk())
    await scheduler.until_disconnected(FOREIGN)
    talking.cancel()
    await asyncio.gather(talking, return_exceptions=True)
    await goes_on(scheduler)


async def test_gone_while_its_session_is_opened(scheduler: Scheduler) -> None:
    """The session is open for the engine before the agent's call knows: it must not stay."""
    submit = scheduler.plane.engine.submit
    asked = asyncio.Event()
    go = asyncio.Event()

    async def slow(request: Input) -> Reply:
        if isinstance(request, AgentHello):
            asked.set()
            await go.wait()
        return await submit(request)

    scheduler.plane.engine.submit = slow  # type: ignore[method-assign]
    session = RawSession(scheduler)
    await session.say(hello(FOREIGN))
    await asked.wait()
    session.call.cancel()
    await until(lambda: session.call.done())
    await goes_on(scheduler)
    go.set()
    await until(lambda: FOREIGN in scheduler.plane.tables.instances)
    await scheduler.until_disconnected(FOREIGN)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0)


async def test_ten_thousand_reports_of_tasks_nobody_knows(scheduler: Scheduler) -> None:
    session = await RawSession(scheduler).opened()
    reports = [pb.TaskReport(task_id=f"{n:032x}", last_status="RUNNING") for n in range(10_000)]
    before = scheduler.stored()
    started = time.process_time()
    await session.say(pb.AgentMessage(reports=pb.Reports(sequence=1, tasks=reports)))
    forget = await session.call.read()
    assert len(forget.assignments.assignments) == 10_000
    assert time.process_time() - started < 2
    assert scheduler.stored() == before
    await goes_on(scheduler)
