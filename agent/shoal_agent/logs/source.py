"""Where a container's output is, and its lines as one stream over the container's stops, restarts and removal."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, replace

import grpc

from shoal_agent.definition import labels
from shoal_agent.engine.log_position import NOTICE, Position, Resumption, following
from shoal_agent.engine.port import ContainerGone, LogLine
from shoal_agent.life.case import Surroundings
from shoal_agent.life.runner import Lane
from shoal_agent.logs.loss import FILES, SILENCE_NANOS_MAX, Measure, missing_at_the_beginning
from shoal_agent.logs.pace import Pace
from shoal_agent.logs.store import Kept
from shoal_agent.task import ABSENT, Task
from shoal_agent.worker import Worker

# How soon a follower hears of a container that was started again.
RESTART_SECONDS = 1.0


class Unreadable(Exception):  # noqa: N818 - reads as what it says
    """Why there are no logs; `code` is gRPC's."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for. `since` in seconds since the epoch; `after` is stronger than `since` and `tail`."""

    container: str = ""
    follow: bool = False
    since: float | None = None
    tail: int | None = None
    after: Position | None = None

    @property
    def whole(self) -> bool:
        return self.since is None and self.tail is None and self.after is None


@dataclass(frozen=True, slots=True)
class Source:
    """`handle`: what the engine knows the container by; `kept`: its output in the store, if it is there."""

    task_id: str
    container: str
    handle: str
    lane: Lane | None = None
    kept: Kept | None = None


async def find(around: Surroundings, worker: Worker, task_id: str, wanted: Wanted) -> Source:
    """For a follower, once there is something to follow. Raises Unreadable."""
    lane = worker.lane(task_id)
    if lane is None:
        container = wanted.container or _only(around.log_store.containers(task_id))
        return _source(around, task_id, container, None)
    name = wanted.container or _default_container(lane.task)
    if lane.is_internal(name):
        raise Unreadable(grpc.StatusCode.NOT_FOUND, f"no container {name!r} is in this task's definition")
    while wanted.follow and not lane.over and lane.task.outcome is None:
        seen = lane.seen(name)
        if seen is not None and seen.status != ABSENT:
            break
        await lane.stepped()
    seen = lane.seen(name)
    source = _source(around, task_id, name, lane)
    if source.kept is None and (seen is None or seen.status == ABSENT):
        raise Unreadable(grpc.StatusCode.NOT_FOUND, _why_none(name, name in lane.task.launched))
    return source if seen is None or seen.runtime_id is None else replace(source, handle=seen.runtime_id)


def _why_none(container: str, launched: bool) -> str:
    if launched:
        return f"the instance keeps no output of container {container!r} (any more)"
    return f"no container {container!r} of this task: the instance has not made it yet"


def _source(around: Surroundings, task_id: str, container: str, lane: Lane | None) -> Source:
    handle = labels.container_name(around.owner.cluster, task_id, container)
    return Source(task_id, container, handle, lane, around.log_store.find(task_id, container))


def _only(containers: list[str]) -> str:
    if not containers:
        raise Unreadable(grpc.StatusCode.NOT_FOUND, "the instance keeps no output of this task (any more)")
    if len(containers) > 1:
        names = ", ".join(sorted(containers))
        raise Unreadable(grpc.StatusCode.NOT_FOUND, f"the task has several containers: name one of {names}")
    return containers[0]


def _default_container(task: Task) -> str:
    """The only one, or the first that is essential."""
    plans = [plan for plan in task.containers if not plan.internal]
    names = [plan.name for plan in plans if plan.essential] or [plan.name for plan in plans]
    if not names:
        raise Unreadable(grpc.StatusCode.NOT_FOUND, "the task has no containers here yet")
    return names[0]


async def lines(around: Surroundings, source: Source, wanted: Wanted) -> AsyncGenerator[LogLine, None]:
    """In order, with what is missing told where it is missing. Raises EngineError, Unreadable."""
    if source.kept is not None:
        stream = _stored(around, source.kept, wanted)
    elif wanted.follow:
        stream = _followed(around, source, wanted)
    else:
        stream = _live(around, source, wanted)
    async with aclosing(stream):
        async for line in stream:
            yield line


async def _followed(around: Surroundings, source: Source, wanted: Wanted) -> AsyncGenerator[LogLine, None]:
    """First what is there, then what comes; what is there again whenever the container writes too fast (pace.py),
    and from its end on when it was started again."""
    log_bytes_max = (await around.engine.inspect(source.handle)).log_bytes_max
    pace = Pace(log_bytes_max / FILES if log_bytes_max is not None else None)
    there = replace(wanted, follow=False)
    while True:
        began, before = time.time_ns(), there
        async with aclosing(_live(around, source, there)) as stream:
            async for line in stream:
                there = _after(there, line)
                pace.note(line)
                yield line
        if there != before and pace.too_much(time.time_ns() - began):
            continue
        fell_behind = False
        coming = replace(there, follow=True)
        if coming.after is None:  # nothing was there, or nothing of it was wanted
            coming = replace(coming, since=max(coming.since or 0.0, began / 1e9), tail=None)
        async with aclosing(_live(around, source, coming)) as stream:
            async for line in stream:
                there = _after(there, line)
                pace.note(line)
                yield line
                if fell_behind := pace.too_much(time.time_ns() - line.moment):
                    break
        if not fell_behind and not await _starts_again(around, source):
            return


def _after(wanted: Wanted, line: LogLine) -> Wanted:
    return wanted if line.stream == NOTICE else replace(wanted, after=following(wanted.after, line))


async def _stored(around: Surroundings, kept: Kept, wanted: Wanted) -> AsyncGenerator[LogLine, None]:
    if wanted.whole and kept.missing is not None:
        yield kept.missing
    since = wanted.since if wanted.after is None else wanted.after.since
    tail = wanted.tail if wanted.after is None else None
    try:
        async with aclosing(_resumed(around.log_store.lines(kept, since, tail), wanted.after)) as stream:
            async for line in stream:
                yield line
    except OSError as error:
        message = f"the kept output cannot be read: {error.strerror or error}"
        raise Unreadable(grpc.StatusCode.NOT_FOUND, message) from None


async def _live(around: Surroundings, source: Source, wanted: Wanted) -> AsyncGenerator[LogLine, None]:
    since = wanted.since if wanted.after is None else wanted.after.since
    tail = wanted.tail if wanted.after is None else None
    stream = around.engine.logs(source.handle, follow=wanted.follow, since=since, tail=tail)
    first = wanted.whole
    async with aclosing(_resumed(stream, wanted.after)) as resumed:
        async for line in resumed:
            if first:
                first = False
                if (missing := await _missing(around, source, line)) is not None:
                    yield missing
            yield line


async def _resumed(stream: AsyncGenerator[LogLine, None], after: Position | None) -> AsyncGenerator[LogLine, None]:
    resumption = Resumption(after) if after is not None else None
    async with aclosing(stream):
        async for line in stream:
            for each in (line,) if resumption is None else resumption.feed(line):
                yield each
    for each in () if resumption is None else resumption.flush():
        yield each


async def _missing(around: Surroundings, source: Source, first: LogLine) -> LogLine | None:
    """Looks how much the engine holds only if the log begins long after the container."""
    found = await around.engine.inspect(source.handle)
    started_nanos = (found.started_at or 0) * 1_000_000
    if not started_nanos or first.moment - started_nanos < SILENCE_NANOS_MAX:
        return None
    measure = Measure()
    async with aclosing(around.engine.log_bytes(source.handle)) as chunks:
        async for chunk in chunks:
            measure.feed(chunk)
    return missing_at_the_beginning(measure.held, found.started_at, found.log_bytes_max)


async def _starts_again(around: Surroundings, source: Source) -> bool:
    """Waits, after a container has ended, until it runs again (True) or surely will not."""
    lane = source.lane
    plan = next((plan for plan in lane.task.containers if plan.name == source.container), None) if lane else None
    if lane is None or plan is None or plan.restart is None:
        return False
    while not lane.over and lane.task.outcome is None:
        try:
            if (await around.engine.inspect(source.handle)).state == "running":
                return True
        except ContainerGone:
            return False
        stepped = asyncio.ensure_future(lane.stepped())
        await asyncio.wait({stepped}, timeout=RESTART_SECONDS)
        stepped.cancel()
    return False
