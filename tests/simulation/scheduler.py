"""One scheduler: production code from the input to the store, over models of etcd and the network.

Told again here in a few lines: campaign, lease and leadership (shoal_scheduler/leader.py, __main__.py), because a
thread and gRPC's watch are under them, and the flow of one agent's session (api/agent_session.py: session, _exchange
and its alarm), because it stands on asynchronous generators of gRPC. The engine's loop, the store, the dispatch and
what a session does with each message are the production's.
"""

import contextlib
from collections.abc import Callable, Sequence
from random import Random
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import grpc
from shoal_agent.schedulers import Told
from shoal_scheduler.admission import Admission, ComeLater
from shoal_scheduler.api import agent_convert, agent_session
from shoal_scheduler.control import inputs as i
from shoal_scheduler.control.context import Limits
from shoal_scheduler.dispatch import Dispatch
from shoal_scheduler.engine import Engine, Unavailable
from shoal_scheduler.model.pace import heartbeat_seconds, session_deadline_seconds
from shoal_scheduler.model.refusal import Refused
from shoal_scheduler.state.changes import Change
from shoal_scheduler.state.etcd import EtcdStore
from shoal_scheduler.state.store import StoreError
from shoal_scheduler.state.tables import Tables
from shoal_scheduler.state.writes import loaded

from tests.simulation import coroutines, lease
from tests.simulation.clock import Clock
from tests.simulation.lives import Life, Task
from tests.simulation.network import End, Network, StreamEnded
from tests.simulation.store import EtcdChannel, Members

RETRY_SECONDS_MAX = 0.5
HELLO_SECONDS = 10.0
LIMITS = Limits(stopped_tasks_keep_seconds=3600, stopped_tasks_max=400, client_tokens_keep_seconds=1800)


class CountedIds:
    """One for all schedulers of a run: an id is never given twice."""

    def __init__(self) -> None:
        self.given = 0

    def launch_id(self) -> str:
        self.given += 1
        return f"{self.given:024x}"

    def job_id(self) -> str:
        self.given += 1
        return str(UUID(int=self.given))


class Plane:
    """What exists while a scheduler leads. Stands for control_plane.ControlPlane."""

    def __init__(self, epoch: int, tables: Tables, engine: Engine) -> None:
        self.epoch, self.tables, self.engine = epoch, tables, engine
        self.dispatch = Dispatch()
        self.admission = Admission()
        self.leads: Callable[[], bool] = lambda: True
        self.began_at = 0.0
        self.heard_at: dict[str, float] = {}
        self.traces = SimpleNamespace(add=lambda *_: None)
        self.sessions: dict[str, list[End]] = {}

    def hear(self, instance: str, now: float) -> None:
        self.engine.hear(instance)
        self.heard_at[instance] = now


class Scheduler:
    def __init__(self, name: str, clock: Clock, network: Network, members: Members, rng: Random, ids: Any) -> None:
        self.name, self.clock, self.network, self.members, self.rng = name, clock, network, members, rng
        self.ids = ids
        self.life: Life | None = None
        self.plane: Plane | None = None
        self.leadership: lease.Leadership | None = None
        self.on_exit: Callable[[Scheduler], None] = lambda _scheduler: None
        self.crash_point: Callable[[Scheduler], None] = lambda _scheduler: None
        self.on_commit: Callable[[Scheduler, Tables, Sequence[Change], int, int], None] = lambda *_: None
        self.on_lead: Callable[[Scheduler], None] = lambda _scheduler: None

    @property
    def is_up(self) -> bool:
        return self.life is not None and self.life.alive

    @property
    def leads(self) -> bool:
        return self.is_up and self.plane is not None

    def start(self, skew: Callable[[], float]) -> None:
        if self.is_up:
            return
        self.plane = self.leadership = None
        self.life = began = Life(self.clock, self.name, skew)
        began.run(lambda: coroutines.create_task(self._serve(), name="scheduler").add_done_callback(self._ended))

    def _ended(self, _serve: Any) -> None:
        """By a fault it does not survive: its supervisor starts it again."""
        self.on_exit(self)

    def crash(self, *, silently: bool = False) -> None:
        if self.life is not None:
            self.life.end()
        self.plane = self.leadership = None
        self.network.host_dies(self.name, silently=silently)

    # As shoal_scheduler/__main__.py.

    async def _serve(self) -> None:
        while True:
            channel = EtcdChannel(self.members, self.name)
            try:
                leadership = await lease.campaign(channel, self.name, self.members)
            except grpc.aio.AioRpcError:
                leadership = None
            if leadership is not None:
                try:
                    await self._lead(channel, leadership)
                except (StoreError, grpc.aio.AioRpcError):
                    pass
                finally:
                    await lease.resign(channel, leadership.lease)
            await coroutines.sleep(self.rng.uniform(0, RETRY_SECONDS_MAX))

    async def _lead(self, channel: EtcdChannel, leadership: lease.Leadership) -> None:
        keeper = coroutines.create_task(lease.keep(channel, leadership, self._progress_at))
        self.leadership = leadership
        running: Task | None = None
        plane: Plane | None = None
        try:
            plane = await self._load(leadership.epoch)
            running = coroutines.create_task(plane.engine.run())
            plane.began_at = self.clock.now
            plane.leads = lambda: lease.left(leadership) > 0
            await plane.engine.submit(i.PutClusterDocument("default", {}, create=True))
            self.plane = plane
            self.on_lead(self)
            done, _ = await coroutines.wait([running, keeper], return_when="FIRST_COMPLETED")
            if running in done:
                running.result()
        finally:
            self.plane = self.leadership = None
            if plane is not None:
                plane.dispatch.close_all()
            if running is not None:
                running.cancel()
                await coroutines.wait([running])
            keeper.cancel()

    def _progress_at(self) -> float:
        return self.plane.engine.progress_at if self.plane is not None else self.clock.now

    async def _load(self, epoch: int) -> Plane:
        channel: Any = EtcdChannel(self.members, self.name, epoch, lambda: self.crash_point(self))
        store = EtcdStore(channel, epoch)
        tables = loaded([record async for record in store.load()], store.revision)
        plane: Plane

        def committed(changes: Sequence[Change], revision: int, now: int) -> None:
            self.on_commit(self, tables, changes, revision, now)
            plane.dispatch.on_commit(changes)

        seed = Random(self.rng.getrandbits(32))
        engine = Engine(tables, store, committed, LIMITS, rng=seed, clock=self.clock.time, progress_at=self.clock.now)
        engine._ids = self.ids
        engine._step_prefix = f"{self.name}-{epoch}"
        plane = Plane(epoch, tables, engine)
        return plane

    # As shoal_scheduler/api/agent_session.py.

    def accept(self, end: End) -> None:
        if self.life is None or not self.life.alive:
            end.stream.break_off("connection refused")
            return
        self.life.run(lambda: coroutines.create_task(self._session(end), name="session"))

    async def _session(self, end: End) -> None:
        try:
            async with coroutines.timeout(HELLO_SECONDS):
                hello = (await end.read()).hello
            plane, instance = self.plane, end.stream.near.host
            if plane is None:
                end.close("UNAVAILABLE: this scheduler does not lead", Told(self.members.known_leader(self.name)))
                return
            await coroutines.sleep(plane.admission.wait_seconds(instance, self.clock.now))
            await plane.engine.submit(agent_convert.hello_input(hello, instance))
        except (StreamEnded, TimeoutError, Refused, Unavailable) as error:
            after = error.after_seconds if isinstance(error, ComeLater) else None
            end.close(f"{type(error).__name__}: {error}", Told(retry_after_seconds=after))
            return
        plane.hear(instance, self.clock.now)
        outbox = plane.dispatch.attach(instance)
        plane.sessions.setdefault(instance, []).append(end)
        instances = len(plane.tables.sessions)
        period, deadline = heartbeat_seconds(instances), session_deadline_seconds(instances)
        opened = agent_session._Session(plane, instance, hello.incarnation, outbox, deadline)  # type: ignore[arg-type]
        reading = sending = None
        try:
            if not plane.leads():
                raise StreamEnded("this scheduler does not lead any more")
            agent_session._refuse_if_closed(plane, instance, hello.incarnation)  # type: ignore[arg-type]
            going = agent_session._interruption(plane, instance, outbox)  # type: ignore[arg-type]
            end.write(agent_session._welcome(plane.epoch, period, deadline, None, going))
            reading = coroutines.create_task(self._read(opened, end))
            sending = coroutines.create_task(self._send(opened, end))
            await coroutines.wait([reading, sending], return_when="FIRST_COMPLETED")
        except (StreamEnded, Unavailable):
            pass
        finally:
            plane.dispatch.detach(instance, outbox)
            plane.sessions[instance].remove(end)
            for task in (reading, sending):
                if task is not None:
                    task.cancel()
            end.close("the session is over")
            await self._say_closed(plane, instance, hello.incarnation)

    async def _read(self, opened: Any, end: End) -> None:
        first = True
        while True:
            async with coroutines.timeout(opened.deadline_seconds):
                message = await end.read()
            opened.plane.hear(opened.instance, self.clock.now)
            await agent_session._take(opened, message, first=first)
            first = False

    async def _send(self, opened: Any, end: End) -> None:
        while (news := await opened.outbox.take()) is not None:
            for message in agent_session._messages(opened, news):
                end.write(message)

    async def _say_closed(self, plane: Plane, instance: str, incarnation: int) -> None:
        with contextlib.suppress(Unavailable):
            await plane.engine.submit(i.SessionClosed(instance, incarnation))

    # As the services for users: one request, one input.

    def ask(self, request: i.Input, answer: Callable[[Any, Exception | None], None]) -> None:
        plane = self.plane
        if plane is None or self.life is None or not self.life.alive:
            answer(None, Unavailable("this scheduler does not lead"))
            return
        self.life.run(lambda: coroutines.create_task(self._answer(plane, request, answer), name="call"))

    async def _answer(self, plane: Plane, request: i.Input, answer: Callable[[Any, Exception | None], None]) -> None:
        try:
            answer(await plane.engine.submit(request), None)
        except (Refused, Unavailable) as error:
            answer(None, error)
