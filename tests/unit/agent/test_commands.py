"""The agent's side of a command, over real gRPC to a scheduler of the test's own, on the engine in memory."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from shoal.rpc import open_channel
from shoal.v1 import agent_pb2, agent_pb2_grpc
from shoal.v1 import command_pb2 as pb
from shoal_agent import commands
from shoal_agent.commands import Commands
from shoal_agent.configuration import Configuration
from shoal_agent.life.runner import Lane

from tests.fakes.memory_engine import MemoryEngine
from tests.ground.certificates import Certificates
from tests.unit.agent.rig import INSTANCE, Rig, assignment, quick
from tests.unit.agent.scheduler import FakeScheduler

Input = pb.CommandInput


@pytest.fixture
async def scheduler(certificates: Certificates) -> AsyncIterator[FakeScheduler]:
    made = FakeScheduler(certificates.credentials("scheduler", "one"))
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Rig]:
    """With one task, t1, that runs."""
    quick(monkeypatch)
    made = Rig(tmp_path / "state", MemoryEngine(), Configuration())
    await made.start()
    made.assign(assignment("t1"))
    await made.until(lambda: any(report.last_status == "RUNNING" for report in made.reports))
    yield made
    await made.crash()


class Agent:
    """`run` as a session would when it is asked."""

    def __init__(self, stub: Any, rig: Rig) -> None:
        self.stub = stub
        self.commands = Commands(rig.around, rig.worker)

    async def run(self, request_id: str, *command: str, **more: Any) -> None:
        start = pb.ExecuteCommandStart(**{"task": "t1", "container": "web", "command": command, **more})
        request = agent_pb2.CommandRequest(request_id=request_id, start=start)
        async with asyncio.timeout(20):
            await self.commands.run(self.stub, request)


@pytest.fixture
async def agent(scheduler: FakeScheduler, rig: Rig, certificates: Certificates) -> AsyncIterator[Agent]:
    async with open_channel(scheduler.endpoint, certificates.credentials("agent", INSTANCE)) as channel:
        made = Agent(agent_pb2_grpc.AgentSessionStub(channel), rig)
        yield made
        await made.commands.close()


async def test_output_of_both_streams_and_the_exit_code(agent: Agent, scheduler: FakeScheduler) -> None:
    await agent.run("a", "sh", "-c", "echo out; echo err >&2; exit 5")
    assert scheduler.commands["a"] == [
        pb.CommandOutput(started=pb.CommandStarted(container="web")),
        pb.CommandOutput(stdout=b"out\n"),
        pb.CommandOutput(stderr=b"err\n"),
        pb.CommandOutput(exit_code=5),
    ]


async def test_input_is_taken_in_order_to_its_end(agent: Agent, scheduler: FakeScheduler) -> None:
    pieces = [bytes([number]) * 40_000 for number in range(20)]
    scheduler.command_inputs = [*(Input(stdin=piece) for piece in pieces), Input(stdin_end=True)]
    await agent.run("a", "cat", interactive=True)
    outputs = scheduler.commands["a"]
    assert b"".join(output.stdout for output in outputs) == b"".join(pieces)
    assert max(output.stdin_taken for output in outputs) == 800_000
    assert outputs[-1] == pb.CommandOutput(exit_code=0)


async def test_signals_and_sizes(agent: Agent, scheduler: FakeScheduler, rig: Rig) -> None:
    sizes = [Input(resize=pb.TerminalSize(rows=number, columns=9)) for number in range(1, 50)]
    scheduler.command_inputs = [*sizes, Input(signal="SIGINT")]
    await agent.run("a", "sh", "-c", "sleep 1", tty=True, size=pb.TerminalSize(rows=2, columns=3))
    assert scheduler.commands["a"][-1].exit_code == 130
    (execution,) = rig.engine.executions
    assert execution.sizes[0] == (2, 3) and execution.sizes[-1] == (49, 9)


async def test_a_stream_that_breaks_ends_the_command(agent: Agent, scheduler: FakeScheduler, rig: Rig) -> None:
    scheduler.command_ends_with = ("started",)
    await agent.run("a", "sh", "-c", "sleep 1")
    await agent.commands.close()
    assert rig.engine.executions[0].has_ended.is_set()


async def test_a_session_that_ends_ends_the_command(agent: Agent, scheduler: FakeScheduler, rig: Rig) -> None:
    running = asyncio.create_task(agent.run("a", "sh", "-c", "sleep 1"))
    await scheduler.until(lambda: scheduler.commands.get("a"))
    running.cancel()
    await asyncio.wait({running})
    await agent.commands.close()
    assert rig.engine.executions[0].has_ended.is_set()


async def test_why_it_cannot_be(
    agent: Agent, scheduler: FakeScheduler, rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    await agent.run("a", "sh", task="nobody")
    await agent.run("b", "sh", container="nobody")
    monkeypatch.setattr(commands, "COMMANDS_MAX", 0)
    await agent.run("c", "sh")
    monkeypatch.undo()
    monkeypatch.setattr(Lane, "is_internal", lambda *_: True)
    await agent.run("d", "sh")
    monkeypatch.undo()
    rig.engine.go_down()
    await agent.run("e", "sh")
    assert [scheduler.commands[each][-1].error.code for each in "abcde"] == [5, 5, 8, 5, 14]
    assert rig.engine.executions == []
