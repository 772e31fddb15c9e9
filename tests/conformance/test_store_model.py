"""The etcd of the simulation answers as a real one does, whatever it is asked."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message
from shoal_scheduler.state import etcd_v3_pb2 as pb
from shoal_scheduler.state import etcd_v3_pb2_grpc as pb_grpc
from shoal_scheduler.state.etcd import open_etcd_channel

from tests.conformance.etcd_sequences import Call, Compact, Watch, sequence
from tests.ground.etcd import EtcdServer
from tests.simulation.etcd import Etcd, EtcdError

FIRST_FEW = range(150)
TEN_THOUSAND = range(10_000)
PATIENCE_SECONDS = 20.0


@dataclass
class Sides:
    """The same calls on both. `real` asks a server, and `model` knows how much it may tell of a watch."""

    channel: grpc.aio.Channel
    model: Etcd = field(default_factory=lambda: Etcd(time.monotonic))

    def __post_init__(self) -> None:
        self._kv = pb_grpc.KVStub(self.channel)
        self._leases = pb_grpc.LeaseStub(self.channel)

    async def play(self, seed: int) -> None:
        for call in sequence(seed, lambda: self.model.revision):
            if isinstance(call, Watch):
                await self._watch(seed, call)
                continue
            expected, found = self._modelled(call), await self._asked(call)
            assert found == expected, f"seed {seed}: {call}"

    def _modelled(self, call: Call) -> Any:
        try:
            match call:
                case pb.RangeRequest():
                    return _told(self.model.range(call))
                case pb.TxnRequest():
                    return _told(self.model.txn(call))
                case pb.LeaseGrantRequest():
                    return _told(self.model.grant(call))
                case pb.LeaseRevokeRequest():
                    return _told(self.model.revoke(call))
                case pb.LeaseKeepAliveRequest():
                    return _told(self.model.keep_alive(call))
                case Compact(back):
                    return self.model.compact(max(1, self.model.revision - back))
        except EtcdError as error:
            return error.code, error.details
        raise AssertionError(call)

    async def _asked(self, call: Call) -> Any:
        try:
            match call:
                case pb.RangeRequest():
                    return _told(await self._kv.Range(call, timeout=PATIENCE_SECONDS))
                case pb.TxnRequest():
                    return _told(await self._kv.Txn(call, timeout=PATIENCE_SECONDS))
                case pb.LeaseGrantRequest():
                    return _told(await self._leases.LeaseGrant(call, timeout=PATIENCE_SECONDS))
                case pb.LeaseRevokeRequest():
                    return _told(await self._leases.LeaseRevoke(call, timeout=PATIENCE_SECONDS))
                case pb.LeaseKeepAliveRequest():
                    stream = self._leases.LeaseKeepAlive(iter([call]), timeout=PATIENCE_SECONDS)
                    return _told(await anext(aiter(stream)))
                case Compact(back):
                    # The model may have compacted, but has the same revision as before.
                    revision = max(1, self.model.revision - back)
                    await self._kv.Compact(pb.CompactionRequest(revision=revision), timeout=PATIENCE_SECONDS)
                    return None
        except grpc.aio.AioRpcError as error:
            return error.code(), error.details()
        raise AssertionError(call)

    async def _watch(self, seed: int, watch: Watch) -> None:
        """All that is to be told, up to a change that comes last."""
        start = max(1, self.model.revision - watch.back)
        if start == self.model.compacted:  # what a real one still has of it depends on how far it is with compacting
            start += 1
        request = pb.WatchCreateRequest(
            key=watch.key, range_end=watch.end, start_revision=start, prev_kv=bool(watch.back % 2)
        )
        call = pb_grpc.WatchStub(self.channel).Watch()
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await call.write(pb.WatchRequest(create_request=request))
                created = await call.read()
                assert isinstance(created, pb.WatchResponse) and created.created
                watcher = self.model.watch(request)
                for _ in range(3):  # the last of them later than any start
                    last = pb.TxnRequest(success=[pb.RequestOp(request_put=pb.PutRequest(key=watch.key))])
                    assert await self._asked(last) == self._modelled(last)
                expected = self.model.take(watcher)
                found = await _heard(call, self.model.revision)
        finally:
            call.cancel()
        if expected is None:
            assert found == self.model.compacted, f"seed {seed}: {watch}"
        else:
            assert found == [_told(event) for event in expected], f"seed {seed}: {watch}"


async def _heard(call: Any, until: int) -> Any:
    """The events until the one of that revision, or the revision of the compaction that ended the watch."""
    events: list[Any] = []
    while True:
        answer = await call.read()
        if answer.canceled:
            return answer.compact_revision
        for event in answer.events:
            events.append(_told(event))
            if event.kv.mod_revision >= until:
                return events


def _told(message: Message) -> Any:
    """What must be equal: everything but who answered, and revisions within an answer, which are there twice."""
    copy = type(message)()
    copy.CopyFrom(message)
    _strip(copy, keep_revision=True)
    return copy


def _strip(message: Any, keep_revision: bool) -> None:
    revision = message.header.revision if "header" in message.DESCRIPTOR.fields_by_name else 0
    if revision:
        message.ClearField("header")
    if keep_revision and revision:
        message.header.revision = revision
    for response in getattr(message, "responses", ()):
        kind = response.WhichOneof("response")
        _strip(getattr(response, kind), keep_revision=False)
        getattr(response, kind).ClearField("header")


@pytest.fixture
async def sides(etcd_server: EtcdServer) -> AsyncIterator[Sides]:
    async with open_etcd_channel([etcd_server.endpoint], etcd_server.credentials) as channel:
        yield Sides(channel)


@pytest.mark.parametrize("seeds", [FIRST_FEW, pytest.param(TEN_THOUSAND, marks=pytest.mark.slow)], ids=len)
async def test_random_calls_are_answered_alike(sides: Sides, seeds: range) -> None:
    for seed in seeds:
        await sides.play(seed)
