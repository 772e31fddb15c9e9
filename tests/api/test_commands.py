"""ExecuteCommand through the running server and a simulated agent."""

import asyncio
from collections.abc import Sequence
from typing import Any

import grpc
import pytest
from shoal.v1 import agent_pb2, agent_pb2_grpc, task_pb2
from shoal.v1 import command_pb2 as pb
from shoal_scheduler import command_relay

from tests.api.conftest import INSTANCE
from tests.api.refusals import INVALID, PARAMETER, refused, refused_with
from tests.api.requests import register, run
from tests.fakes.agent import SimulatedAgent, now_millis
from tests.fakes.scheduler import Scheduler

Request, Input, Start, Size = pb.ExecuteCommandRequest, pb.CommandInput, pb.ExecuteCommandStart, pb.TerminalSize
PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION


def with_containers(*names: str, status: str = "RUNNING") -> Any:
    """A task whose containers have that status."""

    def life(assignment: agent_pb2.Assignment) -> Sequence[agent_pb2.TaskReport]:
        containers = [task_pb2.Container(name=name, last_status=status, runtime_id="c" * 64) for name in names]
        report = agent_pb2.TaskReport(
            task_id=assignment.task_id, last_status=status, started_at=now_millis(), containers=containers
        )
        return [report]

    return life


@pytest.fixture
async def task(scheduler: Scheduler, agent: SimulatedAgent) -> str:
    """One that runs, has one container, and may be entered."""
    agent.life = with_containers("app")
    return await one_task(scheduler, agent)


async def one_task(scheduler: Scheduler, agent: SimulatedAgent, enabled: bool = True) -> str:
    await register(scheduler)
    (task,) = (await run(scheduler, enable_execute_command=enabled)).tasks
    task_id = str(task.task_arn).rpartition("/")[2]
    await agent.until(lambda: agent.acknowledged > 0)
    return task_id


def start(task: str, **more: Any) -> pb.ExecuteCommandRequest:
    return Request(start=Start(**{"task": task, "command": ["sh"], "interactive": True, **more}))


def stdin(data: bytes) -> pb.ExecuteCommandRequest:
    return Request(input=Input(stdin=data))


END = Request(input=Input(stdin_end=True))


async def execute(scheduler: Scheduler, *requests: pb.ExecuteCommandRequest) -> list[pb.CommandOutput]:
    """All outputs. The caller stays until the command has ended."""
    call = scheduler.cluster.ExecuteCommand()
    for request in requests:
        await call.write(request)
    async with asyncio.timeout(10):
        return [answer.output async for answer in call]


async def test_what_is_said_goes_in_and_comes_out(scheduler: Scheduler, agent: SimulatedAgent, task: str) -> None:
    asked = start(task, command=["cat", "-"], tty=True, size=Size(rows=3, columns=4))
    outputs = await execute(scheduler, asked, stdin(b"one"), Request(input=Input(signal="SIGINT")), stdin(b"\xff"), END)
    assert outputs == [
        pb.CommandOutput(started=pb.CommandStarted(container="app")),
        pb.CommandOutput(stdout=b"one"),
        pb.CommandOutput(stdin_taken=3),
        pb.CommandOutput(stderr=b"SIGINT"),
        pb.CommandOutput(stdout=b"\xff"),
        pb.CommandOutput(stdin_taken=4),
        pb.CommandOutput(exit_code=7),
    ]
    (request,) = agent.command_requests
    wanted = Start(
        task=task, container="app", command=["cat", "-"], tty=True, interactive=True, size=Size(rows=3, columns=4)
    )
    assert request.start == wanted


async def test_a_caller_that_says_no_more_ends_the_input(scheduler: Scheduler, task: str) -> None:
    call = scheduler.cluster.ExecuteCommand()
    await call.write(start(task))
    await call.done_writing()
    assert [answer.output.exit_code async for answer in call][-1] == 7


BAD: dict[str, tuple[list[pb.ExecuteCommandRequest], str]] = {
    "nothing": ([Request()], "start"),
    "stdin before the start": ([stdin(b"a")], "start"),
    "no task": ([start("")], "task"),
    "no command": ([start("TASK", command=[])], "command"),
    "an empty program": ([start("TASK", command=["", "x"])], "command"),
    "a long command": ([start("TASK", command=["x" * 70_000])], "command"),
    "many arguments": ([start("TASK", command=["x"] * 1025)], "command"),
    "a NUL": ([start("TASK", command=["a\0b"])], "command"),
    "a size below zero": ([start("TASK", size=Size(rows=-1))], "size.rows"),
    "a container it does not have": ([start("TASK", container="\x1b[2J")], "container"),
    "a second start": ([start("TASK"), start("TASK")], "start"),
    "an empty message": ([start("TASK"), Request()], "input"),
    "an empty input": ([start("TASK"), Request(input=Input())], "input"),
    "a signal of another name": ([start("TASK"), Request(input=Input(signal="KILL"))], "input.signal"),
    "a large size": ([start("TASK"), Request(input=Input(resize=Size(columns=65536)))], "input.resize.columns"),
    "stdin nobody reads": ([start("TASK", interactive=False), stdin(b"a")], "input.stdin"),
    "stdin after its end": ([start("TASK"), END, stdin(b"a")], "input.stdin"),
    "much stdin at once": ([start("TASK"), stdin(b"x" * 65537)], "input.stdin"),
    "stdin far ahead": ([start("TASK"), *[stdin(b"x" * 65536)] * 5], "input.stdin"),
}


@pytest.mark.parametrize("case", BAD)
async def test_bad_input(scheduler: Scheduler, agent: SimulatedAgent, task: str, case: str) -> None:
    agent.command_takes = False
    requests, field = BAD[case]
    for request in requests:
        if request.start.task:
            request.start.task = task
    await refused_with(execute(scheduler, *requests), INVALID, PARAMETER, field)
    asked = len(agent.command_requests)
    await agent.until(lambda: agent.commands_ended == asked)


async def test_what_was_not_enabled(scheduler: Scheduler, agent: SimulatedAgent) -> None:
    agent.life = with_containers("app")
    task = await one_task(scheduler, agent, enabled=False)
    error = await refused_with(execute(scheduler, start(task)), PRECONDITION, PARAMETER)
    assert "--enable-execute-command" in error.message


@pytest.mark.parametrize("status", ["PENDING", "STOPPED"])
async def test_what_does_not_run(scheduler: Scheduler, agent: SimulatedAgent, status: str) -> None:
    agent.life = with_containers("app", status=status)
    task = await one_task(scheduler, agent)
    error = await refused_with(execute(scheduler, start(task)), PRECONDITION, PARAMETER)
    assert status in error.message


async def test_a_task_nobody_knows(scheduler: Scheduler, agent: SimulatedAgent) -> None:
    await refused_with(execute(scheduler, start("f" * 32)), grpc.StatusCode.NOT_FOUND, PARAMETER)


async def test_of_an_instance_that_is_away(scheduler: Scheduler, agent: SimulatedAgent, task: str) -> None:
    agent.call.cancel()
    await scheduler.until_disconnected(INSTANCE)
    await refused_with(execute(scheduler, start(task)), PRECONDITION, "TargetNotConnectedException")


async def test_only_the_agent_that_was_asked_may_answer(
    scheduler: Scheduler, agent: SimulatedAgent, task: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def stays_silent(_request: agent_pb2.CommandRequest) -> None:
        pass

    monkeypatch.setattr(agent, "_attach", stays_silent)
    call = scheduler.cluster.ExecuteCommand()
    await call.write(start(task))
    await agent.until(lambda: bool(agent.command_requests))
    first = agent_pb2.AttachedOutput(request_id=agent.command_requests[0].request_id)

    async def answer(name: str, said: agent_pb2.AttachedOutput) -> Any:
        attached = agent_pb2_grpc.AgentSessionStub(scheduler.channel("agent", name)).AttachCommand()
        await attached.write(said)
        return attached

    for name, said in (("2e" * 16, first), (INSTANCE, agent_pb2.AttachedOutput(request_id="guessed"))):
        assert (await refused((await answer(name, said)).read())).code == "NOT_FOUND"
    attached = await answer(INSTANCE, first)
    await attached.write(agent_pb2.AttachedOutput(output=pb.CommandOutput(stdout=b"mine")))
    heard = await call.read()
    assert isinstance(heard, pb.ExecuteCommandResponse) and heard.output.stdout == b"mine"
    assert (await refused((await answer(INSTANCE, first)).read())).code == "NOT_FOUND"
    attached.cancel()
    error = await refused(call.read())
    assert error.code == "UNAVAILABLE" and "broke off" in error.message


async def test_an_agent_of_another_cluster_may_not_answer(scheduler: Scheduler) -> None:
    request_id, exchange = scheduler.plane.commands.open("default", INSTANCE)
    assert scheduler.plane.commands.answer(request_id, "other", INSTANCE) is None
    assert scheduler.plane.commands.answer(request_id, "default", INSTANCE) is exchange


async def test_the_agent_hears_that_the_caller_has_gone(scheduler: Scheduler, agent: SimulatedAgent, task: str) -> None:
    agent.command_takes = False
    call = scheduler.cluster.ExecuteCommand()
    await call.write(start(task))
    await call.read()
    call.cancel()
    await agent.until(lambda: agent.commands_ended == 1)


async def test_the_agents_reason_is_the_callers(
    scheduler: Scheduler, agent: SimulatedAgent, task: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuses(request: agent_pb2.CommandRequest) -> None:
        call = agent_pb2_grpc.AgentSessionStub(scheduler.channel("agent", INSTANCE)).AttachCommand()
        await call.write(agent_pb2.AttachedOutput(request_id=request.request_id))
        output = pb.CommandOutput()
        output.error.code, output.error.message = PRECONDITION.value[0], "it is paused"
        await call.write(agent_pb2.AttachedOutput(output=output))
        await call.read()

    monkeypatch.setattr(agent, "_attach", refuses)
    error = await refused_with(execute(scheduler, start(task)), PRECONDITION, PARAMETER)
    assert error.message == "it is paused"


async def test_no_more_than_so_many_at_once(
    scheduler: Scheduler, agent: SimulatedAgent, task: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command_relay, "COMMANDS_MAX", 1)
    call = scheduler.cluster.ExecuteCommand()
    await call.write(start(task))
    await call.read()
    error = await refused(execute(scheduler, start(task)))
    assert (error.code, error.reason) == ("RESOURCE_EXHAUSTED", "LimitExceededException")
    call.cancel()
    await agent.until(lambda: agent.commands_ended == 1)
    assert (await execute(scheduler, start(task), END))[-1].exit_code == 7


async def test_of_several_containers_one_is_to_be_named(scheduler: Scheduler, agent: SimulatedAgent) -> None:
    agent.life = with_containers("app", "log")
    task = await one_task(scheduler, agent)
    error = await refused_with(execute(scheduler, start(task)), INVALID, PARAMETER, "container")
    assert "app, log" in error.message
    assert (await execute(scheduler, start(task, container="log"), END))[0].started.container == "log"
