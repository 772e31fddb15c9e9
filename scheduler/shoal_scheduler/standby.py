"""A scheduler that does not lead keeps the tables all the same, so that it can lead at once.

It reads everything once, then follows what leaders store, one revision after the other. Where something may have
been missed, it reads everything anew: the number of every step is looked at, the store is asked every few seconds
what the last step was, and now and then all of it is compared.
"""

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field

from shoal_scheduler import garbage
from shoal_scheduler.engine import now_millis
from shoal_scheduler.events import EventLog
from shoal_scheduler.state.store import NO_STEP, Away, Compacted, Feed, FeedBroken, Gap, StepMark, Stored, Transaction
from shoal_scheduler.state.tables import Tables
from shoal_scheduler.state.writes import changes_in, compared, loaded, size

log = logging.getLogger(__name__)

RETRY_SECONDS_MAX = 0.5
LOOK_SECONDS = 1.0
COMPARE_PERIOD_SECONDS = 300.0

# Records that are compared before what waits has its turn; and how many differences are told.
COMPARED_AT_ONCE = 50
TOLD_MAX = 5


@dataclass(slots=True)
class Followed:
    """True up to `revision`, where the last step was `step`."""

    tables: Tables
    events: EventLog
    revision: int
    step: StepMark


@dataclass
class Standby:
    """`run` follows until cancelled; then `followed` is what a leader goes on with."""

    feed: Feed
    compare_period_seconds: float = COMPARE_PERIOD_SECONDS

    followed: Followed | None = None
    relists: int = 0
    comparisons: int = 0

    # The store's last step when it was asked for last, and the last one that had come here by then.
    newest: StepMark = NO_STEP
    _number_then: int = 0

    _moved: asyncio.Event = field(default_factory=asyncio.Event)
    _doubts: str = ""
    _is_wanted: bool = False

    @property
    def steps_behind(self) -> int | None:
        """None while the tables are not there yet."""
        return None if self.followed is None else max(0, self.newest.number - self.followed.step.number)

    async def run(self) -> None:
        while True:
            try:
                await self._follow(await self._start())
            except Away as error:
                log.warning("the feed broke off, it is taken up again revision=%d error=%s", self._revision, error)
            except FeedBroken as error:
                log.error("everything is read anew revision=%d reason=%s", self._revision, error)
                self.followed = None
            except Exception:  # a record that this program cannot read, say: it must not lead with half of them
                log.exception("the feed cannot be followed revision=%d", self._revision)
                self.followed = None
            await asyncio.sleep(random.uniform(0, RETRY_SECONDS_MAX))

    async def caught_up(self, revision: int, step: StepMark, timeout_seconds: float) -> Followed | None:
        """What is true at that revision, with that last step; None if it does not come in time."""
        self._is_wanted = True
        try:
            async with asyncio.timeout(timeout_seconds):
                while self.followed is None or self.followed.revision < revision:
                    await self._moved.wait()
        except TimeoutError:
            return None
        return self.followed if self.followed.step == step else None

    def asked(self, step: StepMark) -> None:
        """The store says that this was the last step. Where nothing came since it was asked the time before, though
        there was something to come, nothing will; and a store that was set back is another one."""
        number = self.followed.step.number if self.followed else 0
        if self.followed is not None and number == self._number_then < self.newest.number:
            self._doubts = f"step {self.newest.number} did not come, the last was {number}"
        elif self._number_then > step.number:
            self._doubts = f"the store's last step is {step.number}, and was {self._number_then}"
        self.newest, self._number_then = step, number

    @property
    def _revision(self) -> int:
        return self.followed.revision if self.followed else 0

    async def _start(self) -> Followed:
        if self.followed is not None:
            return self.followed
        began = time.monotonic()
        snapshot = await self.feed.load()
        tables = loaded(snapshot.records, snapshot.revision)
        events = EventLog()
        events.start_at(snapshot.revision)
        garbage.leave_alone()
        self.relists += 1
        self._doubts = ""
        self._say_moved(Followed(tables, events, snapshot.revision, snapshot.step))
        log.info(
            "state loaded revision=%d launches=%d instances=%d seconds=%.3f",
            snapshot.revision,
            len(tables.launches),
            len(tables.instances),
            time.monotonic() - began,
        )
        assert self.followed is not None
        return self.followed

    async def _follow(self, followed: Followed) -> None:
        compare_at = time.monotonic() + self.compare_period_seconds * random.uniform(0.8, 1.2)
        async with aclosing(self.feed.watch(followed.revision)) as transactions:
            coming = asyncio.ensure_future(anext(transactions))
            try:
                while True:
                    await asyncio.wait({coming}, timeout=max(0.0, min(LOOK_SECONDS, compare_at - time.monotonic())))
                    if coming.done():
                        self._take(followed, coming.result())
                        coming = asyncio.ensure_future(anext(transactions))
                    if self._doubts:
                        raise Gap(self._doubts)
                    if time.monotonic() >= compare_at:
                        await self._compare(followed)
                        compare_at = time.monotonic() + self.compare_period_seconds
            finally:
                coming.cancel()
                await asyncio.wait({coming})

    def _take(self, followed: Followed, transaction: Transaction) -> None:
        """All of it or, where it does not fit to what is here, nothing."""
        if transaction.step is not None and transaction.step.number != followed.step.number + 1:
            raise Gap(f"step {transaction.step.number} came after step {followed.step.number}")
        if transaction.step is None and (transaction.puts or transaction.deletes):
            raise Gap(f"at revision {transaction.revision} somebody wrote who does not lead")
        changes = changes_in(followed.tables, transaction)
        followed.tables.apply(changes, transaction.revision)
        followed.events.on_commit(changes, transaction.revision, now_millis())
        followed.revision = transaction.revision
        followed.step = transaction.step or followed.step
        self._say_moved(followed)

    def _say_moved(self, followed: Followed) -> None:
        self.followed = followed
        self._moved.set()
        self._moved = asyncio.Event()

    async def _compare(self, followed: Followed) -> None:
        """With the store as it was at the revision of the tables, which stand still meanwhile; unless they are wanted.
        Raises Gap if they differ."""
        equal, different = 0, list[str]()
        try:
            async with aclosing(self.feed.records_at(followed.revision)) as records:
                async for number, record in _numbered(records):
                    found = compared(followed.tables, record)
                    equal += found.equal
                    different += found.different
                    if self._is_wanted or len(different) >= TOLD_MAX:
                        break
                    if number % COMPARED_AT_ONCE == 0:
                        await asyncio.sleep(0)
        except Compacted:
            return
        if self._is_wanted:
            return
        self.comparisons += 1
        if not different and equal == size(followed.tables):
            return
        said = "; ".join(different) or f"the store has {equal} of {size(followed.tables)} records"
        raise Gap(f"the tables are not what the store holds: {said}")


async def _numbered(records: AsyncIterator[Stored]) -> AsyncIterator[tuple[int, Stored]]:
    number = 0
    async for record in records:
        number += 1
        yield number, record
