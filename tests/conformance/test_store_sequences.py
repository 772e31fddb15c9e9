"""Whatever leaders do to the store, it ends the same in memory, in the etcd of the simulation and in a real one."""

from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import pytest
from shoal_scheduler.state import etcd_v3_pb2 as pb
from shoal_scheduler.state import etcd_v3_pb2_grpc as pb_grpc
from shoal_scheduler.state import keys
from shoal_scheduler.state.etcd import EtcdStore, open_etcd_channel
from shoal_scheduler.state.memory import MemoryCluster, MemoryStore
from shoal_scheduler.state.store import Store, prefix_range

from tests.conformance.store_sequences import Play, sequence
from tests.ground.etcd import EtcdServer
from tests.simulation.etcd import Etcd

FIRST_FEW = range(150)
TEN_THOUSAND = range(10_000)


class DirectChannel:
    """Calls the etcd of the simulation, with no network between."""

    def __init__(self, etcd: Etcd) -> None:
        self._calls: dict[str, Callable[[Any], Any]] = {"Range": etcd.range, "Txn": etcd.txn}

    def unary_unary(self, method: str, **_: Any) -> Callable[..., Awaitable[Any]]:
        async def call(request: Any, timeout: float | None = None) -> Any:
            return self._calls[method.rpartition("/")[2]](request)

        return call


async def _elect(channel: Any) -> Store:
    """In place of whoever led."""
    kv = pb_grpc.KVStub(channel)
    gone = pb.RequestOp(request_delete_range=pb.DeleteRangeRequest(key=keys.LEADER))
    await kv.Txn(pb.TxnRequest(success=[gone]), timeout=20.0)
    made = pb.RequestOp(request_put=pb.PutRequest(key=keys.LEADER, value=b"test"))
    won = await kv.Txn(pb.TxnRequest(success=[made]), timeout=20.0)
    return EtcdStore(channel, won.header.revision)


async def _wiped(channel: grpc.aio.Channel) -> None:
    first, end = prefix_range(keys.ROOT.encode())
    gone = pb.RequestOp(request_delete_range=pb.DeleteRangeRequest(key=first, range_end=end))
    await pb_grpc.KVStub(channel).Txn(pb.TxnRequest(success=[gone]), timeout=20.0)


async def in_memory(seed: int) -> list[Any]:
    shared = MemoryCluster()

    async def elect() -> Store:
        return MemoryStore(shared, shared.elect())

    return await Play(elect).answers(sequence(seed))


async def in_the_model(seed: int) -> list[Any]:
    channel = DirectChannel(Etcd(lambda: 0.0))
    return await Play(lambda: _elect(channel)).answers(sequence(seed))


async def test_memory_and_model_end_alike() -> None:
    for seed in range(1_000):
        for one, other in zip(await in_memory(seed), await in_the_model(seed), strict=True):
            assert one == other, f"seed {seed}"


@pytest.mark.parametrize("seeds", [FIRST_FEW, pytest.param(TEN_THOUSAND, marks=pytest.mark.slow)], ids=len)
async def test_all_three_end_alike(etcd_server: EtcdServer, seeds: range) -> None:
    async with open_etcd_channel([etcd_server.endpoint], etcd_server.credentials) as channel:
        for seed in seeds:
            await _wiped(channel)
            real = await Play(lambda: _elect(channel)).answers(sequence(seed))
            for one, other in zip(real, await in_the_model(seed), strict=True):
                assert one == other, f"seed {seed}: etcd and its model"
            for one, other in zip(real, await in_memory(seed), strict=True):
                assert one == other, f"seed {seed}: etcd and memory"
