"""The output of containers as it comes, resumed where it broke off; of several, one after the other by time."""

import asyncio
import heapq
import os
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence

import click

from shoal import errors
from shoal.cli import follow, text
from shoal.cli.failures import warn
from shoal.cli.log_sources import Source
from shoal.cli.session import Session
from shoal.lifecycle import has_started
from shoal.v1 import log_pb2

# A follower outlives a change of leader and a restarted agent, but does not hang for ever on a lost one.
RESUME_WITHIN_SECONDS = 60.0
RESUME_DELAY_SECONDS = 0.5

# Lines that may wait for a slow terminal, of all followed containers together.
LINES_WAITING_MAX = 1000

_COLOURS = ("cyan", "yellow", "green", "magenta", "blue", "bright_cyan", "bright_yellow", "bright_green")

_Line = tuple[int, log_pb2.LogEvent]


class Printer:
    """Writes each line to stdout or stderr, as the container did. Of several containers each has its label before it,
    in a colour of its own on a terminal."""

    def __init__(self, session: Session, sources: Sequence[Source], timestamps: bool = False) -> None:
        self._session = session
        self._timestamps = timestamps
        width = max(len(source.label) for source in sources)
        coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        self._marks = [
            _mark(source.label.ljust(width), _COLOURS[at % len(_COLOURS)] if coloured else None).encode()
            for at, source in enumerate(sources)
        ]
        if len(sources) == 1:
            self._marks = [b""]

    def write(self, source: int, event: log_pb2.LogEvent) -> None:
        self._session.progress.end()
        output = sys.stdout.buffer if event.stream == "stdout" else sys.stderr.buffer
        clock = f"{text.clock(event.timestamp)} ".encode() if self._timestamps else b""
        output.write(self._marks[source] + clock + event.message + b"\n")
        output.flush()


def _mark(label: str, colour: str | None) -> str:
    return click.style(f"{label} | ", fg=colour) if colour else f"{label} | "


async def copy(
    session: Session, sources: Sequence[Source], request: log_pb2.ReadLogsRequest, timestamps: bool = False
) -> None:
    """Writes the output of all `sources` to ours. `request` says what of each; its task and container are ignored.

    Raises what the only one raises; of several, one that cannot be read is told and left out.
    """
    streams = [_events(session, _of(request, source)) for source in sources]
    if len(sources) > 1:
        streams = [_telling(source, stream) for source, stream in zip(sources, streams, strict=True)]
    printer = Printer(session, sources, timestamps)
    lines = _as_they_come(session, sources, streams) if request.follow else _by_time(streams)
    async for at, event in lines:
        printer.write(at, event)


def _of(request: log_pb2.ReadLogsRequest, source: Source) -> log_pb2.ReadLogsRequest:
    own = log_pb2.ReadLogsRequest()
    own.CopyFrom(request)
    own.task = source.task_id
    if source.container:
        own.container = source.container
    return own


async def _telling(
    source: Source, stream: AsyncGenerator[log_pb2.LogEvent, None]
) -> AsyncGenerator[log_pb2.LogEvent, None]:
    try:
        async for event in stream:
            yield event
    except errors.ShoalError as error:
        warn(f"{source.label}: {error.message}")


async def _by_time(streams: Sequence[AsyncGenerator[log_pb2.LogEvent, None]]) -> AsyncIterator[_Line]:
    """Merged: of each stream only one line is held."""
    waiting = []
    for at, event in enumerate(await asyncio.gather(*(anext(stream, None) for stream in streams))):
        if event is not None:
            waiting.append((_moment(event), at, event))
    heapq.heapify(waiting)
    while waiting:
        _, at, event = waiting[0]
        yield at, event
        following = await anext(streams[at], None)
        if following is None:
            heapq.heappop(waiting)
        else:
            heapq.heapreplace(waiting, (_moment(following), at, following))


def _moment(event: log_pb2.LogEvent) -> int:
    """In nanoseconds, if the position tells it so exactly."""
    whole = event.position.partition(".")[0]
    return int(whole) if whole.isdigit() else event.timestamp * 1_000_000


async def _as_they_come(
    session: Session, sources: Sequence[Source], streams: Sequence[AsyncGenerator[log_pb2.LogEvent, None]]
) -> AsyncIterator[_Line]:
    """Of each, from when its task is on an instance; until all have ended."""
    lines: asyncio.Queue[_Line | None] = asyncio.Queue(LINES_WAITING_MAX)
    placed = {source.task_id: asyncio.Event() for source in sources}

    async def one(at: int) -> None:
        await placed[sources[at].task_id].wait()
        async for event in streams[at]:
            await lines.put((at, event))

    async def all_of_them() -> None:
        try:
            async with asyncio.TaskGroup() as group:
                watching = group.create_task(_watch(session, placed))
                for reading in [group.create_task(one(at)) for at in range(len(sources))]:
                    await reading
                watching.cancel()
        finally:
            await lines.put(None)

    session.progress.say("Waiting for output")
    work = asyncio.ensure_future(all_of_them())
    try:
        while (item := await lines.get()) is not None:
            yield item
    finally:
        work.cancel()
    await _unpacked(work)


async def _unpacked(work: "asyncio.Future[None]") -> None:
    """Of several faults the first is the one that matters."""
    try:
        await work
    except ExceptionGroup as group:
        raise group.exceptions[0] from None


async def _watch(session: Session, placed: dict[str, asyncio.Event]) -> None:
    async for task in follow.changes(session, list(placed)):
        name = task.task_arn.rsplit("/", 1)[-1]
        if task.container_instance_arn or has_started(task.last_status):
            placed[name].set()
        if all(event.is_set() for event in placed.values()):
            return


async def _events(session: Session, request: log_pb2.ReadLogsRequest) -> AsyncGenerator[log_pb2.LogEvent, None]:
    """Over broken connections: goes on right after the last line that was had."""
    give_up = time.monotonic() + RESUME_WITHIN_SECONDS
    while True:
        try:
            async for answer in session.client.cluster.ReadLogs(request):
                for event in answer.events:
                    if event.position:
                        request.after = event.position
                    give_up = time.monotonic() + RESUME_WITHIN_SECONDS
                    yield event
            return
        except errors.Unreachable:
            if time.monotonic() > give_up:
                raise
        await asyncio.sleep(RESUME_DELAY_SECONDS)
