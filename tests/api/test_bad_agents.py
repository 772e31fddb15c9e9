"""Agents whose host is hostile or whose program is wrong: whatever they say, the scheduler goes on for the others."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from shoal.v1 import agent_pb2 as pb
from shoal.v1 import resource_pb2
from shoal_scheduler.api import agent_session
from shoal_scheduler.control.inputs import AgentHello, Input, Reply
from shoal_scheduler.model import pace

from tests.api.conftest import INSTANCE
from tests.api.refusals import INVALID, PARAMETER, lives, refused, refused_with
from tests.api.sessions import FOREIGN, RawSession
from tests.fakes.agent import SimulatedAgent, hello
from tests.fakes.scheduler import Scheduler


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
    "a resource in another case": (
        resource(name="gpu", type="INTEGER", integer_value=1),
        "hello.resources[2].name",
    ),
    "a resource for a terminal": (
        resource(name="\x1b[2J", type="INTEGER", integer_value=1),
        "hello.resources[2].name",
    ),
    "less than nothing of a resource": (
        resource(name="licence", type="INTEGER", integer_value=-1),
        "hello.resources[2].integerValue",
    ),
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
    await lives(scheduler)


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
    monkeypatch.setattr(pace, "SESSION_DEADLINE_MIN_SECONDS", 0.1)
    monkeypatch.setattr(pace, "HEARTBEAT_MIN_SECONDS", 0.01)
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
    monkeypatch.setattr(pace, "SESSION_DEADLINE_MIN_SECONDS", 0.5)
    monkeypatch.setattr(pace, "HEARTBEAT_MIN_SECONDS", 0.01)
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
    await lives(scheduler)


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
    await lives(scheduler)
    go.set()
    await until(lambda: FOREIGN in scheduler.plane.tables.instances)
    await scheduler.until_disconnected(FOREIGN)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0)


async def test_a_copy_beside_a_living_agent_is_kept_out_whatever_its_incarnation(scheduler: Scheduler) -> None:
    """Its key was copied and started later: the agent that was first stays, and what is seen is told."""
    async with SimulatedAgent(scheduler.channel("agent", INSTANCE), INSTANCE, run="0a") as first:
        copy = RawSession(scheduler, INSTANCE)
        await copy.say(hello(INSTANCE, incarnation=2**63 - 1, run="0b"))
        assert (await refused(copy.end())).code == "ALREADY_EXISTS"
        assert scheduler.plane.tables.sessions == {INSTANCE: 1}
        assert not first.call.done()
        seen = scheduler.plane.tables.instances[INSTANCE]
        assert (seen.copies, seen.copy_host) == (("0b",), f"host-{INSTANCE[:8]}")
    await scheduler.until_disconnected(INSTANCE)
    # Also when the first is away for a while, as after a change of leader.
    again = RawSession(scheduler, INSTANCE)
    await again.say(hello(INSTANCE, incarnation=2**63 - 1, run="0b"))
    assert (await refused(again.end())).code == "ALREADY_EXISTS"
    async with SimulatedAgent(scheduler.channel("agent", INSTANCE), INSTANCE, run="0a"):
        assert scheduler.plane.tables.sessions == {INSTANCE: 1}


async def test_an_agent_that_starts_again_follows_one_that_is_silent(scheduler: Scheduler) -> None:
    """Its host lost power: nobody closed the session."""
    async with SimulatedAgent(scheduler.channel("agent", INSTANCE), INSTANCE, run="0a") as first:
        first.is_silent = True
        async with SimulatedAgent(scheduler.channel("agent", INSTANCE), INSTANCE, run="0b", incarnation=2):
            assert scheduler.plane.tables.sessions == {INSTANCE: 2}
            assert not scheduler.plane.tables.instances[INSTANCE].copies


async def test_an_agent_that_starts_again_need_not_wait_for_a_session_that_ended(scheduler: Scheduler) -> None:
    async with SimulatedAgent(scheduler.channel("agent", INSTANCE), INSTANCE, run="0a"):
        pass
    async with asyncio.timeout(3):
        async with SimulatedAgent(scheduler.channel("agent", INSTANCE), INSTANCE, run="0b", incarnation=2):
            assert scheduler.plane.tables.sessions == {INSTANCE: 2}
