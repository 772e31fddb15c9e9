"""Takes a sample of the host and of every task each ten seconds, and keeps the newest one for whoever wants it."""

import asyncio
import contextlib
import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from shoal_agent.engine.port import EngineError
from shoal_agent.life.case import Surroundings
from shoal_agent.metrics.reader import Reader, Running
from shoal_agent.metrics.usage import HostReading, HostUsage, TaskReading, TaskUsage, host_usage, task_usage
from shoal_agent.task import RUNNING, Seen
from shoal_agent.worker import Worker

log = logging.getLogger(__name__)

PERIOD_SECONDS = 10.0

# For the numbers of first processes, which the engine knows: so many are asked for side by side.
PIDS_SECONDS = 2.0
PIDS_AT_ONCE = 50

# A container, and when it was started last: each start makes another process.
Start: TypeAlias = tuple[str | None, int | None]


@dataclass(frozen=True, slots=True)
class Sample:
    """What was read, and what was used since the reading before."""

    host_reading: HostReading
    readings: Mapping[str, TaskReading]
    host: HostUsage = field(default_factory=HostUsage)
    tasks: tuple[TaskUsage, ...] = ()


class Sampler:
    """`newest` is None before the first; `changed` is set with every new one. `told` is the one that a session took
    last; `dropped` counts those that none took, since this process began."""

    def __init__(self, around: Surroundings, worker: Worker, reader: Reader | None = None) -> None:
        self._around = around
        self._worker = worker
        self._reader = reader or Reader()
        self._cores = os.cpu_count() or 1
        self._data_root = ""
        self._pids: dict[Start, int] = {}
        self.newest: Sample | None = None
        self.told: Sample | None = None
        self.changed = asyncio.Event()
        self.dropped = 0

    async def run(self) -> None:
        """For ever, at a steady pace: what a sample takes does not make the next one late."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            try:
                await self.take()
            except Exception:  # a fault of ours costs one sample, never the agent
                log.exception("sample failed")
            due = max(due + PERIOD_SECONDS, loop.time())
            await asyncio.sleep(due - loop.time())

    async def take(self) -> None:
        if self._around.engine.local:  # the processes of another host's are not here
            await self._learn_root()
            await self._learn_pids()
        running = list(self._running())
        # A thread of its own: the file system of the engine may hang.
        tasks, host = await asyncio.to_thread(self._read, running)
        before = self.newest
        self.dropped += before is not self.told
        known = before.readings if before is not None else {}
        self.newest = Sample(
            host_reading=host,
            readings=tasks,
            host=host_usage(before.host_reading if before is not None else None, host),
            tasks=tuple(task_usage(known.get(each.task_id), each, self._cores) for each in tasks.values()),
        )
        self.changed.set()

    def _read(self, running: list[Running]) -> tuple[dict[str, TaskReading], HostReading]:
        return self._reader.tasks(running), self._reader.host(self._data_root)

    async def _learn_root(self) -> None:
        if self._data_root:
            return
        try:
            self._data_root = (await self._around.engine.facts()).data_root
        except EngineError as error:
            log.debug("the engine's folder is not known yet error=%s", error)

    async def _learn_pids(self) -> None:
        """Once for each start of a container. An engine that is slow to say it costs no more than a moment."""
        starts = {_start_of(seen): seen.runtime_id for _, _, seen in self._seen() if seen.runtime_id}
        self._pids = {start: pid for start, pid in self._pids.items() if start in starts}
        unknown = [start for start in starts if start not in self._pids]
        try:
            async with asyncio.timeout(PIDS_SECONDS), asyncio.TaskGroup() as group:
                for start in unknown[:PIDS_AT_ONCE]:
                    group.create_task(self._learn_pid(start, starts[start]))
        except TimeoutError:
            log.debug("the engine did not tell all processes in time containers=%d", len(unknown))

    async def _learn_pid(self, start: Start, container_id: str) -> None:
        with contextlib.suppress(EngineError):
            pid = (await self._around.engine.inspect(container_id)).pid
            if pid is not None:
                self._pids[start] = pid

    def _seen(self) -> Iterator[tuple[str, str, Seen]]:
        """Task, container and what was seen of it, of those that run."""
        for task_id in self._worker.task_ids:
            lane = self._worker.lane(task_id)
            for name, seen in lane.all_seen().items() if lane is not None else ():
                if seen.status == RUNNING:
                    yield task_id, name, seen

    def _running(self) -> Iterator[Running]:
        for task_id, name, seen in self._seen():
            pid = self._pids.get(_start_of(seen))
            if pid is not None and seen.runtime_id is not None:
                yield Running(task_id, name, seen.runtime_id, pid)


def _start_of(seen: Seen) -> Start:
    return seen.runtime_id, seen.started_at
