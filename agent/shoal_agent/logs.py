"""Answers a log request: a stream of its own, opened by the agent, that carries one container's output.

The engine is read only as fast as the scheduler takes: a bounded queue lies between, and a full one stops the
reading. What waits goes together, up to 64 KiB a message.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

import grpc
from google.rpc import status_pb2
from shoal import arn
from shoal.v1 import agent_pb2, agent_pb2_grpc, log_pb2

from shoal_agent import labels
from shoal_agent.case import Surroundings
from shoal_agent.engine import ContainerGone, EngineError, LogLine
from shoal_agent.task import ABSENT, Task
from shoal_agent.worker import Worker

log = logging.getLogger(__name__)

CHUNK_BYTES_MAX = 64 * 1024
LINES_WAITING_MAX = 512
STREAMS_MAX = 64

# A line has a few bytes of its own beside its text.
_LINE_OVERHEAD_BYTES = 48


class Unreadable(Exception):  # noqa: N818 - reads as what it says
    """Why there are no logs; `code` is gRPC's."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.status = status_pb2.Status(code=code.value[0], message=message)


class Logs:
    def __init__(self, around: Surroundings, worker: Worker) -> None:
        self._around = around
        self._worker = worker
        self._open = 0

    async def send(self, stub: "agent_pb2_grpc.AgentSessionAsyncStub", wanted: agent_pb2.LogRequest) -> None:
        """Opens the stream and fills it; faults are told in it, or logged if it breaks."""
        self._open += 1
        try:
            await stub.SendLogs(self._chunks(wanted))
        except grpc.aio.AioRpcError as error:
            log.info("log stream broke request=%s code=%s", wanted.request_id, error.code().name)
        finally:
            self._open -= 1

    async def _chunks(self, wanted: agent_pb2.LogRequest) -> AsyncIterator[agent_pb2.LogChunk]:
        yield agent_pb2.LogChunk(request_id=wanted.request_id)
        try:
            if self._open > STREAMS_MAX:
                raise Unreadable(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many logs of this instance are being read")
            name, container = await self._find(wanted.request)
            async for batch in _batches(self._lines(container, wanted.request)):
                yield agent_pb2.LogChunk(events=[_event(name, line) for line in batch])
            yield agent_pb2.LogChunk(last=True)
        except Unreadable as reason:
            yield agent_pb2.LogChunk(error=reason.status)
        except EngineError as error:
            gone = isinstance(error, ContainerGone)
            code = grpc.StatusCode.NOT_FOUND if gone else grpc.StatusCode.UNAVAILABLE
            yield agent_pb2.LogChunk(error=Unreadable(code, f"the engine gives no logs: {error.message}").status)

    def _lines(self, container: str, wanted: log_pb2.ReadLogsRequest) -> AsyncGenerator[LogLine, None]:
        return self._around.engine.logs(
            container,
            follow=wanted.follow,
            since=wanted.since / 1000 if wanted.HasField("since") else None,
            tail=wanted.tail if wanted.HasField("tail") else None,
        )

    async def _find(self, wanted: log_pb2.ReadLogsRequest) -> tuple[str, str]:
        """The container's name in its task and its name in the engine; for a follower, once it is there."""
        task_id = arn.short(wanted.task)
        lane = self._worker.lane(task_id)
        if lane is None:
            if not wanted.container:
                raise Unreadable(grpc.StatusCode.NOT_FOUND, "the task's containers are gone, and their logs with them")
            return wanted.container, labels.container_name(self._around.owner.cluster, task_id, wanted.container)
        name = wanted.container or _default_container(lane.task)
        while wanted.follow and not lane.over and lane.task.outcome is None:
            seen = lane.seen(name)
            if seen is not None and seen.status != ABSENT:
                break
            await lane.stepped()
        seen = lane.seen(name)
        if seen is None or seen.status == ABSENT:
            state = "has removed it already" if lane.task.launched else "has not made it yet"
            raise Unreadable(grpc.StatusCode.NOT_FOUND, f"no container {name!r} of this task: the instance {state}")
        return name, seen.runtime_id or labels.container_name(self._around.owner.cluster, task_id, name)


def _default_container(task: Task) -> str:
    """The only one, or the first that is essential."""
    essential = [plan.name for plan in task.containers if plan.essential]
    names = essential or [plan.name for plan in task.containers]
    if not names:
        raise Unreadable(grpc.StatusCode.NOT_FOUND, "the task has no containers here yet")
    return names[0]


def _event(container: str, line: LogLine) -> log_pb2.LogEvent:
    return log_pb2.LogEvent(container=container, stream=line.stream, timestamp=line.at, message=line.text)


class _Later:
    """Nothing waits just now."""


_Item = LogLine | EngineError | _Later | None


async def _batches(lines: AsyncGenerator[LogLine, None]) -> AsyncIterator[list[LogLine]]:
    """What has arrived, together, in messages of bounded size; at once when nothing more waits."""
    waiting: asyncio.Queue[_Item] = asyncio.Queue(LINES_WAITING_MAX)
    reading = asyncio.create_task(_read(lines, waiting))
    try:
        item = await waiting.get()
        while isinstance(item, LogLine):
            batch, size_bytes = [item], _size_bytes(item)
            item = _next(waiting)
            while isinstance(item, LogLine) and size_bytes + _size_bytes(item) <= CHUNK_BYTES_MAX:
                batch.append(item)
                size_bytes += _size_bytes(item)
                item = _next(waiting)
            yield batch
            if isinstance(item, _Later):
                item = await waiting.get()
        if isinstance(item, EngineError):
            raise item
    finally:
        reading.cancel()


async def _read(lines: AsyncGenerator[LogLine, None], waiting: "asyncio.Queue[_Item]") -> None:
    try:
        async with aclosing(lines):
            async for line in lines:
                await waiting.put(line)
    except EngineError as error:
        await waiting.put(error)
    else:
        await waiting.put(None)


def _next(waiting: "asyncio.Queue[_Item]") -> _Item:
    return _Later() if waiting.empty() else waiting.get_nowait()


def _size_bytes(line: LogLine) -> int:
    return len(line.text) + _LINE_OVERHEAD_BYTES
