"""An agent without a scheduler: worker, watch and journal over an engine, to be crashed at will."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from shoal_agent import watch as watching
from shoal_agent.configuration import Configuration
from shoal_agent.definition.labels import Owner, container_name
from shoal_agent.life.case import Surroundings
from shoal_agent.life.cgroup import Cgroups
from shoal_agent.life.verdict import EngineStart
from shoal_agent.logs.store import LogStore
from shoal_agent.memory.journal import Journal
from shoal_agent.networks.namespaces import Namespaces
from shoal_agent.networks.ready import ReadyNetworks
from shoal_agent.reporter import Reporter
from shoal_agent.slots import Pulls, Slots
from shoal_agent.task import Assignment, Report
from shoal_agent.watch import Watch
from shoal_agent.worker import Worker

from tests.fakes.memory_box import Box
from tests.fakes.memory_engine import MemoryEngine

CLUSTER, INSTANCE = "default", "i" * 32
PATIENCE_SECONDS = 60.0
SLEEP = ["sleep", "1000"]


def definition(command: list[str] | None = None, **more: Any) -> dict[str, Any]:
    container = {"name": "web", "image": "image", "memory": 6, "command": command or SLEEP, **more}
    return {"family": "t", "networkMode": "bridge", "containerDefinitions": [container]}


def assignment(task_id: str, command: list[str] | None = None, **more: Any) -> Assignment:
    wanted = {"definition": definition(command), "definition_arn": "t:1", "fence": 7, **more}
    return Assignment(task_id, **wanted)


class Rig:
    """`reports` keeps every report in the order in which they were offered. Quick: it looks every few milliseconds."""

    def __init__(
        self,
        folder: Path,
        engine: Any,
        rules: Configuration,
        instance: str = INSTANCE,
        namespaces: Namespaces | None = None,
    ) -> None:
        self.folder = folder
        self.engine = engine
        self.rules = rules
        self.instance = instance
        self.namespaces = namespaces  # without, no networks are kept ready
        self.reports: list[Report] = []
        self.epoch = 1
        self.collects = True  # false if a session takes the reports

    async def start(self) -> None:
        self.journal = Journal(self.folder)
        owner, pulls = Owner(CLUSTER, self.instance, self.epoch), Pulls(self.engine, self.rules.concurrent_pulls)
        creates, starts = Slots(self.rules.concurrent_starts), Slots(self.rules.concurrent_starts)
        self.around = Surroundings(
            engine=self.engine,
            journal=self.journal,
            log_store=LogStore(self.folder / "logs", self.rules.log_host_mib * 1024**2, self.rules.log_keep_seconds),
            reporter=Reporter(),
            rules=self.rules,
            owner=owner,
            creates=creates,
            starts=starts,
            pulls=pulls,
            networks=self._networks(owner, pulls, creates, starts),
            engine_trouble=asyncio.Event(),
            engine_start=EngineStart(),
            cgroups=Cgroups(self.instance),
        )
        remembered = [task.as_task(task_id) for task_id, task in self.journal.memory.tasks.items()]
        self.worker = Worker(self.around, remembered)
        self.watch = Watch(self.around, self.worker)
        self._running = [asyncio.create_task(self.watch.run())]
        if self.collects:
            self._running.append(asyncio.create_task(self._collect()))
        if self.around.networks is not None:
            self._running.append(asyncio.create_task(self.around.networks.run(self._settled())))
        if getattr(self.engine, "up", True):
            await self.watch.wait_up()
            await self.worker.settled()

    def _networks(self, owner: Owner, pulls: Pulls, creates: Slots, starts: Slots) -> ReadyNetworks | None:
        if self.namespaces is None:
            return None
        limit = self.rules.ready_networks
        return ReadyNetworks(self.engine, owner, limit, pulls, creates, starts, self.namespaces)

    async def _settled(self) -> None:
        await self.watch.wait_up()
        await self.worker.settled()

    async def crash(self) -> None:
        """Everything in memory is gone; the disk and the engine are as they are."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        await self.worker.close()
        await self.around.pulls.close()
        await self.around.log_store.close()
        if isinstance(self.engine, MemoryEngine):
            self.engine.hang_up()
        self.journal.close()

    async def _collect(self) -> None:
        reporter = self.around.reporter
        while True:
            batch = reporter.take()
            if batch is None:
                await reporter.changed.wait()
                continue
            self.reports += batch.reports
            self.worker.acknowledged(reporter.acknowledge(batch.sequence))

    def assign(self, *assignments: Assignment, full: bool = False) -> None:
        self.worker.apply(assignments, 0)
        if full:
            self.worker.keep_only({wanted.task_id for wanted in assignments})

    def ask_to_stop(self, task_id: str) -> None:
        wanted = assignment(task_id, desired_status="STOPPED", last_status="RUNNING")
        self.assign(replace(wanted, stop_code="UserInitiated", stopped_reason="enough"))

    def box(self, task_id: str, container: str = "web") -> Box:
        """Of an engine in memory."""
        found: Box = self.engine.box(self.name(task_id, container))
        return found

    def name(self, task_id: str, container: str = "web") -> str:
        return container_name(CLUSTER, task_id, container)

    def told(self, task_id: str, status: str) -> list[Report]:
        return [report for report in self.reports if (report.task_id, report.last_status) == (task_id, status)]

    async def report(self, task_id: str, status: str) -> Report:
        await self.until(lambda: self.told(task_id, status))
        return self.told(task_id, status)[-1]

    async def until(self, true: Callable[[], Any]) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not true():  # noqa: ASYNC110 - the engine in memory changes without telling
                await asyncio.sleep(0.002)


def quick(monkeypatch: Any) -> None:
    """The watch's patience, shortened."""
    monkeypatch.setattr(watching, "PING_PERIOD_SECONDS", 0.02)
    monkeypatch.setattr(watching, "LISTING_PERIOD_SECONDS", 0.05)
    monkeypatch.setattr(watching, "RETRY_SECONDS", 0.01)
