"""A standby of a real etcd: whatever becomes of its feed, it has what the leader has, or reads everything anew."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any

import grpc
import pytest
from shoal_scheduler import leader, standby
from shoal_scheduler.control import inputs as i
from shoal_scheduler.control import retention
from shoal_scheduler.control.context import Context, Limits
from shoal_scheduler.control.step import Fault, step
from shoal_scheduler.model.job_queue import ENABLED
from shoal_scheduler.standby import Followed, Standby
from shoal_scheduler.state import changes as c
from shoal_scheduler.state import etcd_v3_pb2 as pb
from shoal_scheduler.state import etcd_v3_pb2_grpc as pb_grpc
from shoal_scheduler.state import keys
from shoal_scheduler.state.etcd import EtcdStore, open_etcd_channel
from shoal_scheduler.state.etcd_feed import EtcdFeed
from shoal_scheduler.state.store import Away, Snapshot, StepMark, Stored, Transaction, Write, prefix_range
from shoal_scheduler.state.tables import Tables
from shoal_scheduler.state.writes import loaded, write_of

from tests.ground.etcd import EtcdServer
from tests.ground.repeats import TEN
from tests.ground.waiting import wait_until
from tests.properties.test_batch import assert_equal as assert_equal_jobs
from tests.properties.test_step import assert_equal
from tests.unit.scheduler import jobs
from tests.unit.scheduler.plane import DEFINITION, CountedIds, instance, report

IN_TIME_SECONDS = 20.0
ASKED_SECONDS = 0.5
HOSTS = ("x", "y", "z")


@dataclass
class TroubledFeed:
    """etcd's feed, which now and then breaks off, or loses a transaction without a word."""

    inner: EtcdFeed
    rng: Random
    trouble: float = 0.0
    open: asyncio.Event = field(default_factory=asyncio.Event)
    lost: int = 0

    async def load(self) -> Snapshot:
        return await self.inner.load()

    def records_at(self, revision: int) -> AsyncGenerator[Stored]:
        return self.inner.records_at(revision)

    async def watch(self, after: int) -> AsyncGenerator[Transaction]:
        async with aclosing(self.inner.watch(after)) as transactions:
            async for transaction in transactions:
                await self.open.wait()
                if self.rng.random() < self.trouble:
                    raise Away("the test broke it off")
                if transaction.step is not None and self.rng.random() < self.trouble:
                    self.lost += 1
                    continue
                yield transaction


@dataclass
class Leader:
    """Steps on a real store, one after the other."""

    channel: grpc.aio.Channel
    rng: Random
    tables: Tables = field(default_factory=Tables)
    now: int = 1_000_000
    steps: int = 0
    compacted: int = 0
    ids: CountedIds = field(default_factory=CountedIds)
    leadership: leader.Leadership | None = None

    async def lead(self) -> None:
        """As the next leader, on what is stored."""
        if self.leadership is not None:
            await leader.resign(self.channel, self.leadership.lease)
        self.leadership = await leader.campaign(self.channel, "test")
        self.store = EtcdStore(self.channel, self.leadership.epoch)
        self.tables = loaded([record async for record in self.store.load()], self.store.revision)

    async def run(self, *inputs: i.Input, due: Sequence[c.Change] = ()) -> None:
        self.now += self.rng.choice((0, 1, 5_000))
        limits = Limits(20, 10, client_tokens_keep_seconds=1, finished_jobs_keep_seconds=20, finished_jobs_max=5)
        context = Context(self.now, self.ids, self.rng, limits)
        result = step(self.tables, inputs, context, [*due, *retention.expired(self.tables, context)])
        for reply in result.replies:
            if isinstance(reply, Fault):
                raise reply.error
        self.steps += 1
        write = write_of(self.tables, result.changes, f"step-{self.steps}")
        revision = await self.store.commit(write) if write else self.tables.revision
        self.tables.apply(result.changes, revision)

    def any_input(self, number: int) -> i.Input:
        tasks = list(self.tables.tasks())
        rng = self.rng
        if not tasks or rng.random() < 0.3:
            queue, token = rng.random() < 0.5, rng.choice(("", f"token-{number}"))
            return i.RunTask("default", "web", rng.randrange(1, 5), queue=queue, client_token=token)
        task = rng.choice(tasks)
        made: list[i.Input] = [
            *jobs.any_inputs(rng, self.tables),
            report(task, "STOPPED", **jobs.exited(rng.choice((0, 1)))),
            i.StopTask("default", task.id, ""),
            report(task, rng.choice(("RUNNING", "STOPPED"))),
            i.ChangeAttributes("default", ((rng.choice(HOSTS), "rack", str(number)),)),
            i.RegisterTaskDefinition({**DEFINITION, "family": f"f{number % 3}"}, {}, "test"),
            i.CreateJoinToken("default", f"{number:064x}", "agent", 60, 3, "test"),
        ]
        for token in list(self.tables.join_tokens)[:1]:
            made.append(i.UseJoinToken(token, "agent", f"key-{number}", f"host-{number}"))
            made.append(i.RevokeJoinToken("default", token))
        return rng.choice(made)

    async def compact(self) -> None:
        """All but the newest is gone."""
        revision = self.store.revision
        if revision == self.compacted:
            return
        self.compacted = revision
        await pb_grpc.KVStub(self.channel).Compact(pb.CompactionRequest(revision=revision, physical=True), timeout=10)


@asynccontextmanager
async def standing_by(feed: Any, **more: Any) -> AsyncIterator[Standby]:
    made = Standby(feed, **more)
    running = asyncio.create_task(made.run())
    try:
        yield made
    finally:
        running.cancel()
        await asyncio.wait({running})


@pytest.fixture
async def channel(shared_etcd: EtcdServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[grpc.aio.Channel]:
    """To an empty store."""
    monkeypatch.setattr(standby, "RETRY_SECONDS_MAX", 0.02)
    async with open_etcd_channel([shared_etcd.endpoint], shared_etcd.credentials) as opened:
        first, end = prefix_range(keys.ROOT.encode())
        gone = pb.RequestOp(request_delete_range=pb.DeleteRangeRequest(key=first, range_end=end))
        await pb_grpc.KVStub(opened).Txn(pb.TxnRequest(success=[gone]), timeout=5)
        yield opened


async def last_step(channel: grpc.aio.Channel) -> StepMark:
    return (await EtcdFeed(channel).load()).step


async def until_caught_up(follower: Standby, channel: grpc.aio.Channel) -> Followed:
    """As at a gain of leadership, but as often as it takes."""
    snapshot, deadline = await EtcdFeed(channel).load(), time.monotonic() + IN_TIME_SECONDS
    while time.monotonic() < deadline:
        followed = await follower.caught_up(snapshot.revision, snapshot.step, ASKED_SECONDS)
        follower._is_wanted = False  # it is not, and may compare
        if followed is not None:
            return followed
        follower.asked(snapshot.step)
    raise AssertionError(f"the standby has not come to {snapshot.step}: {follower.followed}")


def assert_same(followed: Tables, stored: Tables) -> None:
    assert_equal(followed, stored)
    assert_equal_jobs(followed, stored)
    assert followed.clusters == stored.clusters and followed.usage == stored.usage
    assert followed.join_tokens == stored.join_tokens and followed.replacements == stored.replacements
    assert followed.finished == stored.finished and followed.finished_tasks == stored.finished_tasks
    assert followed.waiting_count == stored.waiting_count
    assert {name: list(waiting) for name, waiting in followed.waiting.items() if waiting} == {
        name: list(waiting) for name, waiting in stored.waiting.items() if waiting
    }
    assert list(followed.launches) == list(stored.launches) and followed.newest == stored.newest
    assert {launch: entry.live for launch, entry in followed.launches.items()} == {
        launch: entry.live for launch, entry in stored.launches.items()
    }


@pytest.mark.parametrize("repeat", TEN)
async def test_it_has_what_the_store_has_whatever_becomes_of_the_feed(channel: grpc.aio.Channel, repeat: int) -> None:
    rng = Random(repeat)
    working = Leader(channel, rng)
    await working.lead()
    feed = TroubledFeed(EtcdFeed(channel), rng, trouble=0.0 if repeat % 3 == 0 else 0.03)
    feed.open.set()
    async with standing_by(feed, compare_period_seconds=0.2) as follower:
        await working.run(i.PutClusterDocument("default", {}, create=True))
        await working.run(i.RegisterTaskDefinition(DEFINITION, {}, "test"), *map(instance, HOSTS))
        await working.run(due=jobs.prepared(state=ENABLED))
        for number in range(120):
            await working.run(*(working.any_input(number) for _ in range(rng.randrange(1, 4))))
            match rng.randrange(40):
                case 0:
                    feed.open.clear()
                case 1:
                    feed.open.set()
                case 2:
                    await working.compact()
                case 3:
                    await working.lead()
            if number % 30 == 29:
                feed.open.set()
                followed = await until_caught_up(follower, channel)
                stored = await EtcdFeed(channel).load()
                assert followed.revision <= stored.revision
                assert_same(followed.tables, loaded(stored.records, stored.revision))
                assert_equal(followed.tables, working.tables)
                assert_equal_jobs(followed.tables, working.tables)


async def test_compaction_while_it_was_away_makes_it_read_everything_anew(channel: grpc.aio.Channel) -> None:
    working, feed = Leader(channel, Random(1)), TroubledFeed(EtcdFeed(channel), Random(1))
    await working.lead()
    await working.run(i.PutClusterDocument("default", {}, create=True))
    async with standing_by(feed) as follower:
        await until_caught_up(follower, channel)
        feed.trouble = 1.0
        feed.open.set()
        for number in range(5):
            await working.run(i.PutClusterDocument(f"c{number}", {}, create=True))
        await working.compact()
        feed.trouble = 0.0
        followed = await until_caught_up(follower, channel)
        assert follower.relists >= 2
        assert set(followed.tables.clusters) == {"default", *(f"c{number}" for number in range(5))}


async def test_a_lost_transaction_is_noticed_by_the_next_one(channel: grpc.aio.Channel) -> None:
    working, feed = Leader(channel, Random(1)), TroubledFeed(EtcdFeed(channel), Random(1))
    feed.open.set()
    await working.lead()
    async with standing_by(feed) as follower:
        await working.run(i.PutClusterDocument("a", {}, create=True))
        await until_caught_up(follower, channel)
        relists = follower.relists
        feed.rng = LosesOne()
        feed.trouble = 0.5
        await working.run(i.PutClusterDocument("b", {}, create=True))
        await working.run(i.PutClusterDocument("c", {}, create=True))
        followed = await until_caught_up(follower, channel)
        assert follower.relists == relists + 1 and feed.lost == 1
        assert set(followed.tables.clusters) == {"a", "b", "c"}


class LosesOne(Random):
    """Of what the feed asks: not to break off, to lose, and from then on neither."""

    def __init__(self) -> None:
        super().__init__(0)
        self._answers = [1.0, 0.0]

    def random(self) -> float:
        return self._answers.pop(0) if self._answers else 1.0


async def test_a_feed_that_fell_silent_is_noticed_by_what_the_store_says(channel: grpc.aio.Channel) -> None:
    working, feed = Leader(channel, Random(1)), TroubledFeed(EtcdFeed(channel), Random(1))
    await working.lead()
    async with standing_by(feed) as follower:
        await wait_until(lambda: follower.followed, bool, IN_TIME_SECONDS)
        await working.run(i.PutClusterDocument("a", {}, create=True))
        newest = await last_step(channel)
        follower.asked(newest)
        assert follower.steps_behind == 1 and follower.relists == 1
        follower.asked(newest)
        await wait_until(lambda: follower.relists, lambda seen: seen == 2, IN_TIME_SECONDS)
        await wait_until(lambda: follower.steps_behind, lambda seen: seen == 0, IN_TIME_SECONDS)


async def test_a_leader_does_not_act_on_a_feed_that_is_not_up_to_date(channel: grpc.aio.Channel) -> None:
    working, feed = Leader(channel, Random(1)), TroubledFeed(EtcdFeed(channel), Random(1))
    await working.lead()
    async with standing_by(feed) as follower:
        await wait_until(lambda: follower.followed, bool, IN_TIME_SECONDS)
        await working.run(i.PutClusterDocument("a", {}, create=True))
        assert working.leadership is not None
        await leader.resign(channel, working.leadership.lease)
        won = await leader.campaign(channel, "next")
        assert won.step == await last_step(channel)
        assert await follower.caught_up(won.epoch, won.step, 0.2) is None
        feed.open.set()
        followed = await follower.caught_up(won.epoch, won.step, IN_TIME_SECONDS)
        assert followed is not None and followed.revision == won.epoch and set(followed.tables.clusters) == {"a"}
        store = EtcdStore(channel, won.epoch, followed.revision, won.step.revision)
        assert await store.commit(Write("s", {keys.cluster("b"): b""})) > won.epoch


@pytest.mark.parametrize("what", ["put", "delete"])
async def test_what_nobody_who_leads_wrote_makes_it_read_everything_anew(channel: grpc.aio.Channel, what: str) -> None:
    working = Leader(channel, Random(1))
    await working.lead()
    await working.run(i.PutClusterDocument("a", {}, create=True))
    async with standing_by(EtcdFeed(channel)) as follower:
        await until_caught_up(follower, channel)
        record = next(iter((await EtcdFeed(channel).load()).records))
        put = pb.RequestOp(request_put=pb.PutRequest(key=keys.cluster("b"), value=record.value))
        gone = pb.RequestOp(request_delete_range=pb.DeleteRangeRequest(key=record.key))
        await pb_grpc.KVStub(channel).Txn(pb.TxnRequest(success=[put if what == "put" else gone]), timeout=5)
        await wait_until(lambda: follower.relists, lambda seen: seen == 2, IN_TIME_SECONDS)


async def test_tables_that_differ_from_the_store_are_found_by_comparing_all_of_it(channel: grpc.aio.Channel) -> None:
    working = Leader(channel, Random(1))
    await working.lead()
    await working.run(i.PutClusterDocument("default", {}, create=True))
    await working.run(i.RegisterTaskDefinition(DEFINITION, {}, "test"), *map(instance, HOSTS))
    await working.run(i.RunTask("default", "web", 3))
    async with standing_by(EtcdFeed(channel), compare_period_seconds=0.1) as follower:
        followed = await until_caught_up(follower, channel)
        await wait_until(lambda: follower.comparisons, lambda seen: seen >= 2, IN_TIME_SECONDS)
        assert follower.relists == 1, "they do not differ"
        del followed.tables.instances["x"]
        await wait_until(lambda: follower.relists, lambda seen: seen == 2, IN_TIME_SECONDS)
        followed = await until_caught_up(follower, channel)
        entry = next(iter(followed.tables.launches.values()))
        entry.tasks.pop(0)
        await wait_until(lambda: follower.relists, lambda seen: seen == 3, IN_TIME_SECONDS)


async def test_watchers_miss_nothing_over_a_change_of_leader(channel: grpc.aio.Channel) -> None:
    working = Leader(channel, Random(1))
    await working.lead()
    await working.run(i.PutClusterDocument("default", {}, create=True))
    await working.run(i.RegisterTaskDefinition(DEFINITION, {}, "test"), *map(instance, HOSTS))
    async with standing_by(EtcdFeed(channel)) as follower:
        await until_caught_up(follower, channel)
        since = working.store.revision
        await working.run(i.RunTask("default", "web", 2))
        placed = working.store.revision
        followed = await until_caught_up(follower, channel)
        events = followed.events.after(since)
        assert followed.events.reaches_back_to(since) and not followed.events.reaches_back_to(1)
        assert [(event.revision, getattr(event.subject, "fence", None)) for event in events] == [(placed, 0)] * 2
