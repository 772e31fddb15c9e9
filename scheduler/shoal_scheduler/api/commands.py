"""Commands in containers: the agent of the task's instance opens a stream, and the caller's is joined to it.

The command ends with its caller: when either stream breaks, so does the other, and the agent ends the process.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator

import grpc
from google.rpc import status_pb2
from shoal.rpc import Identity
from shoal.v1 import agent_pb2
from shoal.v1 import command_pb2 as pb

from shoal_scheduler.api.fields import cluster_name, required
from shoal_scheduler.api.validate_commands import InputCheck, check_start, container_for
from shoal_scheduler.command_relay import Exchange
from shoal_scheduler.control.tasks import find
from shoal_scheduler.control_plane import ControlPlane
from shoal_scheduler.dispatch import CommandWanted
from shoal_scheduler.engine import Unavailable
from shoal_scheduler.model.refusal import Refused, invalid_field
from shoal_scheduler.state.overlay import Overlay

log = logging.getLogger(__name__)

START_SECONDS = 10.0
FIRST_ANSWER_SECONDS = 10.0
OUTPUT_BYTES_MAX = 128 * 1024

Requests = AsyncIterator[pb.ExecuteCommandRequest]


async def execute(
    plane: ControlPlane, requests: Requests, caller: Identity
) -> AsyncGenerator[pb.ExecuteCommandResponse]:
    start = await _start(requests)
    check_start(start)
    cluster = cluster_name(start)
    task = find(Overlay(plane.tables), cluster, required(start, "task", "task"))
    container = container_for(task, start.container)
    if task.instance not in plane.tables.sessions:
        raise Refused(
            "failed_precondition",
            "The instance of the task is not connected: its commands can be executed when it is back.",
            reason="TargetNotConnectedException",
        )
    request_id, exchange = plane.commands.open(cluster, task.instance)
    inputs = InputCheck(start.interactive)
    forwarding = asyncio.create_task(_forward(requests, inputs, exchange))
    # What a caller does wrong ends the answers, too.
    forwarding.add_done_callback(lambda done: exchange.outputs.end("refused") if _failed(done) else None)
    log.info("command user=%s task=%s container=%s request=%s", caller.name, task.id, container, request_id)
    try:
        plane.dispatch.ask_command(task.instance, _wanted(request_id, task.id, container, start))
        async for output in _outputs(exchange):
            if output.HasField("stdin_taken"):
                inputs.taken(output.stdin_taken)
            yield pb.ExecuteCommandResponse(output=output)
    except Unavailable:
        if _failed(forwarding):
            forwarding.result()
        raise
    finally:
        forwarding.cancel()
        plane.commands.close(request_id)


async def _start(requests: Requests) -> pb.ExecuteCommandStart:
    try:
        async with asyncio.timeout(START_SECONDS):
            first = await anext(requests, None)
    except TimeoutError:
        raise invalid_field("start", f"must come within {START_SECONDS:.0f} s of the call's start.") from None
    if first is None or first.WhichOneof("kind") != "start":
        raise invalid_field("start", "must be the first message of the call.")
    return first.start


def _wanted(request_id: str, task_id: str, container: str, start: pb.ExecuteCommandStart) -> CommandWanted:
    size = start.size
    return CommandWanted(
        request_id, task_id, container, tuple(start.command), start.tty, start.interactive, (size.rows, size.columns)
    )


async def _forward(requests: Requests, check: InputCheck, exchange: Exchange) -> None:
    """A caller that says no more has no more input; the command may go on."""
    async for request in requests:
        if request.WhichOneof("kind") != "input":
            raise invalid_field(
                request.WhichOneof("kind") or "input", "only inputs follow the start, which comes once."
            )
        check.admit(request.input)
        if not await exchange.inputs.send(request.input):
            return
    await exchange.inputs.send(pb.CommandInput(stdin_end=True))


def _failed(task: "asyncio.Task[None]") -> bool:
    return task.done() and not task.cancelled() and task.exception() is not None


async def _outputs(exchange: Exchange) -> AsyncIterator[pb.CommandOutput]:
    try:
        async with asyncio.timeout(FIRST_ANSWER_SECONDS):
            output = await exchange.outputs.receive()
    except TimeoutError:
        raise Unavailable("The instance of the task did not answer: try again.") from None
    while output is not None:
        if output.HasField("error"):
            raise _why_not(output.error)
        yield output
        output = await exchange.outputs.receive()


def _why_not(error: status_pb2.Status) -> Exception:
    message = error.message or "The instance of the task cannot execute it now: try again."
    if error.code == grpc.StatusCode.NOT_FOUND.value[0]:
        return Refused("not_found", message, reason="InvalidParameterException")
    if error.code == grpc.StatusCode.FAILED_PRECONDITION.value[0]:
        return Refused("failed_precondition", message, reason="InvalidParameterException")
    if error.code == grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]:
        return Refused("exhausted", message, reason="LimitExceededException")
    return Unavailable(message)


async def attach(
    plane: ControlPlane, outputs: AsyncIterator[agent_pb2.AttachedOutput], caller: Identity
) -> AsyncGenerator[pb.CommandInput]:
    """The agent's side: what it sends is output, what it gets is input."""
    first = await anext(outputs, None)
    exchange = plane.commands.answer(first.request_id, caller.cluster, caller.name) if first else None
    if exchange is None:
        raise Refused("not_found", "Nobody waits for this command (any more).")
    taking = asyncio.create_task(_take(outputs, exchange))
    taking.add_done_callback(lambda _: exchange.inputs.end())
    try:
        while (message := await exchange.inputs.receive()) is not None:
            yield message
        if taking.done():
            taking.result()
    finally:
        taking.cancel()
        exchange.outputs.end("The instance of the task broke off, and the command ended with that: try again.")


async def _take(outputs: AsyncIterator[agent_pb2.AttachedOutput], exchange: Exchange) -> None:
    async for message in outputs:
        if message.ByteSize() > OUTPUT_BYTES_MAX:
            raise invalid_field("output", f"has {message.ByteSize()} bytes, at most {OUTPUT_BYTES_MAX} in a message.")
        if not await exchange.outputs.send(message.output):
            return
        if message.output.WhichOneof("kind") in ("exit_code", "error"):
            exchange.outputs.end()
            return
