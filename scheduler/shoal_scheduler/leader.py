"""Leadership by an etcd lease: campaign, keep alive, step down.

The lease is renewed by a thread of its own, so that a long step cannot lose it; and only while the working loop
shows progress, so that a hung one cannot keep it: of one that never comes back, the whole process is ended. The
lease counts from when a renewal was sent, on a clock that runs on in suspend: past that, this process no longer leads,
whatever etcd may still think.
"""

import asyncio
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Coroutine, Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import grpc
import msgspec
from shoal.rpc import Credentials

from shoal_scheduler.state import etcd_v3_pb2 as pb
from shoal_scheduler.state import etcd_v3_pb2_grpc as pb_grpc
from shoal_scheduler.state import keys
from shoal_scheduler.state.etcd import etcd_channel_options, etcd_target
from shoal_scheduler.state.store import NO_STEP, StepMark, StoreError

log = logging.getLogger(__name__)

LEASE_TTL_SECONDS = 5
RENEW_PERIOD_SECONDS = 1.0
CALL_TIMEOUT_SECONDS = 2.0
LOOK_AGAIN_SECONDS = 0.1
# After a renewal that was not answered: another member of etcd may answer, or the same one by now.
RETRY_SECONDS = 0.1

# Given up this much before etcd would, for clocks that do not run at quite the same speed.
MARGIN_SECONDS = 0.5
PROGRESS_MAX_AGE_SECONDS = 10.0

# A loop that does not even hear by then that it lost its lease keeps agents from finding the new leader: its streams
# stay open as long as the process is there.
HEARD_SECONDS = 5.0
EXIT_STUCK = 70

WORK_PREFIX = "leader: "
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def boot_time() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Holder(msgspec.Struct, frozen=True):
    """Who leads, as the leader's key says: where it listens, and which process it is.

    `boot` is the id of the host's start: after another one, the process of that pid is another one, too.
    """

    name: str
    endpoint: str = ""
    pid: int = 0
    host: str = ""
    boot: str = ""

    @classmethod
    def of_this_process(cls, name: str, endpoint: str) -> "Holder":
        return cls(name, endpoint, os.getpid(), socket.gethostname(), BOOT_ID.read_text().strip())

    @classmethod
    def parse(cls, value: bytes) -> "Holder":
        """Of an older program's key it knows the name only."""
        try:
            return msgspec.json.decode(value, type=cls)
        except msgspec.DecodeError:
            return cls(value.decode("utf-8", "replace"))


class Seen(NamedTuple):
    """What the store says of leadership: who leads, if anybody does, and the last step that was stored."""

    holder: Holder | None
    step: StepMark


def _went_well(task: asyncio.Task[None]) -> bool:
    return not task.cancelled() and task.exception() is None


@dataclass(slots=True)
class Leadership:
    """`epoch` is the create_revision of the leader's key: it grows with every leader. `step` was the last one of the
    leaders before. Whatever works only while this process leads is started here, and ends before its end."""

    epoch: int
    lease: int
    renewed_at: float
    step: StepMark = NO_STEP
    lost: bool = False
    released: bool = False
    _over: asyncio.Event = field(default_factory=asyncio.Event)
    _working: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def seconds_left(self) -> float:
        """Until somebody else might lead, if the lease is not renewed."""
        return max(0.0, self.renewed_at + LEASE_TTL_SECONDS - MARGIN_SECONDS - boot_time())

    @property
    def holds(self) -> bool:
        """Nobody else can lead yet: by this process's own clock, even if it slept and has heard of nothing since."""
        return self.seconds_left > 0

    def spawn(self, name: str, work: Coroutine[None, None, None], *, ends: bool = False) -> asyncio.Task[None]:
        """It never ends of itself, unless it `ends`: if it does, so does this leadership."""
        task = asyncio.create_task(work, name=f"{WORK_PREFIX}{self.epoch} {name}")
        task.add_done_callback(lambda done: None if ends and _went_well(done) else self._over.set())
        self._working.add(task)
        return task

    def lose(self) -> None:
        """The lease is not ours any more, or must not be."""
        self.lost = True
        self._over.set()

    def release(self) -> None:
        """To be handed over."""
        self.released = True
        self._over.set()

    async def until_over(self) -> str:
        """Why it is to end. Raises what made one of its loops end."""
        await self._over.wait()
        if self.lost:
            return "the lease is lost"
        for task in self._working:
            if task.done():
                task.result()
        return "it is handed over" if self.released else "its work ended"

    async def join(self) -> None:
        """Ends whatever was started here, and returns when nothing of it is left."""
        for task in self._working:
            task.cancel()
        ended = await asyncio.gather(*self._working, return_exceptions=True)
        self._working.clear()
        for error in ended:
            if isinstance(error, Exception) and not isinstance(error, StoreError):
                log.error("a loop of the leader ended badly", exc_info=error)


async def campaign(
    channel: grpc.aio.Channel,
    name: str,
    endpoint: str = "",
    on_seen: Callable[[Seen], None] = lambda _seen: None,
    hold_back_seconds: Callable[[], float] = lambda: 0.0,
    base: int = 0,
) -> Leadership:
    """Wait until this process leads. Raises AioRpcError while etcd cannot be reached.

    on_seen: told every few seconds, and whenever the leader's key goes. hold_back_seconds: how long another may have
    the leader's key, once it is free, before we try to; asked again and again. base: see `etcd.revision_base`.
    """
    kv, me = pb_grpc.KVStub(channel), Holder.of_this_process(name, endpoint)
    while True:
        seen, revision, lease = await _look(kv)
        on_seen(seen)
        wait = hold_back_seconds()
        if seen.holder == me:  # it led, and could not give its lease back then
            await resign(channel, lease)
        elif seen.holder is not None:
            await _until_deleted(channel, revision + 1)
        elif wait > 0:
            await asyncio.sleep(min(wait, LOOK_AGAIN_SECONDS))
        elif (won := await _claim(channel, me, base)) is not None:
            return won


async def _look(kv: "pb_grpc.KVAsyncStub") -> tuple[Seen, int, int]:
    """And the revision at which it was so, and the leader's lease. Asked of the leader of etcd, not of a member that
    may be cut off."""
    answer = await kv.Txn(pb.TxnRequest(success=[_get(keys.LEADER), _get(keys.STEP)]), timeout=CALL_TIMEOUT_SECONDS)
    leader = answer.responses[0].response_range.kvs
    holder = Holder.parse(leader[0].value) if leader else None
    return Seen(holder, _step(answer)), answer.header.revision, leader[0].lease if leader else 0


async def _claim(channel: grpc.aio.Channel, me: Holder, base: int) -> Leadership | None:
    """None if somebody else leads."""
    sent_at = boot_time()
    leases = pb_grpc.LeaseStub(channel)
    grant = await leases.LeaseGrant(pb.LeaseGrantRequest(TTL=LEASE_TTL_SECONDS), timeout=CALL_TIMEOUT_SECONDS)
    put = pb.PutRequest(key=keys.LEADER, value=msgspec.json.encode(me), lease=grant.ID)
    claim = pb.TxnRequest(
        compare=[pb.Compare(target=pb.Compare.CREATE, result=pb.Compare.EQUAL, key=keys.LEADER, create_revision=0)],
        success=[pb.RequestOp(request_put=put), _get(keys.STEP)],
    )
    won = False
    try:
        answer = await pb_grpc.KVStub(channel).Txn(claim, timeout=CALL_TIMEOUT_SECONDS)
        won = answer.succeeded
    finally:
        if not won:
            await resign(channel, grant.ID)
    return Leadership(base + answer.header.revision, grant.ID, sent_at, _step(answer)) if won else None


def _step(answer: pb.TxnResponse) -> StepMark:
    """Of the second of its responses."""
    found = answer.responses[1].response_range.kvs
    return StepMark(found[0].mod_revision, found[0].version) if found else NO_STEP


def _get(key: bytes) -> pb.RequestOp:
    return pb.RequestOp(request_range=pb.RangeRequest(key=key))


async def resign(channel: grpc.aio.Channel, lease: int) -> None:
    """Give a lease back, so that the next leader need not wait for it to lapse. Safe to repeat."""
    try:
        await pb_grpc.LeaseStub(channel).LeaseRevoke(pb.LeaseRevokeRequest(ID=lease), timeout=CALL_TIMEOUT_SECONDS)
    except grpc.aio.AioRpcError as error:
        log.info("the lease was not given back, it will lapse error=%s", error.details())


async def _until_deleted(channel: grpc.aio.Channel, revision: int) -> None:
    """Until the leader's key goes away, or at most a lease's time, should a watch fall silent."""
    create = pb.WatchRequest(create_request=pb.WatchCreateRequest(key=keys.LEADER, start_revision=revision))
    call = pb_grpc.WatchStub(channel).Watch()
    try:
        async with asyncio.timeout(LEASE_TTL_SECONDS):
            await call.write(create)
            async for answer in call:
                if answer.canceled or any(event.type == pb.Event.DELETE for event in answer.events):
                    return
    except TimeoutError:
        return
    finally:
        call.cancel()


@dataclass(frozen=True, slots=True)
class Pause:
    seconds: float


@dataclass(frozen=True, slots=True)
class Renew:
    """To be answered with the lease's time to live, None if etcd does not answer in time."""

    timeout_seconds: float


@dataclass(frozen=True, slots=True)
class GiveBack:
    """Nobody need wait for it to lapse."""


def renewals(
    leadership: Leadership, progress_at: Callable[[], float]
) -> Generator[Pause | Renew | GiveBack, int | None, None]:
    """What is to be done for a lease, one thing after the other; at the end it counts as lost."""
    pause = RENEW_PERIOD_SECONDS
    while True:
        yield Pause(min(pause, leadership.seconds_left))
        if not leadership.holds:
            return
        if time.monotonic() - progress_at() > PROGRESS_MAX_AGE_SECONDS:
            log.error("the working loop shows no progress: the lease is let go")
            yield GiveBack()
            return
        sent_at = boot_time()
        ttl_seconds = yield Renew(min(CALL_TIMEOUT_SECONDS, leadership.seconds_left))
        if ttl_seconds is None:
            pause = RETRY_SECONDS
            continue
        if ttl_seconds <= 0:
            return
        leadership.renewed_at, pause = sent_at, RENEW_PERIOD_SECONDS


class LeaseKeeper(threading.Thread):
    """Renews the lease of one leadership until told to stop, or until it must count as lost.

    exit_process: ends this process at once, whatever its loop may be doing.
    """

    def __init__(
        self,
        endpoints: Sequence[str],
        credentials: Credentials,
        leadership: Leadership,
        progress_at: Callable[[], float],
        exit_process: Callable[[int], object] = os._exit,
    ) -> None:
        super().__init__(name="lease-keeper", daemon=True)
        self._endpoints = endpoints
        self._credentials = credentials
        self._leadership = leadership
        self._progress_at = progress_at
        self._exit_process = exit_process
        self._loop = asyncio.get_running_loop()
        self._stopping = threading.Event()

    def stop(self) -> None:
        self._stopping.set()

    def run(self) -> None:
        credentials = grpc.ssl_channel_credentials(
            self._credentials.authority, self._credentials.key, self._credentials.certificate
        )
        with grpc.secure_channel(etcd_target(self._endpoints), credentials, options=etcd_channel_options()) as channel:
            stub, steps = pb_grpc.LeaseStub(channel), renewals(self._leadership, self._progress_at)
            step = next(steps, None)
            while step is not None:
                answer = self._do(step, stub)
                if self._stopping.is_set():
                    return
                try:
                    step = steps.send(answer)
                except StopIteration:
                    step = None
        self._say_lost()

    def _do(self, step: Pause | Renew | GiveBack, stub: pb_grpc.LeaseStub) -> int | None:
        lease = self._leadership.lease
        try:
            match step:
                case Pause(seconds):
                    self._stopping.wait(seconds)
                case Renew(timeout_seconds):
                    request = iter([pb.LeaseKeepAliveRequest(ID=lease)])
                    return next(iter(stub.LeaseKeepAlive(request, timeout=timeout_seconds))).TTL
                case GiveBack():
                    stub.LeaseRevoke(pb.LeaseRevokeRequest(ID=lease), timeout=CALL_TIMEOUT_SECONDS)
        except (grpc.RpcError, StopIteration) as error:
            log.info("etcd did not answer about the lease error=%s", error)
        return None

    def _say_lost(self) -> None:
        heard = threading.Event()

        def tell() -> None:
            self._leadership.lose()
            heard.set()

        self._loop.call_soon_threadsafe(tell)
        if not heard.wait(HEARD_SECONDS) and not self._stopping.is_set():
            log.critical("the loop is stuck and the lease is lost: this process ends")
            self._exit_process(EXIT_STUCK)
