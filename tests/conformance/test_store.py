"""One suite for both stores: real etcd and the one in memory."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from random import Random
from typing import Any

import grpc
import pytest
from shoal_scheduler import leader
from shoal_scheduler.state import etcd_v3_pb2 as pb
from shoal_scheduler.state import etcd_v3_pb2_grpc as pb_grpc
from shoal_scheduler.state import keys
from shoal_scheduler.state.etcd import EtcdStore, open_etcd_channel
from shoal_scheduler.state.memory import MemoryCluster, MemoryStore
from shoal_scheduler.state.store import Deposed, Store, Write, prefix_range

from tests.ground.etcd import EtcdServer


@dataclass
class Ground:
    """`elect` makes a new leader and opens its store; the earlier leader keeps its own."""

    elect: Callable[[], Awaitable[Store]]


@pytest.fixture(params=["memory", pytest.param("etcd", marks=pytest.mark.etcd)])
async def ground(request: pytest.FixtureRequest) -> AsyncIterator[Ground]:
    if request.param == "memory":
        shared = MemoryCluster()

        async def elect_in_memory() -> Store:
            return MemoryStore(shared, shared.elect())

        yield Ground(elect_in_memory)
        return
    server: EtcdServer = request.getfixturevalue("etcd_server")
    async with open_etcd_channel([server.endpoint], server.credentials) as channel:
        await _wipe(channel)

        async def elect_in_etcd() -> Store:
            await _delete(channel, keys.LEADER)
            leadership = await leader.campaign(channel, "test")
            return EtcdStore(channel, leadership.epoch)

        yield Ground(elect_in_etcd)
        await _wipe(channel)


async def _wipe(channel: grpc.aio.Channel) -> None:
    first, end = prefix_range(keys.ROOT.encode())
    await _txn(channel, pb.DeleteRangeRequest(key=first, range_end=end))


async def _delete(channel: grpc.aio.Channel, key: bytes) -> None:
    await _txn(channel, pb.DeleteRangeRequest(key=key))


async def _txn(channel: grpc.aio.Channel, delete: pb.DeleteRangeRequest) -> None:
    request = pb.TxnRequest(success=[pb.RequestOp(request_delete_range=delete)])
    await pb_grpc.KVStub(channel).Txn(request, timeout=5)


async def records(store: Store) -> dict[bytes, bytes]:
    return {record.key: record.value async for record in store.load()}


def key(name: str) -> bytes:
    return f"{keys.ROOT}c/o/{name}".encode()


async def test_a_write_of_many_keys_is_one_revision_or_nothing(ground: Ground) -> None:
    store = await ground.elect()
    many = {key(f"{number:03d}"): b"1" for number in range(400)}
    revision = await store.commit(Write("s1", many))
    assert {record.mod_revision async for record in store.load()} == {revision}
    newer = await ground.elect()
    with pytest.raises(Deposed):
        await store.commit(Write("s2", dict.fromkeys(many, b"2")))
    assert await records(newer) == many


async def test_what_was_committed_is_loaded_with_its_revision(ground: Ground) -> None:
    store = await ground.elect()
    assert await records(store) == {}
    first = await store.commit(Write("s1", {key("a"): b"1", key("b"): b"2"}))
    second = await store.commit(Write("s2", {key("a"): b"3"}, [key("b")]))
    assert second > first
    loaded = [record async for record in store.load()]
    assert [(record.key, record.value, record.mod_revision) for record in loaded] == [(key("a"), b"3", second)]
    assert store.revision >= second


async def test_a_range_is_deleted_whole_and_nothing_beside_it(ground: Ground) -> None:
    store = await ground.elect()
    await records(store)
    await store.commit(Write("s1", {key(name): b"" for name in ("t/1", "t/2", "ta", "u")}))
    await store.commit(Write("s2", {}, [prefix_range(key("t/"))]))
    assert set(await records(store)) == {key("ta"), key("u")}


async def test_a_deposed_leader_writes_nothing(ground: Ground) -> None:
    old = await ground.elect()
    await records(old)
    await old.commit(Write("o1", {key("a"): b"old"}))
    new = await ground.elect()
    with pytest.raises(Deposed):
        await old.commit(Write("o2", {key("a"): b"stale"}))
    assert await records(new) == {key("a"): b"old"}
    await new.commit(Write("n1", {key("a"): b"new"}))
    with pytest.raises(Deposed):
        await old.settle(Write("o2", {key("a"): b"stale"}))
    assert await records(new) == {key("a"): b"new"}


async def test_settle_makes_a_write_under_way_impossible(ground: Ground) -> None:
    """The answer "not stored" must stay true even if the transaction arrives later."""
    store = await ground.elect()
    await records(store)
    await store.commit(Write("s1", {key("a"): b"1"}))
    late: Any = store
    guards_before = late._step_revision
    lost = Write("s2", {key("a"): b"late"})
    assert await store.settle(lost) is None
    guards_after, late._step_revision = late._step_revision, guards_before
    with pytest.raises(Deposed):
        await store.commit(lost)
    late._step_revision = guards_after
    await store.commit(Write("s3", {key("b"): b"2"}))
    assert await records(store) == {key("a"): b"1", key("b"): b"2"}


async def test_settle_after_the_answer_was_lost(ground: Ground) -> None:
    store = await ground.elect()
    await records(store)
    forgetful: Any = store
    guards_before = forgetful._step_revision
    write = Write("s1", {key("a"): b"1"})
    revision = await store.commit(write)
    forgetful._step_revision = guards_before
    assert await store.settle(write) == revision
    await store.commit(Write("s2", {key("b"): b"2"}))
    assert await records(store) == {key("a"): b"1", key("b"): b"2"}


async def test_a_random_history_equals_a_dictionary(ground: Ground) -> None:
    rng = Random(4)
    store = await ground.elect()
    expected = await records(store)
    for number in range(60):
        puts = {key(f"k{rng.randrange(20):02d}"): rng.randbytes(8) for _ in range(rng.randrange(1, 6))}
        gone = [name for name in rng.sample(sorted(expected), min(2, len(expected))) if name not in puts]
        await store.commit(Write(f"s{number}", puts, gone))
        expected |= puts
        for name in gone:
            del expected[name]
        if number % 20 == 0:
            store = await ground.elect()
            assert await records(store) == expected
    assert await records(store) == expected
