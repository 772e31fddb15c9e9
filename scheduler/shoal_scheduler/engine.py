"""The loop of the leader: take everything that waits, run one step, commit, apply, answer.

Load makes bigger batches, not longer queues: one commit is in flight, what arrives meanwhile goes into the next.
Nothing is answered or dispatched before it is durable.
"""

import asyncio
import contextlib
import logging
import random
import secrets
import time
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import cast

from shoal_scheduler.control import interruption, retention, usage
from shoal_scheduler.control.batch import time_limits
from shoal_scheduler.control.context import Context, Limits
from shoal_scheduler.control.host_loss import Look, look
from shoal_scheduler.control.inputs import Input, Reply
from shoal_scheduler.control.step import Fault, Step, step
from shoal_scheduler.metrics.meters import Meters, timed
from shoal_scheduler.model.refusal import Refused
from shoal_scheduler.model.task import LAUNCH_ID_DIGITS
from shoal_scheduler.rebalancing import Rebalancing
from shoal_scheduler.state.changes import Change, PutInstance, PutTask, SetSession
from shoal_scheduler.state.heard import Heard
from shoal_scheduler.state.store import (
    Deposed,
    NotStored,
    OutcomeUnknown,
    Store,
    StoreError,
    StoreFull,
    Write,
    step_name,
)
from shoal_scheduler.state.tables import Tables
from shoal_scheduler.state.writes import write_of

log = logging.getLogger(__name__)

INBOX_MAX = 50_000
INPUTS_PER_STEP = 2_000
RETENTION_PERIOD_SECONDS = 10.0
IDLE_SECONDS = 1.0
SETTLE_RETRY_SECONDS = 0.2
LOSSES_RETRY_SECONDS = 1.0
IDS_PER_DRAW = 64
STORE_IS_FULL = (
    "etcd is full, so nothing can be stored; what runs goes on. The scheduler makes room by itself, so try again in a"
    " minute; if it stays full, raise etcd's --quota-backend-bytes."
)

# A commit costs about as much for one input as for many. So the next step waits until as many inputs have come as the
# last ones carried, the longer the more they were; who asks alone is not kept waiting. A few that a transaction had
# no room for wait with the others; where many are left, the next step comes at once.
GATHER_SECONDS_PER_INPUT = 0.002
GATHER_SECONDS_MAX = 0.04

# Told of every committed batch: the changes, their revision and the step's time.
OnCommit = Callable[[Sequence[Change], int, int], None]


class Unavailable(Exception):  # noqa: N818  what the caller is told, not a fault
    """Not done, and certainly not stored; worth trying again, here or at another scheduler."""


class LeadershipLost(StoreError):  # noqa: N818
    """Another leader came while the outcome of a commit was unknown."""


class OutcomeLost(Unavailable):
    """Perhaps stored, perhaps not: this process lost leadership before it could find out."""


class RandomIds:
    """Drawn from the system for many launches at once: a system call each is a fifth of what placing a task costs.

    Ids of jobs are UUIDs that begin with the time (version 7 of RFC 9562), so that those which one step takes stay in
    the order in which they were submitted.
    """

    def __init__(self) -> None:
        self._drawn: list[str] = []
        self._last_job = 0

    def launch_id(self) -> str:
        if not self._drawn:
            drawn = secrets.token_hex(IDS_PER_DRAW * LAUNCH_ID_DIGITS // 2)
            self._drawn = [drawn[at : at + LAUNCH_ID_DIGITS] for at in range(0, len(drawn), LAUNCH_ID_DIGITS)]
        return self._drawn.pop()

    def job_id(self) -> str:
        beginning = max(now_millis() << 12, self._last_job + 1)  # 12 more bits count within the millisecond
        self._last_job = beginning
        bits = (beginning >> 12) << 80 | 0x7 << 76 | (beginning & 0xFFF) << 64 | 0b10 << 62 | secrets.randbits(62)
        return str(uuid.UUID(int=bits))


def now_millis() -> int:
    return time.time_ns() // 1_000_000


@dataclass(slots=True)
class _Waiting:
    request: Input
    answer: asyncio.Future[Reply]


@dataclass
class Engine:
    """One per leadership. `run` ends when told to finish, or by raising: Deposed, or what the store could not mend."""

    tables: Tables
    store: Store
    on_commit: OnCommit
    limits: Limits = field(default_factory=Limits)
    now: Callable[[], int] = now_millis
    rng: random.Random = field(default_factory=lambda: random.Random(secrets.randbits(64)))

    meters: Meters = field(default_factory=Meters)

    # Seconds, for what must not depend on anybody's idea of the time of day.
    clock: Callable[[], float] = time.monotonic

    # Monotonic time of the last sign of life; the lease is renewed only while this is young.
    progress_at: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.heard = Heard(self.clock())
        self._inbox: deque[_Waiting] = deque()
        self._arrived = asyncio.Event()
        self._ids = RandomIds()
        self._step_prefix = secrets.token_hex(8)
        self._steps = 0
        # How many inputs the next step waits for.
        self._expected = 0
        self._gathered = asyncio.Event()
        # When time itself asks for something: by `clock`.
        self._retention_at = self._losses_at = self._interruptions_at = -inf
        self._rebalancing = Rebalancing(self.clock())
        self._led_since = 0
        self._is_full = False
        self._finishing = False
        self._closed = False

    @property
    def waiting(self) -> int:
        """Requests and reports that no step has taken yet."""
        return len(self._inbox)

    async def submit(self, request: Input) -> Reply:
        """Durable once answered. Raises Refused, or Unavailable."""
        (waiting,) = self._enqueue([request])
        return await waiting.answer

    async def submit_all(self, requests: Sequence[Input]) -> list[Reply]:
        """Of one caller, in this order, each answered on its own; durable once all are. Raises the first refusal."""
        answers = [waiting.answer for waiting in self._enqueue(requests)]
        replies = await asyncio.gather(*answers, return_exceptions=True)  # if the caller goes, none is left unheard
        for reply in replies:
            if isinstance(reply, BaseException):
                raise reply
        return cast(list[Reply], replies)

    def _enqueue(self, requests: Sequence[Input]) -> list[_Waiting]:
        if self._closed or self._finishing:
            raise Unavailable("this scheduler does not lead any more")
        if len(self._inbox) + len(requests) > INBOX_MAX:
            raise Unavailable("too many requests wait: try again later")
        loop = asyncio.get_running_loop()
        waiting = [_Waiting(request, loop.create_future()) for request in requests]
        self._inbox.extend(waiting)
        self._arrived.set()
        if len(self._inbox) >= self._expected:
            self._gathered.set()
        return waiting

    def hear(self, instance: str) -> None:
        """Its agent has just said something."""
        self.heard.note(instance, self.clock())

    def finish(self) -> None:
        """`run` returns when the commit in flight is through and answered; what waits still is refused, untouched."""
        self._finishing = True
        self._arrived.set()
        self._gathered.set()

    async def run(self) -> None:
        self.heard.begin(self.clock())
        self._led_since = self.now()
        try:
            while not self._finishing:
                await self._one_step()
        finally:
            self._closed = True
            self._refuse_all(list(self._inbox))
            self._inbox.clear()

    async def _one_step(self) -> None:
        await self._wait_for_work()
        await self._gather()
        if self._finishing:
            return
        self.progress_at = time.monotonic()
        batch = [self._inbox.popleft() for _ in range(min(len(self._inbox), INPUTS_PER_STEP))]
        try:
            await self._carry_out(batch)
        except Deposed:
            self._refuse_all(batch)
            raise
        except BaseException:
            # The commit was under way or its outcome unknown.
            self._refuse_all(batch, OutcomeLost)
            raise

    async def _wait_for_work(self) -> None:
        while not (self._finishing or self._inbox or self.tables.is_unsettled or self.clock() >= self._wake_at):
            self.progress_at = time.monotonic()
            self._arrived.clear()
            try:
                async with asyncio.timeout(min(IDLE_SECONDS, self._wake_at - self.clock())):
                    await self._arrived.wait()
            except TimeoutError:
                self.heard.listen(self.clock())

    @property
    def _wake_at(self) -> float:
        """When there is something to do even if nobody asks."""
        services_at = self.tables.services.next_due()
        due_at = min(time_limits.due_at(self.tables), inf if services_at is None else services_at)
        due_in = (due_at - self.now()) / 1000
        if due_in <= 0:
            return -inf
        at = (self._retention_at, self._losses_at, self._interruptions_at, self._rebalancing.due_at)
        return min(*at, self.clock() + due_in)

    async def _gather(self) -> None:
        if len(self._inbox) >= self._expected:
            return
        self._gathered.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(self._expected * GATHER_SECONDS_PER_INPUT, GATHER_SECONDS_MAX)):
                await self._gathered.wait()

    async def _carry_out(self, batch: list[_Waiting], may_write: bool = True) -> None:
        # Time never goes back, not even when another host's clock was ahead: the tables are in its order.
        now = max(self.now(), self.tables.newest)
        context = Context(now, self._ids, self.rng, self.limits, self._led_since)
        interrupted = self._interrupted(context) if may_write else Look((), self._interruptions_at)
        # Both may have to say of the same task how it ends: one after the other.
        losses = self._losses(context) if may_write and not interrupted.changes else Look((), self._losses_at)
        due = [*self._expired(context), *interrupted.changes, *losses.changes] if may_write else []
        due += self._rebalancing.due(self.tables, context, self.clock()) if may_write else []
        with timed(self.meters.steps):
            inputs = [waiting.request for waiting in batch]
            result = step(self.tables, inputs, context, due, alone=not may_write)
        for fault in result.faults:
            log.error("a queue could not be looked at", exc_info=fault.error)
        taken, rest = batch[: len(result.replies)], batch[len(result.replies) :]
        self._inbox.extendleft(reversed(rest))
        self._expected = max(len(taken), self._expected // 2) if len(rest) < len(taken) else 0
        try:
            revision = await self._commit(result, now, may_write)
        except NotStored as error:
            # Not with every step: who asks for something that costs no write is answered all the same.
            retry_at = self.clock() + LOSSES_RETRY_SECONDS
            self._losses_at = max(self._losses_at, retry_at)
            self._interruptions_at = max(self._interruptions_at, retry_at)
            self._rebalancing.not_stored(retry_at)
            await self._not_stored(taken, error)
            return
        self.meters.inputs += len(taken)
        self.meters.placements += sum(map(_is_placement, result.changes))
        self.tables.apply(result.changes, revision)
        self._losses_at, self._interruptions_at = losses.due_at, interrupted.due_at
        self._rebalancing.committed(result.changes, self.clock())
        if any(isinstance(change, SetSession) and not change.incarnation for change in result.changes):
            self._losses_at = -inf  # an instance fell silent: when it is due is found out at once
        if any(isinstance(change, PutInstance) and change.instance.interruption for change in result.changes):
            self._losses_at = self._interruptions_at = -inf
        self.on_commit(result.changes, revision, now)
        for waiting, reply in zip(taken, result.replies, strict=True):
            _answer(waiting, reply)

    def _interrupted(self, context: Context) -> Look:
        if self.clock() < self._interruptions_at:
            return Look((), self._interruptions_at)
        return interruption.look(self.tables, self.clock(), context)

    def _losses(self, context: Context) -> Look:
        now = self.clock()
        self.heard.listen(now)
        if now < self._losses_at:
            return Look((), self._losses_at)
        return look(self.tables, self.heard.last, self.heard.led_since, now, context)

    def _expired(self, context: Context) -> Sequence[Change]:
        if self.clock() < self._retention_at:
            return ()
        expired = retention.expired(self.tables, context)
        pause = 0.0 if len(expired) >= retention.LAUNCHES_PER_STEP else RETENTION_PERIOD_SECONDS
        self._retention_at = self.clock() + pause
        return [*expired, *usage.expired(self.tables, context.now)]

    async def _commit(self, result: Step, now: int, may_write: bool) -> int:
        """The revision of the step. Raises NotStored or Deposed; an unknown outcome is found out first."""
        self._steps += 1
        write = write_of(self.tables, result.changes, step_name(self._step_prefix, self._steps, now))
        if write is None:
            return self.tables.revision
        if not may_write:
            raise StoreFull(STORE_IS_FULL)
        try:
            with timed(self.meters.commits):
                revision = await self.store.commit(write)
        except StoreError as error:
            self.meters.commits_failed[type(error).__name__] += 1
            if isinstance(error, StoreFull):
                self._note_full(error)
                raise StoreFull(STORE_IS_FULL) from None
            if not isinstance(error, OutcomeUnknown):
                raise
            log.warning("the outcome of a commit is unknown, reading it back error=%s", error)
            return await self._settled(write)
        self._note_full(None)
        return revision

    def _note_full(self, error: StoreFull | None) -> None:
        """In the log once, however many are refused."""
        if error is not None and not self._is_full:
            log.error("the store is full, nothing is stored error=%s", error)
        elif error is None and self._is_full:
            log.warning("the store takes writes again")
        self._is_full = error is not None

    async def _settled(self, write: Write) -> int:
        while True:
            self.progress_at = time.monotonic()
            try:
                revision = await self.store.settle(write)
            except Deposed as error:
                raise LeadershipLost("another leader came before the outcome of a commit was known") from error
            except OutcomeUnknown:
                await asyncio.sleep(SETTLE_RETRY_SECONDS)
                continue
            if revision is None:
                raise NotStored("the store was away; nothing of this request was stored")
            return revision

    async def _not_stored(self, taken: list[_Waiting], error: NotStored) -> None:
        """One input may have made the whole batch unstorable: try each alone before it is refused.

        A store that is full is not asked again for each: who writes is refused, who does not is answered.
        """
        if not isinstance(error, StoreFull):
            log.warning("a step was not stored inputs=%d error=%s", len(taken), error)
        if not taken:  # what waits for room is still to be looked at: not at once
            await asyncio.sleep(SETTLE_RETRY_SECONDS)
        if len(taken) > 1:
            for waiting in taken:
                await self._carry_out([waiting], may_write=not isinstance(error, StoreFull))
            return
        for waiting in taken:
            if isinstance(error, StoreFull):
                _answer(waiting, Refused("exhausted", str(error), reason="LimitExceededException"))
            elif not waiting.answer.done():
                waiting.answer.set_exception(Unavailable(str(error)))

    def _refuse_all(self, waiting: list[_Waiting], why: type[Unavailable] = Unavailable) -> None:
        for each in waiting:
            if not each.answer.done():
                each.answer.set_exception(why("this scheduler does not lead any more"))


def _is_placement(change: Change) -> bool:
    return isinstance(change, PutTask) and bool(change.task.instance) and not change.task.fence


def _answer(waiting: _Waiting, reply: Reply | Refused | Fault) -> None:
    if waiting.answer.done():  # the caller has gone; what it asked for is stored all the same
        return
    if isinstance(reply, Fault):
        log.error("a rule failed request=%r", waiting.request, exc_info=reply.error)
        waiting.answer.set_exception(reply.error)
    elif isinstance(reply, Refused):
        waiting.answer.set_exception(reply)
    else:
        waiting.answer.set_result(reply)
