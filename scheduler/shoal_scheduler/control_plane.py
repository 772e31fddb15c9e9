"""What exists only while this process leads: the engine, its tables, and who listens to them."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from shoal_scheduler.admission import Admission
from shoal_scheduler.command_relay import CommandRelay
from shoal_scheduler.dispatch import Dispatch
from shoal_scheduler.engine import Engine, now_millis
from shoal_scheduler.events import EventLog
from shoal_scheduler.log_relay import LogRelay
from shoal_scheduler.metrics.names import STEP_SECONDS
from shoal_scheduler.metrics.store import Metrics
from shoal_scheduler.pull_relay import PullRelay
from shoal_scheduler.routing import Routing
from shoal_scheduler.state.changes import Change
from shoal_scheduler.state.store import Store
from shoal_scheduler.state.tables import Tables
from shoal_scheduler.traces import Traces

log = logging.getLogger(__name__)

# A sleep may end a little early: this is surely in the next step.
AFTER_STEP_SECONDS = 0.05


@dataclass
class ControlPlane:
    tables: Tables
    store: Store
    epoch: int
    store_version: str = ""
    dispatch: Dispatch = field(default_factory=Dispatch)
    events: EventLog = field(default_factory=EventLog)
    logs: LogRelay = field(default_factory=LogRelay)
    commands: CommandRelay = field(default_factory=CommandRelay)
    pulls: PullRelay = field(default_factory=PullRelay)
    traces: Traces = field(default_factory=Traces)
    routing: Routing = field(default_factory=Routing)
    metrics: Metrics = field(default_factory=Metrics)

    # Whether nobody else can lead at this very moment: asked before agents are told that they were heard.
    leads: Callable[[], bool] = field(default=lambda: True)
    admission: Admission = field(default_factory=Admission)

    # By which images name the cluster's image registry: agents are told.
    registry: str | None = None

    # Since when this process leads, in milliseconds: what it does not know of before is nobody's fault.
    led_since: int = field(default_factory=now_millis)

    def __post_init__(self) -> None:
        """Of events that are handed in, those before this leader's are known, too."""
        self.engine = Engine(self.tables, self.store, self.committed)
        if not self.events.revision:
            self.events.start_at(self.tables.revision)

    def committed(self, changes: Sequence[Change], revision: int, now: int) -> None:
        self.dispatch.on_commit(changes)
        self.events.on_commit(changes, revision, now)
        self.routing.on_commit(changes, self.tables)

    async def measure(self) -> None:
        """For ever: what follows from the agents' samples, once a step. A fault costs a step, not the lead."""
        while True:
            await asyncio.sleep(STEP_SECONDS - self.engine.now() / 1000 % STEP_SECONDS + AFTER_STEP_SECONDS)
            try:
                for _ in self.metrics.tick_in_parts(self.tables, self.engine.now() / 1000):
                    await asyncio.sleep(0)
            except Exception:
                log.exception("metrics failed")

    def close(self) -> None:
        """This process no longer leads: every stream ends, so that its other side looks for the new leader."""
        self.dispatch.close_all()
        self.events.close()
        self.routing.close()
        self.logs.close_all()
        self.commands.close_all()
        self.pulls.close_all()
