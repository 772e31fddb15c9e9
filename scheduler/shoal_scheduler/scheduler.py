"""The life of one scheduler: it stands by until it leads, leads until that ends, and stands by again."""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
from shoal.rpc import Credentials

from shoal_scheduler import garbage, history
from shoal_scheduler.alarms import Alarms
from shoal_scheduler.api.gate import Gate
from shoal_scheduler.api.server import Server
from shoal_scheduler.autoscaling import Autoscaling
from shoal_scheduler.configuration import Configuration
from shoal_scheduler.control.inputs import PutClusterDocument
from shoal_scheduler.control_plane import ControlPlane
from shoal_scheduler.engine import Unavailable
from shoal_scheduler.events import EventLog
from shoal_scheduler.leader import Leadership, LeaseKeeper, Seen, campaign, resign
from shoal_scheduler.metrics.store import Metrics
from shoal_scheduler.model.refusal import Refused
from shoal_scheduler.prometheus_queries import PrometheusQueries
from shoal_scheduler.standby import Standby
from shoal_scheduler.state.etcd import EtcdStore, revision_base, store_version
from shoal_scheduler.state.etcd_feed import EtcdFeed
from shoal_scheduler.state.etcd_past import past_steps
from shoal_scheduler.state.store import Store, StoreError
from shoal_scheduler.state.tables import Tables
from shoal_scheduler.state.writes import loaded
from shoal_scheduler.webhooks import Webhooks

log = logging.getLogger(__name__)

RETRY_SECONDS_MAX = 0.5

# How long the rest of the feed may take at a gain of leadership, before everything is read anew.
CATCH_UP_SECONDS = 1.0

# Those that would have to read everything first let those go before that need not; and who handed over lets another.
COLD_SECONDS = 1.0
HANDED_OVER_SECONDS = 3.0

# How long a commit in flight is waited for when leadership is handed over.
FINISH_SECONDS = 2.0


class Scheduler:
    """`run` for ever. `end` hands leadership over, if it is here, and then `run` returns."""

    def __init__(
        self,
        config: Configuration,
        credentials: Credentials,
        channel: grpc.aio.Channel,
        gate: Gate,
        server: Server,
        metrics: Metrics | None = None,
    ) -> None:
        """`metrics`: what was measured before, to go on with."""
        self._config = config
        self._credentials = credentials
        self._channel = channel
        self._gate = gate
        self._server = server
        self._metrics = metrics or Metrics()
        self._standing = gate.standing
        self._standing.name, self._standing.endpoint = config.name, config.endpoint
        self._leadership: Leadership | None = None
        self._plane: ControlPlane | None = None
        self._not_before = 0.0
        self._free_since = time.monotonic()
        self._ending = asyncio.Event()
        self._version = ""
        self._base = 0

    def end(self) -> None:
        self._ending.set()
        self._gate.end()
        if self._leadership is not None:
            self._leadership.release()

    async def run(self) -> None:
        ending = asyncio.create_task(self._ending.wait())
        while not self._ending.is_set():
            term = asyncio.create_task(self._one_term())
            await asyncio.wait({term, ending}, return_when=asyncio.FIRST_COMPLETED)
            if not term.done() and self._leadership is None:
                term.cancel()
            await asyncio.wait({term})
            if not term.cancelled():
                term.result()
            await asyncio.wait({ending}, timeout=random.uniform(0, RETRY_SECONDS_MAX))

    async def _one_term(self) -> None:
        """From standing by to the end of a leadership."""
        try:
            self._base = await revision_base(self._channel)
        except grpc.aio.AioRpcError as error:
            log.warning("etcd does not answer error=%s", error.details())
            self._standing.follows("", "")  # nobody leads for longer than etcd is away, or not that we know
            self._standing.store_is_away = True
            return
        standby = Standby(EtcdFeed(self._channel, self._base))
        self._standing.stands_by(standby)
        following = asyncio.create_task(standby.run())
        try:
            leadership = await self._until_won(standby)
            async with self._held(leadership):
                log.info("leading epoch=%d", leadership.epoch)
                plane = await self._inherit(standby, leadership)
                await _cancelled(following)
                await self._lead(plane, leadership)
        except (StoreError, Unavailable, Refused, grpc.aio.AioRpcError) as error:
            log.warning("this term ended reason=%s", error.details() if isinstance(error, grpc.RpcError) else error)
        finally:
            await _cancelled(following)

    async def _until_won(self, standby: Standby) -> Leadership:
        def on_seen(seen: Seen) -> None:
            standby.asked(seen.step)
            self._standing.store_is_away = False
            holder = seen.holder
            if holder is not None or self._standing.leader:
                self._free_since = time.monotonic()
            if holder is not None and holder.name != self._standing.leader:
                log.info("another scheduler leads leader=%s endpoint=%s", holder.name, holder.endpoint)
            self._standing.follows(holder.name, holder.endpoint) if holder else self._standing.follows("", "")
            self._gate.look_again()

        def hold_back_seconds() -> float:
            now = time.monotonic()
            cold_until = self._free_since + COLD_SECONDS if standby.followed is None else 0.0
            return max(cold_until, self._not_before) - now

        return await campaign(
            self._channel, self._config.name, self._config.endpoint, on_seen, hold_back_seconds, self._base
        )

    @asynccontextmanager
    async def _held(self, leadership: Leadership) -> AsyncIterator[None]:
        """Keeps the lease; at the end nothing of the leader is left running, and the lease is given back."""
        self._leadership = leadership
        if self._ending.is_set():
            leadership.release()
        keeper = LeaseKeeper(self._config.etcd, self._credentials, leadership, self._progress_at)
        keeper.start()
        try:
            yield
        finally:
            await leadership.join()
            self._plane = None
            keeper.stop()
            await resign(self._channel, leadership.lease)
            self._leadership = None

    def _progress_at(self) -> float:
        return self._plane.engine.progress_at if self._plane else time.monotonic()

    async def _inherit(self, standby: Standby, leadership: Leadership) -> ControlPlane:
        """Nothing is decided before everything that leaders stored before is known."""
        began = time.monotonic()
        epoch = leadership.epoch
        self._version = self._version or await store_version(self._channel)
        followed = await standby.caught_up(epoch, leadership.step, CATCH_UP_SECONDS)
        if followed is not None:
            garbage.leave_alone_at_once()
            store = EtcdStore(self._channel, epoch, followed.revision, leadership.step.revision, self._base)
            log.info("state followed revision=%d seconds=%.3f", followed.revision, time.monotonic() - began)
            tables, events = followed.tables, followed.events
            return self._control_plane(tables, store, epoch, events)
        log.warning("the feed is not whole up to revision=%d: everything is read anew", epoch)
        store = EtcdStore(self._channel, epoch, base=self._base)
        tables = loaded([record async for record in store.load()], store.revision)
        garbage.leave_alone()
        log.info("state loaded revision=%d seconds=%.3f", store.revision, time.monotonic() - began)
        return self._control_plane(tables, store, epoch, EventLog())

    def _control_plane(self, tables: Tables, store: Store, epoch: int, events: EventLog) -> ControlPlane:
        return ControlPlane(
            tables,
            store,
            epoch,
            self._version,
            events=events,
            metrics=self._metrics,
            registry=self._config.registry,
        )

    async def _recall(self, plane: ControlPlane) -> None:
        until = plane.events.first_known
        steps = past_steps(self._channel, until - history.REVISIONS_MAX, until, self._base)
        await history.recall(steps, plane.tables, plane.events)

    async def _lead(self, plane: ControlPlane, leadership: Leadership) -> None:
        """Until the lease is lost, the engine fails or leadership is handed over."""
        self._plane = plane
        plane.leads = lambda: leadership.holds
        working = leadership.spawn("engine", plane.engine.run())
        leadership.spawn("metrics", plane.measure())
        leadership.spawn("history", self._recall(plane), ends=True)
        if self._config.ingress_wanted is not None:
            wanted = plane.routing.announce(plane.tables, self._config.ingress_wanted)
            leadership.spawn("announcing the ingress", wanted, ends=True)
        webhooks = Webhooks(self._config.webhook_networks)
        leadership.spawn("alarms", Alarms(plane.engine, plane.metrics, webhooks, plane.led_since).run())
        prometheus = PrometheusQueries(self._config.webhook_networks)
        leadership.spawn("autoscaling", Autoscaling(plane.engine, plane.metrics, prometheus).run())
        try:
            await plane.engine.submit(PutClusterDocument(self._config.cluster, {}, create=True))
            self._standing.leads(plane, leadership.release)
            self._gate.open(plane)
            await self._server.set_serving(True)
            reason = await leadership.until_over()
            log.warning("leadership ends epoch=%d reason=%s", leadership.epoch, reason)
            if leadership.released and not leadership.lost:
                self._gate.close()
                plane.engine.finish()
                await asyncio.wait({working}, timeout=FINISH_SECONDS)
                self._not_before = time.monotonic() + HANDED_OVER_SECONDS
        finally:
            self._gate.close()
            self._standing.steps_down()
            plane.close()
            await self._server.set_serving(False)


async def _cancelled(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
