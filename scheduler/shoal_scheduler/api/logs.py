"""Logs of a task: the agent of its instance opens a stream and sends them through here."""

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator

import grpc
from google.rpc import status_pb2
from shoal.rpc import Identity
from shoal.v1 import agent_pb2, log_pb2

from shoal_scheduler.api.fields import cluster_name, required
from shoal_scheduler.control.tasks import find
from shoal_scheduler.control_plane import ControlPlane
from shoal_scheduler.dispatch import LogsWanted
from shoal_scheduler.engine import Unavailable
from shoal_scheduler.model.refusal import Refused, invalid_field
from shoal_scheduler.state.overlay import Overlay

FIRST_ANSWER_SECONDS = 10.0

# Several wait for a slow reader, of each reading.
CHUNK_BYTES_MAX = 1024 * 1024

_POSITION = re.compile(r"[0-9]{1,19}\.[0-9]{1,9}")


async def read(
    plane: ControlPlane, request: log_pb2.ReadLogsRequest, _caller: Identity
) -> AsyncGenerator[log_pb2.ReadLogsResponse]:
    for name in ("since", "tail"):
        if getattr(request, name) < 0:
            raise invalid_field(name, "must not be negative.")
    if request.after and not _POSITION.fullmatch(request.after):
        raise invalid_field("after", "must be the position of a line, as ReadLogs gave it.")
    task = find(Overlay(plane.tables), cluster_name(request), required(request, "task", "task"))
    names = [state.name for state in task.containers]
    if request.container and request.container not in names:
        raise invalid_field("container", f"the task has no container {request.container!r}: {', '.join(names)}.")
    if task.stop_code == "TaskFailedToStart" and all(state.exit_code is None for state in task.containers):
        raise Refused("not_found", f"The task never started, so it wrote nothing: {task.stopped_reason}")
    if task.instance not in plane.tables.sessions:
        raise Unavailable("The instance of the task is not connected: its logs can be read when it is back.")
    request_id, pipe = plane.logs.open()
    wanted = LogsWanted(
        request_id,
        task.id,
        container=request.container,
        follow=request.follow,
        since=request.since if request.HasField("since") else None,
        tail=request.tail if request.HasField("tail") else None,
        after=request.after,
    )
    try:
        plane.dispatch.ask_logs(task.instance, wanted)
        async with asyncio.timeout(FIRST_ANSWER_SECONDS):
            chunk = await pipe.receive()
        while chunk is not None:
            yield _response(chunk)
            chunk = await pipe.receive()
    except TimeoutError:
        raise Unavailable("The instance of the task did not answer: try again.") from None
    finally:
        plane.logs.close(request_id)


def _response(chunk: object) -> log_pb2.ReadLogsResponse:
    assert isinstance(chunk, agent_pb2.LogChunk)
    if chunk.HasField("error"):
        raise _why_not(chunk.error)
    return log_pb2.ReadLogsResponse(events=chunk.events)


def _why_not(error: status_pb2.Status) -> Exception:
    if error.code == grpc.StatusCode.NOT_FOUND.value[0]:
        return Refused("not_found", error.message or "The logs are not there any more.")
    return Unavailable(error.message or "The instance of the task gives no logs now: try again.")


async def send(
    plane: ControlPlane, chunks: AsyncIterator[agent_pb2.LogChunk], _caller: Identity
) -> agent_pb2.SendLogsResponse:
    """The agent's side. The id is unguessable and known only to the agent that was asked."""
    pipe, whole = None, False
    try:
        async for chunk in chunks:
            pipe = pipe or plane.logs.find(chunk.request_id)
            if pipe is None:
                raise Refused("not_found", "Nobody waits for these logs (any more).")
            if chunk.ByteSize() > CHUNK_BYTES_MAX:
                raise invalid_field("events", f"have {chunk.ByteSize()} bytes, at most {CHUNK_BYTES_MAX} in a message.")
            if whole or not await pipe.send(chunk):
                break
            whole = chunk.last or chunk.HasField("error")
    finally:
        # A stream that is cancelled ends here like one that is complete: only its last chunk tells.
        if pipe is not None:
            pipe.end(None if whole else "The instance of the task broke off in the middle of its logs: try again.")
    return agent_pb2.SendLogsResponse()
