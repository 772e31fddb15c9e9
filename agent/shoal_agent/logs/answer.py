"""Answers a log request: a stream of its own, opened by the agent, that carries one container's output.

It comes from the engine while the container is there, and from the log store once it is not (source.py). It is
read only as fast as the scheduler takes: a bounded queue lies between, and a full one stops the reading. What waits
goes together, up to 64 KiB a message.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

import grpc
from google.rpc import status_pb2
from shoal import arn
from shoal.v1 import agent_pb2, agent_pb2_grpc, log_pb2

from shoal_agent.engine.log_position import NOTICE, Position, following, parse_position
from shoal_agent.engine.port import ContainerGone, EngineError, LogLine
from shoal_agent.life.case import Surroundings
from shoal_agent.logs import source as log_source
from shoal_agent.logs.source import Unreadable, Wanted
from shoal_agent.worker import Worker

log = logging.getLogger(__name__)

CHUNK_BYTES_MAX = 64 * 1024
LINES_WAITING_MAX = 512
STREAMS_MAX = 64

# A line has a few bytes of its own beside its text.
_LINE_OVERHEAD_BYTES = 88

# A reader takes at most half of one core: after each message it rests for as long as that was work.
REST_SECONDS_MAX = 0.1


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
            asked = _wanted(wanted.request)
            source = await log_source.find(self._around, self._worker, arn.short(wanted.request.task), asked)
            before: Position | None = None
            began = time.thread_time()
            async for batch in _batches(log_source.lines(self._around, source, asked)):
                events = []
                for line in batch:
                    before = before if line.stream == NOTICE else following(before, line)
                    events.append(_event(source.container, line, before))
                yield agent_pb2.LogChunk(events=events)
                began = await _rest(began)
            yield agent_pb2.LogChunk(last=True)
        except Unreadable as reason:
            yield agent_pb2.LogChunk(error=status_pb2.Status(code=reason.code.value[0], message=str(reason)))
        except EngineError as error:
            gone = isinstance(error, ContainerGone)
            code = grpc.StatusCode.NOT_FOUND if gone else grpc.StatusCode.UNAVAILABLE
            message = f"the engine gives no logs: {error.message}"
            yield agent_pb2.LogChunk(error=status_pb2.Status(code=code.value[0], message=message))


async def _rest(began: float) -> float:
    """For as long as the loop has worked since `began`; returns when that began anew."""
    await asyncio.sleep(min(REST_SECONDS_MAX, time.thread_time() - began))
    return time.thread_time()


def _wanted(request: log_pb2.ReadLogsRequest) -> Wanted:
    return Wanted(
        container=request.container,
        follow=request.follow,
        since=request.since / 1000 if request.HasField("since") else None,
        tail=request.tail if request.HasField("tail") else None,
        after=parse_position(request.after),
    )


def _event(container: str, line: LogLine, position: Position | None) -> log_pb2.LogEvent:
    at = str(position) if position is not None and line.stream != NOTICE else None
    return log_pb2.LogEvent(container=container, stream=line.stream, timestamp=line.at, message=line.text, position=at)


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
