"""One host with its agent: production code from the journal to the stream, over a model of engine, disk and network.

Told again here in a few lines: the start of the program (shoal_agent/__main__.py) and the loop over sessions with its
four side by side (shoal_agent/session.py: run, _serve), because they stand on asyncio's task groups and gRPC.
"""

import contextlib
from collections.abc import Callable
from functools import partial
from random import Random
from types import SimpleNamespace
from typing import Any

from shoal.v1 import agent_pb2
from shoal_agent import watchdog
from shoal_agent.configuration import Configuration
from shoal_agent.definition.labels import ON_DISCONNECT, Owner
from shoal_agent.fingerprint import Fingerprint
from shoal_agent.interruption import HostInterruption, Notice
from shoal_agent.lease import Lease
from shoal_agent.life.case import Surroundings
from shoal_agent.life.cgroup import Cgroups
from shoal_agent.life.verdict import EngineStart
from shoal_agent.memory import record
from shoal_agent.reporter import Reporter
from shoal_agent.schedulers import Told
from shoal_agent.session import Caller, Session, SessionOver
from shoal_agent.slots import Pulls, Slots
from shoal_agent.watch import Watch
from shoal_agent.worker import Worker

from tests.simulation import coroutines
from tests.simulation.clock import Clock
from tests.simulation.containers import KILLED, Box, ModelEngine
from tests.simulation.disk import Disk, Journal
from tests.simulation.lives import Life, Task
from tests.simulation.network import End, Network, StreamEnded
from tests.simulation.registry import Registry

CLUSTER = "default"
ENGINE_SECONDS = 5.0
SETTLED_SECONDS = 5.0
RULES = Configuration(dead_container_keep_seconds=3.0, dead_containers_max=20, image_pull_behavior="prefer-cached")


class Call:
    """The agent's side of a stream, as gRPC would give it. `on_read` is told of every message before it is obeyed."""

    def __init__(self, end: End, on_read: Callable[[agent_pb2.SchedulerMessage], None]) -> None:
        self.end = self._end = end
        self._on_read = on_read

    async def write(self, message: Any) -> None:
        try:
            self._end.write(message)
        except StreamEnded as ended:
            raise SessionOver(str(ended)) from None

    async def read(self) -> agent_pb2.SchedulerMessage:
        try:
            message = await self._end.read()
        except StreamEnded as ended:
            raise SessionOver(str(ended)) from None
        if isinstance(message, bytes):
            message = agent_pb2.SchedulerMessage.FromString(message)
        self._on_read(message)
        return message  # type: ignore[no-any-return]

    def cancel(self) -> None:
        self._end.close("the agent has gone")


def is_exclusive(instance: str, box: Box) -> bool:
    owned = Owner(CLUSTER, instance).owns(box.labels)
    return owned and box.state == "running" and box.labels.get(ON_DISCONNECT) == "exclusive"


class LogStore:
    """Nobody reads logs here. Stands for shoal_agent.logs.store.LogStore."""

    async def keep(self, *_: object) -> None:
        return None

    def keep_soon(self, *_: object) -> None:
        return None


class Host:
    """Survives its agent. `watcher` is told what the agent obeys; `dial` connects to a scheduler by name."""

    def __init__(
        self,
        name: str,
        clock: Clock,
        network: Network,
        rng: Random,
        wall: Callable[[], int],
        resources: tuple[int, int, tuple[str, ...]],
        registry: Registry,
    ) -> None:
        self.name, self.clock, self.network, self.rng, self.wall = name, clock, network, rng, wall
        self.resources = resources
        self.engine = ModelEngine(clock, rng, name, wall, registry)
        self.disk = Disk(rng)
        self.life: Life | None = None
        self.worker: Worker | None = None
        self._call: Call | None = None
        self.around: Surroundings | None = None
        self.session_epoch = 0
        self.renewal: Any = None  # of the lease, on a disk of its own
        self.guarded = rng.random() < 0.5  # a watchdog runs beside the agent
        # Why it goes and when, as a file that outlives its agent; and what its agent makes of that.
        self.notice: tuple[str, float] | None = None
        self.interruption: HostInterruption | None = None
        self.on_dial: Callable[[Host, float], None] = lambda _host, _outage_seconds: None
        self.on_obey: Callable[[Host, int], None] = lambda _host, _epoch: None
        self.on_told: Callable[[Host, agent_pb2.SchedulerMessage], None] = lambda _host, _message: None
        self.on_exit: Callable[[Host], None] = lambda _host: None
        self.crash_point: Callable[[Host], None] = lambda _host: None
        self.dial: Callable[[Host, str], End]
        self.schedulers: tuple[str, ...] = ()

    @property
    def goes(self) -> bool:
        """It has a notice, or its agent was told."""
        return self.notice is not None or (self.worker is not None and self.worker._interruption is not None)

    @property
    def is_up(self) -> bool:
        return self.life is not None and self.life.alive

    def start(self, skew: Callable[[], float]) -> None:
        """Not while another agent works with the same disk: the folder's lock sees to that."""
        if self.is_up:
            return
        began = Life(self.clock, self.name, skew)
        self.life, self.session_epoch = began, 0
        began.run(lambda: coroutines.create_task(self._main(), name="agent").add_done_callback(self._ended))

    def _ended(self, _main: Any) -> None:
        """By a fault it does not survive, as a full disk at its start: systemd starts it again."""
        self.on_exit(self)

    def crash(self, *, silently: bool = False) -> None:
        if self.life is not None:
            self.life.end()
        self._keep_lease()
        self.disk.crash()
        self.worker = self.interruption = None
        self.session_epoch = 0
        self.network.host_dies(self.name, silently=silently)

    def _keep_lease(self) -> None:
        if self.around is not None:
            self.renewal = self.around.lease._renewal

    def look_after(self) -> None:
        """As shoal_agent/watchdog.py: what a hung or dead agent does not end, it does. Again and again, if it runs."""
        if not self.guarded:
            return
        self._keep_lease()
        expired_at = self.renewal.expires_at if self.renewal is not None else 0.0
        if self.engine.up and self.clock.now >= expired_at:
            for box in [box for box in self.engine.boxes.values() if is_exclusive(self.name, box)]:
                if self.clock.now >= expired_at + box.grace_seconds + watchdog.GRACE_SECONDS:
                    self.engine.exit(box, KILLED, "agent", box.runs)
        self.clock.after(watchdog.LOOK_SECONDS, self.look_after)

    def get_notice(self, seconds: float) -> None:
        self.notice = "it stands in a file", self.clock.now + seconds
        self._find_notice()

    def _find_notice(self) -> None:
        if self.notice is not None and self.interruption is not None and self.life is not None:
            reason, ends_at = self.notice
            found = Notice(reason, max(0.0, ends_at - self.clock.now))
            self.life.run(partial(self.interruption.found, found))

    async def _main(self) -> None:
        journal = Journal(self.disk, lambda: self.crash_point(self))
        incarnation = max(journal.memory.incarnation + 1, self.wall())
        await journal.append(record.incarnation(incarnation))
        around = self._surroundings(journal)
        remembered = [task.as_task(task_id) for task_id, task in journal.memory.tasks.items()]
        worker = Worker(around, remembered)
        watch = Watch(around, worker)
        self.worker, self.around = worker, around
        self.interruption = HostInterruption(self.name, worker.interrupt, self.clock.time)
        self._find_notice()
        coroutines.create_task(around.lease.run(worker.lease_over))
        coroutines.create_task(watch._check())
        coroutines.create_task(watch._follow_events())
        try:
            async with coroutines.timeout(ENGINE_SECONDS):
                await watch.wait_up()
                await worker.settled()
        except TimeoutError:
            pass
        cpu, memory, gpus = self.resources
        host = Fingerprint(cpu, memory, (22,), (), gpus, {}, {}, self.name, {})
        caller = Caller(SimpleNamespace(), incarnation, host, str(incarnation))  # type: ignore[arg-type]
        sampler: Any = SimpleNamespace(changed=coroutines.Event(), newest=None, dropped=0)
        await self._sessions(Session(self.schedulers, caller, around, worker, watch, sampler, None, self.interruption))

    def _surroundings(self, journal: Any) -> Surroundings:
        engine: Any = self.engine
        lease = Lease(None, self.clock.time)
        lease._renewal = self.renewal
        return Surroundings(
            engine=engine,
            journal=journal,
            lease=lease,
            guarded=lambda: self.guarded,
            log_store=LogStore(),  # type: ignore[arg-type]
            reporter=Reporter(),
            rules=RULES,
            owner=Owner(CLUSTER, self.name, journal.memory.epoch),
            creates=Slots(4),
            starts=Slots(8),
            pulls=Pulls(engine, 3),
            engine_trouble=coroutines.Event(),  # type: ignore[arg-type]
            engine_start=EngineStart(),
            cgroups=Cgroups(self.name),
            endpoint_changed=coroutines.Event(),  # type: ignore[arg-type]
        )

    # As shoal_agent.session.Session.run and _serve.

    async def _sessions(self, session: Session) -> None:
        outage_since, schedulers, told = self.clock.now, session._schedulers, Told()
        while True:
            was_sent = told.leader or told.retry_after_seconds is not None
            self.on_dial(self, 0.0 if was_sent else self.clock.now - outage_since)
            began, told = self.clock.now, Told()
            self._call = None
            with contextlib.suppress(SessionOver):
                await self._serve(session, schedulers.endpoint)
            if self._call is not None and self._call.end.told is not None:
                told = self._call.end.told
            ended = self.clock.now
            if ended - began > SETTLED_SECONDS:
                outage_since = ended
                schedulers.settled()
            await coroutines.sleep(schedulers.ended(told, ended - outage_since, self.rng.random()))

    async def _serve(self, session: Session, endpoint: str) -> None:
        call: Any = Call(self.dial(self, endpoint), self._told)
        self._call = call
        tasks: list[Task] = []
        try:
            welcome = await session._introduce(call)
            self.session_epoch = welcome.epoch
            self.on_obey(self, welcome.epoch)
            session._around.reporter.rewind()
            session._unanswered_since = None
            works = (
                session._read(call, None, None),  # type: ignore[arg-type]
                session._report(call),
                session._beat(call, welcome),
                session._mind_silence(welcome),
            )
            tasks = [coroutines.create_task(work) for work in works]
            done, _ = await coroutines.wait(tasks, return_when="FIRST_COMPLETED")
            for task in tasks:
                if task in done:
                    task.result()
        finally:
            self.session_epoch = 0
            for task in tasks:
                task.cancel()
            call.cancel()

    def _told(self, message: agent_pb2.SchedulerMessage) -> None:
        if message.WhichOneof("kind") != "welcome":
            self.on_told(self, message)
