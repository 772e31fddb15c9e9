"""Faults put into the programs on purpose: a simulation that does not see them is worth nothing.

Each is a context; while it lasts, something of the programs is wrong that only whole clusters in time can show.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from unittest import mock

from shoal_agent import schedulers
from shoal_agent.pause import retry_seconds
from shoal_scheduler import leader
from shoal_scheduler.engine import Engine
from shoal_scheduler.standby import Standby
from shoal_scheduler.state.etcd_feed import EtcdFeed
from shoal_scheduler.state.store import Compacted, StepMark, StoreError

Mutant = Callable[[], AbstractContextManager[None]]


@contextmanager
def loops_not_joined() -> Iterator[None]:
    """At the end of a leadership its loop is told to end, and goes on."""
    run = Engine.run

    async def run_on(engine: Engine) -> None:
        await asyncio.shield(run(engine))

    with mock.patch.object(Engine, "run", run_on):
        yield


@contextmanager
def answered_before_stored() -> Iterator[None]:
    """Whoever asks is answered while the transaction is still under way."""
    commit = Engine._commit

    async def commit_later(engine: Any, result: Any, *rest: Any) -> int:
        if not result.changes:
            return int(engine.tables.revision)
        before = getattr(engine, "under_way", None)

        async def work() -> int:
            if before is not None:
                await asyncio.wait({before})
            try:
                return await commit(engine, result, *rest)
            except StoreError:
                return 0

        engine.under_way = asyncio.ensure_future(work())
        return int(engine.tables.revision) + 1

    with mock.patch.object(Engine, "_commit", commit_later):
        yield


@contextmanager
def renewal_counts_from_its_answer() -> Iterator[None]:
    """The lease counts from when etcd's answer came, not from when it was asked."""
    renewals = leader.renewals

    def late(leadership: Any, progress_at: Any) -> Any:
        steps = renewals(leadership, progress_at)
        step = next(steps, None)
        while step is not None:
            answer = yield step
            try:
                step = steps.send(answer)
            except StopIteration:
                return
            if answer:
                leadership.renewed_at = leader.boot_time()

    with mock.patch.object(leader, "renewals", late):
        yield


@contextmanager
def no_jitter() -> Iterator[None]:
    """All agents wait for the same time."""

    def same(outage_seconds: float, _chance: float) -> float:
        return retry_seconds(outage_seconds, 1.0)

    with mock.patch.object(schedulers, "retry_seconds", same):
        yield


@contextmanager
def gap_in_the_feed_ignored() -> Iterator[None]:
    """A watch that fell behind a compaction goes on from there, whatever was in between and whatever its number."""
    watch, take = EtcdFeed.watch, Standby._take

    async def go_on(feed: EtcdFeed, after: int) -> Any:
        while True:
            try:
                async for transaction in watch(feed, after):
                    after = transaction.revision
                    yield transaction
            except Compacted as error:
                after = int(str(error).rpartition(" ")[2])

    def take_all(standby: Standby, followed: Any, transaction: Any) -> None:
        if transaction.step is not None:
            followed.step = StepMark(followed.step.revision, transaction.step.number - 1)
        take(standby, followed, transaction)

    with mock.patch.object(EtcdFeed, "watch", go_on), mock.patch.object(Standby, "_take", take_all):
        yield


MUTANTS: dict[str, Mutant] = {
    "loops not joined": loops_not_joined,
    "answered before stored": answered_before_stored,
    "renewal counts from its answer": renewal_counts_from_its_answer,
    "no jitter": no_jitter,
    "gap in the feed ignored": gap_in_the_feed_ignored,
}
