"""Keeps the worker's picture of the engine true: its health, its containers, and when it came back from where.

A listing three times a minute is the truth; the event stream makes it quick. A stream that broke may mean that the
engine was started anew, so then everything is asked again. The engine being away never ends anything here.
"""

import asyncio
import logging
import time
from dataclasses import dataclass, replace

from shoal_agent.engine.port import EngineError, EngineFacts, EngineTimeout, EngineUnavailable
from shoal_agent.life import cgroup
from shoal_agent.life.case import Surroundings
from shoal_agent.life.verdict import EngineStart
from shoal_agent.pause import either
from shoal_agent.worker import Worker

log = logging.getLogger(__name__)

# An engine that hangs is known to be IMPAIRED within 35 s: by its second silent ping (each has 5 s) after at most 21 s,
# by a listing that does not come (it has 10 s) after at most 31 s.
PING_PERIOD_SECONDS = 10.0
LISTING_PERIOD_SECONDS = 20.0
RETRY_SECONDS = 0.5
SILENT_PINGS_MAX = 2

NOT_SEEN = "The container engine has not answered yet"
LISTS_NOTHING = "The container engine does not list its containers in time"

OK, IMPAIRED = "OK", "IMPAIRED"


@dataclass(frozen=True, slots=True)
class Health:
    """`status`: OK, or IMPAIRED for a `reason`: then the instance gets no new tasks."""

    status: str = OK
    reason: str = ""


class Watch:
    """`changed` is set when `health` changes."""

    def __init__(self, around: Surroundings, worker: Worker) -> None:
        self._around = around
        self._worker = worker
        self._up = asyncio.Event()
        self._silent_pings = 0
        self._came_back = False  # this process saw the engine go away before
        self._listed_at = 0.0
        self._version = ""
        self.health = Health(IMPAIRED, NOT_SEEN)
        self.changed = asyncio.Event()

    @property
    def status(self) -> str:
        return self.health.status

    async def wait_up(self) -> None:
        """Returns when the engine has answered and been listed."""
        await self._up.wait()

    @property
    def engine_version(self) -> str:
        """Empty before the engine has answered once."""
        return self._version

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._check())
            group.create_task(self._follow_events())

    async def _check(self) -> None:
        trouble = self._around.engine_trouble
        while True:
            asked_for = trouble.is_set()
            trouble.clear()
            try:
                await self._around.engine.ping()
                self._silent_pings = 0
                await self._look(asked_for)
            except EngineError as error:
                self._note_silence(error)
            except Exception:  # an answer nobody expected must not end the agent
                log.exception("watch stumbled")
            await asyncio.sleep(RETRY_SECONDS)
            if self._up.is_set() and not self._silent_pings:
                await either(trouble, PING_PERIOD_SECONDS)

    async def _look(self, thoroughly: bool) -> None:
        due = time.monotonic() - self._listed_at >= LISTING_PERIOD_SECONDS
        if thoroughly or not self._up.is_set():
            await self._learn_start()
        elif not due:
            return
        try:
            listing = await self._around.engine.containers(self._around.owner.labels)
        except EngineTimeout:
            # No new work for who lists nothing; what it does for single containers goes on.
            self._note(Health(IMPAIRED, LISTS_NOTHING))
            raise
        self._listed_at = time.monotonic()
        self._learn_epoch(self._worker.observe(listing))
        if not self._up.is_set():
            log.info("engine up containers=%d", len(listing))
            self._up.set()
        self._note(Health())

    def _learn_epoch(self, epoch: int) -> None:
        """A journal that was lost forgot the highest epoch; containers still name the one they were made under."""
        if epoch > self._around.owner.epoch:
            self._around.owner = replace(self._around.owner, epoch=epoch)

    async def _learn_start(self) -> None:
        """When the engine that answers was ready, and what it ended on its way there."""
        facts = await self._around.engine.facts()
        self._version = facts.version
        self._learn_bridge(facts.bridge_address)
        self._learn_cgroups(facts)
        made_at, ready_at = facts.set_up_at, facts.set_up_at
        ended: frozenset[str] = frozenset()
        if made_at is not None:
            kills = await self._around.engine.kills(self._around.owner.labels, 1.0, made_at / 1000)
            ended = frozenset(event.container_id for event in kills)
        if self._came_back:
            ready_at = max(ready_at or 0, time.time_ns() // 1_000_000)
            self._came_back = False
        before = self._around.engine_start
        if before.ready_at is not None and ready_at is not None:
            ready_at = max(before.ready_at, ready_at)
        self._around.engine_start = EngineStart(ready_at, frozenset(before.ended) | ended)

    def _learn_bridge(self, address: str | None) -> None:
        """Before any container is made, for it is told this address."""
        endpoint = self._around.endpoint
        if endpoint is not None and endpoint.bridge_address != address:
            self._around.endpoint = replace(endpoint, bridge_address=address)
            self._around.endpoint_changed.set()

    def _learn_cgroups(self, facts: EngineFacts) -> None:
        before, around = self._around.cgroups, self._around
        around.cgroups = cgroup.found(facts, around.owner.instance, around.engine.local)
        if around.cgroups.reason and around.cgroups.reason != before.reason:
            log.warning("task limits hold for each container alone reason=%s", around.cgroups.reason)

    def _note(self, health: Health) -> None:
        if health != self.health:
            self.health = health
            self.changed.set()

    def _note_silence(self, error: EngineError) -> None:
        """A refused connection is an engine that is away; one that does not answer may be only slow."""
        self._silent_pings += 1
        if isinstance(error, EngineUnavailable):
            self._came_back = True
        if not isinstance(error, EngineUnavailable) and self._silent_pings < SILENT_PINGS_MAX:
            return
        self._note(Health(IMPAIRED, f"The container engine does not answer: {error}"))
        if self._up.is_set():
            log.error("engine down error=%s", error)
            self._up.clear()
            self._worker.engine_down()

    async def _follow_events(self) -> None:
        engine, since = self._around.engine, time.time()
        while True:
            await self._up.wait()
            try:
                async for event in engine.events(self._around.owner.labels, since):
                    since = event.at / 1e9
                    self._worker.hint(event)
            except EngineError as error:
                log.info("event stream broke error=%s", error)
            except Exception:
                log.exception("event not understood")
            self._around.engine_trouble.set()
            await asyncio.sleep(RETRY_SECONDS)
