"""The etcd of the simulation as a gRPC service, and what may be wrong with it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from random import Random
from typing import Any

import grpc
from shoal_scheduler.state import etcd_v3_pb2 as pb
from shoal_scheduler.state import etcd_v3_pb2_grpc as pb_grpc

from tests.simulation.etcd import Etcd, EtcdError
from tests.simulation.ring2.server import Context

ENDPOINT = "etcd:2379"
EXPIRY_PERIOD_SECONDS = 0.5
NO_LEADER = grpc.StatusCode.UNAVAILABLE, "etcdserver: no leader"
TIMED_OUT = grpc.StatusCode.UNAVAILABLE, "etcdserver: request timed out"
FULL = grpc.StatusCode.RESOURCE_EXHAUSTED, "etcdserver: mvcc: database space exceeded"

OnTransaction = Callable[[str, pb.TxnRequest, pb.TxnResponse], None]
OnGrant = Callable[[str], None]


class EtcdService:
    """away: no quorum. full: writes are refused until somebody makes room, which has no use if it stays so. stalled:
    watches tell nothing. unknown: chance that a transaction's answer is lost, after or before it was done.
    slow_seconds: how long an answer waits after the work is done."""

    def __init__(self, now: Callable[[], float], chance: Random, on_txn: OnTransaction, on_grant: OnGrant) -> None:
        self.model = Etcd(now)
        self.away = False
        self.stalled = False
        self.full = False
        self.stays_full = False
        self.unknown = 0.0
        self.slow_seconds = 0.0
        self._chance = chance
        self._on_txn = on_txn
        self._on_grant = on_grant
        self._waiting: list[asyncio.Future[None]] = []

    async def run(self) -> None:
        server: Any = grpc.aio.server()
        services: Any = self
        for add in (
            pb_grpc.add_KVServicer_to_server,
            pb_grpc.add_LeaseServicer_to_server,
            pb_grpc.add_WatchServicer_to_server,
            pb_grpc.add_MaintenanceServicer_to_server,
        ):
            add(services, server)
        server.add_secure_port(ENDPOINT, None)
        await server.start()
        while True:
            await asyncio.sleep(EXPIRY_PERIOD_SECONDS)
            if not self.away and self.model.expire():
                self._stir()

    def return_(self) -> None:
        """A member leads again: each lease has its full time."""
        if self.away:
            self.away = False
            self.model.extend_all()
            self._stir()

    def resume(self) -> None:
        self.stalled = False
        self._stir()

    def compact(self) -> None:
        if self.model.revision > self.model.compacted:
            self.model.compact(self.model.revision)
            self._stir()

    async def Range(self, request: pb.RangeRequest, context: Context) -> Any:  # noqa: N802
        return await self._answer(context, self.model.range, request)

    async def Txn(self, request: pb.TxnRequest, context: Context) -> Any:  # noqa: N802
        if self.full and any(op.HasField("request_put") for op in (*request.success, *request.failure)):
            await context.abort(*FULL)
        fate = self._chance.random() if self.unknown else 1.0
        if fate < self.unknown / 2:
            await context.abort(*TIMED_OUT)
        answer = await self._answer(context, self.model.txn, request)
        self._on_txn(context.client, request, answer)
        self._stir()
        if fate < self.unknown:
            await context.abort(*TIMED_OUT)
        return answer

    async def Compact(self, request: pb.CompactionRequest, context: Context) -> Any:  # noqa: N802
        def compact(asked: pb.CompactionRequest) -> pb.CompactionResponse:
            self.model.compact(asked.revision)
            return pb.CompactionResponse()

        return await self._answer(context, compact, request)

    def __getattr__(self, name: str) -> Any:
        """Of methods that no program of the simulation calls yet."""
        if not name[0].isupper():
            raise AttributeError(name)

        async def unknown(_request: Any, context: Context) -> Any:
            await context.abort(grpc.StatusCode.UNIMPLEMENTED, name)

        return unknown

    async def LeaseGrant(self, request: pb.LeaseGrantRequest, context: Context) -> Any:  # noqa: N802
        self._on_grant(context.client)
        if self.full:
            await context.abort(*FULL)
        return await self._answer(context, self.model.grant, request)

    async def LeaseRevoke(self, request: pb.LeaseRevokeRequest, context: Context) -> Any:  # noqa: N802
        answer = await self._answer(context, self.model.revoke, request)
        self._stir()
        return answer

    async def LeaseKeepAlive(self, requests: AsyncIterator[Any], context: Context) -> AsyncIterator[Any]:  # noqa: N802
        async for request in requests:
            yield await self._answer(context, self.model.keep_alive, request)

    async def Status(self, request: pb.StatusRequest, context: Context) -> Any:  # noqa: N802
        answer = await self._answer(context, self.model.status, request)
        answer.errors.extend(["memberID:1 alarm:NOSPACE "] if self.full else [])
        return answer

    async def Alarm(self, request: pb.AlarmRequest, context: Context) -> Any:  # noqa: N802
        if request.action == pb.AlarmRequest.DEACTIVATE:
            self.full = self.stays_full
        alarms = [pb.AlarmMember(memberID=1, alarm=pb.NOSPACE)] if self.full else []
        return await self._answer(context, lambda _: pb.AlarmResponse(alarms=alarms), request)

    async def Defragment(self, request: pb.DefragmentRequest, context: Context) -> Any:  # noqa: N802
        return await self._answer(context, lambda _: pb.DefragmentResponse(), request)

    async def Watch(self, requests: AsyncIterator[Any], context: Context) -> AsyncIterator[Any]:  # noqa: N802
        if self.away:
            await context.abort(*NO_LEADER)
        asked = await anext(requests, None)
        if asked is None:
            return
        watcher = self.model.watch(asked.create_request)
        header = pb.ResponseHeader(revision=self.model.revision)
        yield pb.WatchResponse(header=header, created=True)
        while True:
            events = [] if self.stalled or self.away else self.model.take(watcher)
            header = pb.ResponseHeader(revision=self.model.revision)
            if events is None:
                gone = self.model.compacted
                yield pb.WatchResponse(header=header, canceled=True, compact_revision=gone)
                return
            if events:
                yield pb.WatchResponse(header=header, events=events)
            future = asyncio.get_running_loop().create_future()
            self._waiting.append(future)
            await future

    async def _answer(self, context: Context, work: Callable[[Any], Any], request: Any) -> Any:
        if self.away:
            await asyncio.sleep(7.0)  # a real one tries for so long
            await context.abort(*NO_LEADER)
        try:
            answer = work(request)
        except EtcdError as error:
            await context.abort(error.code, error.details)
        if self.slow_seconds:
            await asyncio.sleep(self.slow_seconds)
        return answer

    def _stir(self) -> None:
        for future in self._waiting:
            if not future.done():
                future.set_result(None)
        self._waiting.clear()
