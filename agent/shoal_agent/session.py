"""The one stream to the scheduler: dials out, says who it is and what it has, then reports, and obeys.

    agent                       scheduler
    Hello             ------->
                      <-------  Welcome (epoch, pace)
    Inventory         ------->
                      <-------  Assignments (full)
    Reports, Heartbeat, Samples, ImageReport ------>
                      <-------  ReportsAck, Assignments (increments), LogRequest, CommandRequest,
                                                      PullRequest

A session of a leader older than one obeyed before is left at once: the highest epoch is on disk before anything it
says is done. A stream that is silent where an answer is due, or dead without saying so, is given up.
"""

import asyncio
import logging
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import TypeAlias

import grpc
from shoal.rpc import Credentials, open_channel, until_tried
from shoal.v1 import agent_pb2, agent_pb2_grpc

from shoal_agent import convert
from shoal_agent.address import NOWHERE, attributes_towards
from shoal_agent.commands import Commands
from shoal_agent.fingerprint import Fingerprint
from shoal_agent.images import message as images_message
from shoal_agent.images.held import HeldImages
from shoal_agent.images.prepull import Prepulls
from shoal_agent.interruption import HostInterruption
from shoal_agent.life.case import Surroundings
from shoal_agent.logs.answer import Logs
from shoal_agent.memory import record
from shoal_agent.memory.journal import JournalFault
from shoal_agent.metadata.protection import TaskProtection
from shoal_agent.metrics import message as metrics_message
from shoal_agent.metrics.sampler import Sampler
from shoal_agent.pause import either
from shoal_agent.schedulers import Schedulers, Told, told_by
from shoal_agent.watch import Watch
from shoal_agent.worker import Worker

log = logging.getLogger(__name__)

CONNECT_SECONDS = 3.0
WELCOME_SECONDS = 10.0
SETTLED_SECONDS = 5.0

# Of a scheduler that acknowledged heartbeats before: how long it may be silent.
SILENCE_SECONDS_MIN = 7.0
SILENT_PERIODS = 2.5
SILENCE_LOOK_SECONDS = 0.5
GOODBYE_SECONDS = 1.0

# What a constraint may ask for, for tasks that must not run twice.
WATCHDOG_ATTRIBUTE = "shoal.watchdog"

_Stub: TypeAlias = "agent_pb2_grpc.AgentSessionAsyncStub"
_Call = grpc.aio.StreamStreamCall[agent_pb2.AgentMessage, agent_pb2.SchedulerMessage]


class SessionOver(Exception):  # noqa: N818 - reads as what it says
    """Why this session is left; another is tried."""


@dataclass(frozen=True, slots=True)
class Caller:
    """What this agent says of itself in every session."""

    credentials: Credentials
    incarnation: int
    host: Fingerprint

    # Drawn at the start of the program.
    run: str


class Session:
    def __init__(
        self,
        endpoints: Sequence[str],
        caller: Caller,
        around: Surroundings,
        worker: Worker,
        watch: Watch,
        sampler: Sampler | None = None,
        images: HeldImages | None = None,
        interruption: HostInterruption | None = None,
        protection: TaskProtection | None = None,
    ) -> None:
        """Without a sampler nobody is told what is used. Without images nobody is told what the engine has of them, and
        none are pulled ahead. Without an interruption of its own the host goes only by a scheduler's word."""
        self._schedulers = Schedulers(endpoints)
        self._caller = caller
        self._around = around
        self._worker = worker
        self._watch = watch
        self._sampler = sampler
        self._images = images
        clock = around.lease.clock
        self._interruption = interruption or HostInterruption(around.owner.instance, worker.interrupt, clock)
        self._interruption.on_notice = self._notice_found
        self._said_notice = False
        self._prepulls = Prepulls(around, images.records) if images is not None else None
        self._protection = protection or TaskProtection()
        self._logs = Logs(around, worker)
        self._commands = Commands(around, worker)
        self._writing = asyncio.Lock()

        # A certificate came after this session began; what it is asked to serve for callers beside its own messages.
        self._renewed = asyncio.Event()
        self._served: set[asyncio.Task[None]] = set()
        self._unanswered_since: float | None = None

        # Of this session: how long the scheduler waits for a word, whether it was told of a watchdog, and when each
        # heartbeat was sent that is not acknowledged yet.
        self._deadline_seconds = 0.0
        self._said_guarded = False
        self._beats: dict[int, float] = {}
        self._is_heard = False

    async def run(self) -> None:
        """For ever: one session after another, wherever the leader is."""
        outage_since = time.monotonic()
        while True:
            endpoint, began = self._schedulers.endpoint, time.monotonic()
            told = Told()
            try:
                await self._serve(endpoint)
            except* (SessionOver, JournalFault, grpc.aio.AioRpcError) as group:
                told = _what_it_said(group)
                log.warning("session ended scheduler=%s reason=%s", endpoint, _told(group))
            except* Exception:  # a fault of ours ends a session, never the agent
                log.exception("session stumbled scheduler=%s", endpoint)
            ended = time.monotonic()
            if ended - began > SETTLED_SECONDS:
                outage_since = ended
                self._schedulers.settled()
            wait = self._schedulers.ended(told, ended - outage_since, random.random())  # jitter needs no secret
            await asyncio.sleep(wait)

    def renewed(self, credentials: Credentials) -> None:
        """The next session shows this certificate. It begins as soon as nobody reads logs or executes commands here;
        a session may last as long as the certificate it began with is good."""
        self._caller = replace(self._caller, credentials=credentials)
        self._renewed.set()

    async def end_left_commands(self) -> None:
        """Once, at the agent's start."""
        await self._watch.wait_up()
        await self._commands.end_left()

    async def close(self) -> None:
        """After its end: what was executed for callers has ended, too."""
        await self._commands.close()
        if self._prepulls is not None:
            await self._prepulls.close()

    async def _serve(self, endpoint: str) -> None:
        self._renewed.clear()
        async with open_channel(endpoint, self._caller.credentials) as channel:
            await _until_reached(channel)
            stub = agent_pb2_grpc.AgentSessionStub(channel)
            call = stub.Session()
            try:
                welcome = await self._introduce(call, await attributes_towards(endpoint))
                log.info("session began scheduler=%s epoch=%d", endpoint, welcome.epoch)
                self._around.reporter.rewind()
                self._unanswered_since = None
                self._protection.stub = stub
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._read(call, stub, group))
                    group.create_task(self._report(call))
                    group.create_task(self._beat(call, welcome))
                    group.create_task(self._mind_silence(welcome))
                    group.create_task(self._leave_when_renewed())
                    if self._sampler is not None:
                        group.create_task(self._tell_usage(call, self._sampler))
                    if self._images is not None:
                        group.create_task(self._tell_images(call, self._images))
            finally:
                self._protection.stub = None
                call.cancel()

    async def _introduce(self, call: "_Call", address: Mapping[str, str] = NOWHERE) -> agent_pb2.Welcome:
        try:
            async with asyncio.timeout(WELCOME_SECONDS):
                sent_at = self._around.lease.now
                version, health = self._watch.engine_version, self._watch.health
                caller, owner = self._caller, self._around.owner
                self._said_guarded = guarded = self._around.guarded()
                found = {**self._around.cgroups.attributes, **({WATCHDOG_ATTRIBUTE: "true"} if guarded else {})}
                host = replace(caller.host, attributes={**address, **caller.host.attributes, **found})
                notice = self._interruption.untold
                self._said_notice = notice is not None
                run, incarnation = caller.run, caller.incarnation
                await self._write(
                    call, convert.hello(owner.cluster, incarnation, run, host, version, health, guarded, notice)
                )
                first = await call.read()
        except TimeoutError:
            raise SessionOver("no welcome in time") from None
        if not isinstance(first, agent_pb2.SchedulerMessage):
            raise SessionOver(await _ending(call))
        if first.WhichOneof("kind") != "welcome":
            raise SessionOver("it does not begin with a welcome")
        await self._obey(first.welcome.epoch)
        if self._around.registry is not None:
            await self._around.registry.learn(first.welcome.registry)
        self._beats.clear()
        self._is_heard = False
        self._deadline_seconds = first.welcome.session_deadline_millis / 1000
        self._around.lease.renew(sent_at, self._deadline_seconds)
        self._interruption.told(convert.word(first.welcome), acknowledged=self._said_notice)
        await self._write(call, convert.inventory(self._worker.inventory()))
        return first.welcome

    async def _obey(self, epoch: int) -> None:
        """From here on nothing of an older leader is obeyed, also after a crash."""
        highest = self._around.owner.epoch
        if epoch < highest:
            raise SessionOver(f"its epoch {epoch} is over: {highest} has been seen")
        if epoch > highest:
            await self._around.journal.append(record.epoch(epoch))
            self._around.owner = replace(self._around.owner, epoch=epoch)

    async def _read(
        self, call: "_Call", stub: "agent_pb2_grpc.AgentSessionAsyncStub", group: asyncio.TaskGroup
    ) -> None:
        named: set[str] = set()  # of the complete set, which may come in several messages
        while True:
            message = await call.read()
            if not isinstance(message, agent_pb2.SchedulerMessage):
                raise SessionOver(await _ending(call))
            match message.WhichOneof("kind"):
                case "assignments":
                    received_micros = time.time_ns() // 1000
                    wanted = convert.assignments(message.assignments)
                    self._worker.apply(wanted, received_micros)
                    named.update(it.task_id for it in wanted)
                    if message.assignments.full and not message.assignments.more:
                        self._worker.keep_only(named)
                case "reports_ack":
                    self._worker.acknowledged(self._around.reporter.acknowledge(message.reports_ack.sequence))
                    self._unanswered_since = time.monotonic() if self._around.reporter.unacknowledged else None
                case "heartbeat_ack":
                    self._renew(message.heartbeat_ack.sequence)
                case "interruption":
                    self._interruption.told(convert.word(message.interruption), acknowledged=self._said_notice)
                case "log_request":
                    self._serve_caller(group.create_task(self._logs.send(stub, message.log_request)))
                case "command_request":
                    self._serve_caller(group.create_task(self._commands.run(stub, message.command_request)))
                case "pull_request" if self._prepulls is not None:
                    self._serve_caller(group.create_task(self._prepulls.run(stub, message.pull_request)))
                case kind:
                    log.warning("message not understood kind=%s", kind)

    async def _mind_silence(self, welcome: agent_pb2.Welcome) -> None:
        """A leader that hangs, or whose host is gone, says nothing of it: but it does not acknowledge heartbeats."""
        period_seconds = welcome.heartbeat_period_millis / 1000
        silence_seconds = max(SILENCE_SECONDS_MIN, SILENT_PERIODS * period_seconds)
        while True:
            await asyncio.sleep(SILENCE_LOOK_SECONDS)
            oldest = min(self._beats.values(), default=self._around.lease.now)
            if self._is_heard and self._around.lease.now - oldest > silence_seconds:
                raise SessionOver("the scheduler is silent")

    def _serve_caller(self, task: asyncio.Task[None]) -> None:
        self._served.add(task)
        task.add_done_callback(self._served.discard)

    async def _leave_when_renewed(self) -> None:
        await self._renewed.wait()
        while self._served:
            await asyncio.wait(self._served)
        raise SessionOver("the certificate is renewed")

    def _renew(self, sequence: int) -> None:
        """A leader has heard this heartbeat, and so all that were sent before."""
        self._is_heard = True
        sent_at = self._beats.get(sequence)
        if sent_at is not None:
            self._around.lease.renew(sent_at, self._deadline_seconds)
            self._beats = {number: at for number, at in self._beats.items() if number > sequence}

    async def _report(self, call: "_Call") -> None:
        while True:
            await self._tell_notice(call)
            batch = self._around.reporter.take()
            if batch is None:
                await self._around.reporter.changed.wait()
                continue
            if self._unanswered_since is None:
                self._unanswered_since = time.monotonic()
            await self._write(call, convert.reports(batch.sequence, batch.reports))

    def _notice_found(self) -> None:
        """Also one that comes after another: it is told, too, or nobody could say that it is not true any more."""
        self._said_notice = False
        self._around.reporter.changed.set()

    async def _tell_notice(self, call: "_Call") -> None:
        """Before what has ended for it: whoever replaces that should know that it cannot be here."""
        while not self._said_notice and (notice := self._interruption.untold) is not None:
            self._said_notice = True
            await self._write(call, convert.interruption(notice))

    async def _beat(self, call: "_Call", welcome: agent_pb2.Welcome) -> None:
        """At the scheduler's pace, and at once when the engine's health changes."""
        period_seconds = max(welcome.heartbeat_period_millis, 100) / 1000
        deadline_seconds = max(welcome.session_deadline_millis / 1000, 2 * period_seconds)
        differs = 0  # how often in a row
        for sequence in count(1):
            self._watch.changed.clear()
            now = self._around.lease.now
            self._beats = {number: at for number, at in self._beats.items() if now - at < self._deadline_seconds}
            self._beats[sequence] = now
            await self._write(call, convert.heartbeat(self._watch.health, sequence))
            await either(self._watch.changed, period_seconds)
            differs = differs + 1 if self._around.guarded() != self._said_guarded else 0
            if differs > 1:
                raise SessionOver("a watchdog runs, or runs no more, other than was said")
            since = self._unanswered_since
            if since is not None and time.monotonic() - since > deadline_seconds:
                raise SessionOver("reports are not acknowledged")

    async def _tell_usage(self, call: "_Call", sampler: Sampler) -> None:
        """A sample that would have to wait for the stream is dropped: the next one is worth more."""
        sampler.changed.clear()
        while True:
            await sampler.changed.wait()
            sampler.changed.clear()
            if sampler.newest is not None and not self._writing.locked():
                sampler.told = sampler.newest
                await self._write(call, metrics_message.samples(sampler.newest, sampler.dropped))

    async def _tell_images(self, call: "_Call", images: HeldImages) -> None:
        """All of them, once the engine has shown them; then what changes."""
        told = None
        while True:
            images.changed.clear()
            if images.current is not None and images.current != told:
                await self._write(call, images_message.report(told, images.current))
                told = images.current
            await images.changed.wait()

    async def _write(self, call: "_Call", message: agent_pb2.AgentMessage) -> None:
        async with self._writing:
            try:
                await call.write(message)
            except asyncio.InvalidStateError:  # it has ended, and who reads has not heard of it yet
                raise SessionOver(await _ending(call)) from None


async def _until_reached(channel: grpc.aio.Channel) -> None:
    """A host that is silent is not waited for as long as one that is slow to welcome."""
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            await until_tried(channel)
    except TimeoutError:
        raise SessionOver("no connection in time") from None


async def _ending(call: "_Call") -> str:
    """What the other end said when it ended the stream."""
    try:
        async with asyncio.timeout(GOODBYE_SECONDS):
            return f"{(await call.code()).name}: {await call.details()}"
    except TimeoutError:
        return "the stream ended"


def _told(group: BaseExceptionGroup[BaseException]) -> str:
    reasons = []
    for error in group.exceptions:
        if isinstance(error, grpc.aio.AioRpcError):
            reasons.append(f"{error.code().name}: {error.details()}")
        elif isinstance(error, BaseExceptionGroup):
            reasons.append(_told(error))
        else:
            reasons.append(str(error))
    return "; ".join(reasons)


def _what_it_said(group: BaseExceptionGroup[BaseException]) -> Told:
    """Where to go and when to come, if one of the errors says so."""
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            return _what_it_said(error)
        if isinstance(error, grpc.aio.AioRpcError):
            return told_by(error)
    return Told()
