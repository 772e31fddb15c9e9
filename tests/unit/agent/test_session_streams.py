"""What goes beside reports on the way to a scheduler: logs, and samples."""

import asyncio
from typing import Any

import pytest
from shoal.v1 import agent_pb2, log_pb2
from shoal_agent.fingerprint import Host
from shoal_agent.logs.answer import CHUNK_BYTES_MAX
from shoal_agent.metrics.sampler import Sampler
from shoal_agent.session import Session

from tests.ground.waiting import wait_until
from tests.unit.agent.rig import CLUSTER, Rig
from tests.unit.agent.scheduler import Connect, FakeScheduler, run, wanted

HOST = Host(4, 8192, 100_000, ("GPU-1",), "Linux", "aarch64", "somewhere")


async def test_logs_in_messages_of_bounded_size(connect: Connect, scheduler: FakeScheduler, rig: Rig) -> None:
    await connect()
    await scheduler.until(lambda: scheduler.sessions)
    lines = ["x" * 1000 + str(number) for number in range(300)]
    await run(scheduler, "t1", ["sh", "-c", ";".join(f"echo {line}" for line in lines)])
    await scheduler.report("t1", "STOPPED")
    await scheduler.ask_for_logs("a", log_pb2.ReadLogsRequest(task=f"arn:shoal:ecs:local:0:task/{CLUSTER}/t1"))
    await scheduler.until(lambda: "a" in scheduler.logs_ended)
    chunks = scheduler.logs["a"]
    assert chunks[0].request_id == "a" and not any(chunk.HasField("error") for chunk in chunks)
    assert [event.message.decode() for chunk in chunks for event in chunk.events] == lines
    assert all(chunk.ByteSize() <= CHUNK_BYTES_MAX for chunk in chunks) and len(chunks) > 4


async def test_logs_may_be_asked_for_before_there_are_any(connect: Connect, scheduler: FakeScheduler, rig: Rig) -> None:
    await connect()
    await scheduler.until(lambda: scheduler.sessions)
    rig.engine.images.clear()
    rig.engine.stuck.add("image")
    await run(scheduler, "t1", ["sh", "-c", "echo hello"])
    await rig.until(lambda: ("pull", "image") in rig.engine.calls)
    await scheduler.ask_for_logs("a", log_pb2.ReadLogsRequest(task="t1", follow=True))
    await scheduler.ask_for_logs("b", log_pb2.ReadLogsRequest(task="t1"))
    await scheduler.until(lambda: "b" in scheduler.logs_ended)
    assert scheduler.logs["b"][-1].error.code == 5
    stop = wanted("t1")
    stop.desired_status = "STOPPED"
    await scheduler.say(stop)
    await scheduler.until(lambda: "a" in scheduler.logs_ended)
    assert "has not made it" in scheduler.logs["a"][-1].error.message


async def test_logs_of_an_unknown_task(connect: Connect, scheduler: FakeScheduler) -> None:
    await connect()
    await scheduler.until(lambda: scheduler.sessions)
    await scheduler.ask_for_logs("a", log_pb2.ReadLogsRequest(task="nobody"))
    await scheduler.until(lambda: "a" in scheduler.logs_ended)
    assert scheduler.logs["a"][-1].error.code == 5


async def test_samples_are_told(connect: Connect, scheduler: FakeScheduler, sampler: Sampler) -> None:
    await connect()
    await scheduler.until(lambda: scheduler.sessions and scheduler.sessions[0].heartbeats)
    await sampler.take()
    await scheduler.until(lambda: len(scheduler.sessions[0].samples) == 1)
    first = scheduler.sessions[0].samples[0]
    assert first.host.memory_total_bytes > 0 and not first.host.HasField("cpu_percent") and first.dropped == 0
    await sampler.take()
    await scheduler.until(lambda: len(scheduler.sessions[0].samples) == 2)
    assert scheduler.sessions[0].samples[1].host.HasField("storage_read_bytes")


async def test_samples_that_nobody_can_take_are_dropped_and_counted(
    connect: Connect, scheduler: FakeScheduler, sampler: Sampler
) -> None:
    """Of the time without a session only the newest is told later, and only with the next one."""
    for _ in range(3):
        await sampler.take()
    assert sampler.dropped == 2
    await connect()
    await scheduler.until(lambda: scheduler.sessions and scheduler.sessions[0].heartbeats)
    assert not scheduler.sessions[0].samples
    await sampler.take()
    await scheduler.until(lambda: scheduler.sessions[0].samples)
    assert scheduler.sessions[0].samples[0].dropped == sampler.dropped == 3


async def test_a_sample_waits_for_no_report_and_no_report_for_a_sample(
    connect: Connect, scheduler: FakeScheduler, sampler: Sampler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the stream has no room, a sample is dropped at once; what waits is sent as if there had been none."""
    write, held, room = Session._write, asyncio.Event(), asyncio.Event()

    async def slowly(self: Session, call: Any, message: agent_pb2.AgentMessage) -> None:
        if message.HasField("reports"):
            async with self._writing:
                held.set()
                await room.wait()
        await write(self, call, message)

    monkeypatch.setattr(Session, "_write", slowly)
    await connect()
    await scheduler.until(lambda: scheduler.sessions and scheduler.sessions[0].heartbeats)
    await run(scheduler, "t1")
    await held.wait()
    for _ in range(3):
        await sampler.take()
        await wait_until(lambda: not sampler.changed.is_set())
    assert sampler.told is None and sampler.dropped == 2
    room.set()
    await scheduler.report("t1", "RUNNING")
    assert not scheduler.sessions[0].samples
