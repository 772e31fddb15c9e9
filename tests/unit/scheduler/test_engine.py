"""The loop under a store that fails in every way a store can."""

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import pytest
from shoal_scheduler import engine
from shoal_scheduler.control import inputs as i
from shoal_scheduler.engine import Engine, LeadershipLost, OutcomeLost, Unavailable
from shoal_scheduler.model.cluster import Cluster
from shoal_scheduler.model.refusal import Refused
from shoal_scheduler.state.memory import MemoryCluster, MemoryStore
from shoal_scheduler.state.store import Deposed, NotStored, OutcomeUnknown, Stored, StoreFull, Write
from shoal_scheduler.state.tables import Tables

from tests.unit.scheduler.plane import DEFINITION

Commit = Callable[[Write], Awaitable[int]]


@dataclass
class FaultyStore:
    """A memory store whose commits go through `fault` if there is one; `writes` are those that were tried."""

    inner: MemoryStore
    fault: Callable[[Write, Commit], Awaitable[int]] | None = None
    writes: list[Write] = field(default_factory=list)

    @property
    def revision(self) -> int:
        return self.inner.revision

    def load(self) -> AsyncIterator[Stored]:
        return self.inner.load()

    async def commit(self, write: Write) -> int:
        self.writes.append(write)
        return await (self.fault(write, self.inner.commit) if self.fault else self.inner.commit(write))

    async def settle(self, write: Write) -> int | None:
        return await self.inner.settle(write)


@dataclass
class Ground:
    engine: Engine
    store: FaultyStore
    tables: Tables
    running: asyncio.Task[None]

    async def create(self, name: str) -> Cluster:
        reply = await self.engine.submit(i.PutClusterDocument(name, {}, create=True))
        assert isinstance(reply, Cluster)
        return reply


@pytest.fixture
async def ground() -> AsyncIterator[Ground]:
    shared = MemoryCluster()
    store = FaultyStore(MemoryStore(shared, shared.elect()))
    assert [record async for record in store.load()] == []
    tables = Tables()
    engine = Engine(tables, store, lambda *_: None)
    running = asyncio.create_task(engine.run())
    yield Ground(engine, store, tables, running)
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError, Deposed, LeadershipLost):
        await running


async def test_answers_after_the_commit(ground: Ground) -> None:
    await ground.create("a")
    assert ground.tables.clusters["a"].name == "a"
    assert len(ground.store.writes) == 1


async def test_what_arrives_during_a_commit_shares_the_next(ground: Ground) -> None:
    started, gate = asyncio.Event(), asyncio.Event()

    async def slow(write: Write, commit: Commit) -> int:
        started.set()
        await gate.wait()
        return await commit(write)

    ground.store.fault = slow
    asking = [asyncio.create_task(ground.create("first"))]
    await started.wait()
    asking += [asyncio.create_task(ground.create(f"c{number}")) for number in range(50)]
    await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(*asking)
    assert len(ground.store.writes) == 2


async def test_an_answer_that_was_lost_is_read_back(ground: Ground) -> None:
    async def stored_but_silent(write: Write, commit: Commit) -> int:
        await commit(write)
        raise OutcomeUnknown("deadline")

    ground.store.fault = stored_but_silent
    assert (await ground.create("a")).name == "a"
    ground.store.fault = None
    await ground.create("b")
    assert set(ground.tables.clusters) == {"a", "b"}


async def test_what_was_not_stored_is_not_true(ground: Ground) -> None:
    async def lost(_write: Write, _commit: Commit) -> int:
        raise OutcomeUnknown("connection reset")

    ground.store.fault = lost
    with pytest.raises(Unavailable):
        await ground.create("a")
    assert not ground.tables.clusters
    ground.store.fault = None
    await ground.create("b")
    assert set(ground.tables.clusters) == {"b"}


async def test_one_unstorable_input_does_not_take_the_others_along(ground: Ground) -> None:
    async def picky(write: Write, commit: Commit) -> int:
        if any(b"poison" in key for key in write.puts):
            raise NotStored("request is too large")
        return await commit(write)

    ground.store.fault = picky
    names = ["a", "poison", "b"]
    answers = await asyncio.gather(*(ground.create(name) for name in names), return_exceptions=True)
    assert isinstance(answers[1], Unavailable)
    assert set(ground.tables.clusters) == {"a", "b"}


async def test_a_full_store_says_so_and_recovers(ground: Ground) -> None:
    async def full(_write: Write, _commit: Commit) -> int:
        raise StoreFull("out of space")

    ground.store.fault = full
    with pytest.raises(Refused) as refused:
        await ground.create("a")
    assert refused.value.kind == "exhausted"
    ground.store.fault = None
    await ground.create("a")


async def test_a_full_store_refuses_who_writes_and_nobody_else(ground: Ground) -> None:
    await ground.create("a")
    asked = []

    async def full(write: Write, _commit: Commit) -> int:
        asked.append(write)
        raise StoreFull("out of space")

    ground.store.fault = full
    answers = await asyncio.gather(*(ground.create(name) for name in ("b", "a", "c")), return_exceptions=True)
    assert [isinstance(answer, Refused) for answer in answers] == [True, False, True]
    assert len(asked) == 1


async def test_a_deposed_leader_answers_nobody_and_ends(ground: Ground) -> None:
    async def deposed(_write: Write, _commit: Commit) -> int:
        raise Deposed("another leader")

    ground.store.fault = deposed
    answers = await asyncio.gather(ground.create("a"), ground.create("b"), return_exceptions=True)
    assert all(isinstance(answer, Unavailable) for answer in answers)
    with pytest.raises(Deposed):
        await ground.running
    with pytest.raises(Unavailable):
        await ground.create("c")
    assert not ground.tables.clusters


async def test_a_caller_that_left_disturbs_nothing(ground: Ground) -> None:
    leaving = asyncio.create_task(ground.create("a"))
    await asyncio.sleep(0)
    leaving.cancel()
    await ground.create("b")
    assert set(ground.tables.clusters) == {"a", "b"}


async def test_leadership_lost_before_the_outcome_was_known_says_just_that(ground: Ground) -> None:
    async def silent(_write: Write, _commit: Commit) -> int:
        ground.store.inner._cluster.elect()
        raise OutcomeUnknown("deadline")

    ground.store.fault = silent
    with pytest.raises(OutcomeLost):
        await ground.create("a")
    with pytest.raises(LeadershipLost):
        await ground.running


async def test_many_inputs_of_one_caller_are_answered_in_order(ground: Ground) -> None:
    names = [f"c{number}" for number in range(20)]
    replies = await ground.engine.submit_all([i.PutClusterDocument(name, {}, create=True) for name in names])
    assert [reply.name for reply in replies if isinstance(reply, Cluster)] == names
    assert await ground.engine.submit_all([]) == []


async def test_one_refused_input_of_many_is_told_when_all_are_done(ground: Ground) -> None:
    wrong = i.PutClusterDocument("nowhere", {}, create=False)
    with pytest.raises(Refused):
        await ground.engine.submit_all([wrong, i.PutClusterDocument("a", {}, create=True), wrong])
    assert "a" in ground.tables.clusters


async def test_of_many_inputs_whose_caller_goes_none_is_left_unheard(ground: Ground) -> None:
    """The loop would tell of each as of a fault."""
    unheard: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unheard.append(context["message"]))
    started = asyncio.Event()

    async def hang(_write: Write, _commit: Commit) -> int:
        started.set()
        await asyncio.Event().wait()
        raise AssertionError

    ground.store.fault = hang
    inputs = [i.PutClusterDocument(name, {}, create=True) for name in "abc"]
    asking = asyncio.create_task(ground.engine.submit_all(inputs))
    await started.wait()
    asking.cancel()
    ground.running.cancel()
    for each in (asking, ground.running):
        with contextlib.suppress(asyncio.CancelledError):
            await each
    del asking, each
    gc.collect()
    await asyncio.sleep(0)
    assert not unheard


async def test_a_step_waits_for_as_many_inputs_as_the_last_one_carried(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "GATHER_SECONDS_PER_INPUT", 60.0)
    monkeypatch.setattr(engine, "GATHER_SECONDS_MAX", 60.0)
    await asyncio.gather(*(ground.create(f"a{number}") for number in range(3)))
    before = len(ground.store.writes)
    first = asyncio.create_task(ground.create("b"))
    await asyncio.sleep(0.05)
    assert not first.done()
    await asyncio.gather(first, ground.create("c"), ground.create("d"))
    assert len(ground.store.writes) == before + 1


async def test_but_not_for_ever(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "GATHER_SECONDS_MAX", 0.01)
    await asyncio.gather(*(ground.create(f"a{number}") for number in range(20)))
    async with asyncio.timeout(5):
        await ground.create("b")


class Moved:
    """A clock that moves when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Silent:
    """An engine whose only instance has just lost its session; it has a task that is to be kept."""

    engine: Engine
    clock: Moved

    async def after(self, seconds: float, *, awake: bool = True) -> int:
        """How many tasks are lost then, if it turns once every second, or not at all meanwhile."""
        for _ in range(int(seconds) if awake else 1):
            self.clock.now += 1.0 if awake else seconds
            await self.engine.submit(i.SessionClosed("nobody", 1))
        return sum(task.stop_code == "HostLost" for task in self.engine.tables.tasks())


@pytest.fixture
async def silent() -> AsyncIterator[Silent]:
    shared, clock = MemoryCluster(), Moved()
    engine = Engine(Tables(), MemoryStore(shared, shared.elect()), lambda *_: None, clock=clock)
    running = asyncio.create_task(engine.run())
    host = i.AgentHello("default", "x", 1, "host", 1024, 1024)
    run = i.RunTask("default", "web", on_disconnect="keep")
    await engine.submit_all([i.PutClusterDocument("default", {}, create=True), host])
    await engine.submit_all([i.RegisterTaskDefinition(DEFINITION, {}, "test"), run])
    engine.hear("x")
    await engine.submit(i.SessionClosed("x", 1))
    yield Silent(engine, clock)
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


async def test_time_itself_finds_an_instance_lost(silent: Silent) -> None:
    assert await silent.after(14) == 0
    assert await silent.after(2) == 1


async def test_who_was_held_up_has_not_listened(silent: Silent) -> None:
    assert await silent.after(60, awake=False) == 0
    assert await silent.after(13) == 0
    assert await silent.after(3) == 1


async def test_a_loss_that_is_not_stored_is_found_again(silent: Silent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "SETTLE_RETRY_SECONDS", 0.01)
    assert await silent.after(14) == 0
    commit, refusals = silent.engine.store.commit, [NotStored("no"), NotStored("no")]

    async def refuse(write: Write) -> int:
        if refusals:
            raise refusals.pop()
        return await commit(write)

    monkeypatch.setattr(silent.engine.store, "commit", refuse)
    silent.clock.now += 2
    async with asyncio.timeout(10):
        while not silent.engine.tables.replacements:
            with contextlib.suppress(Unavailable):  # together with the loss that is not stored
                await silent.after(1)
    assert not refusals
    assert len(silent.engine.tables.replacements) == 1
