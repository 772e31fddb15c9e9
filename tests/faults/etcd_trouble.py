"""Makes trouble in etcd from beside the control plane: fills it, empties it again, compacts it."""

import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
from shoal_scheduler.state import etcd_v3_pb2 as pb
from shoal_scheduler.state import etcd_v3_pb2_grpc as pb_grpc
from shoal_scheduler.state import maintenance
from shoal_scheduler.state.etcd import open_etcd_channel
from shoal_scheduler.state.store import prefix_range

from tests.ground.control_plane import ControlPlane

VALUE_BYTES = 512 * 1024
CALL_SECONDS = 10.0
_PREFIX = b"/beside/"


class Trouble:
    def __init__(self, plane: ControlPlane, channel: grpc.aio.Channel) -> None:
        self._plane = plane
        self._channel = channel
        self._kv = pb_grpc.KVStub(channel)
        self._written = 0

    async def fill(self, *, with_history: bool) -> None:
        """Until etcd refuses to write: by one key overwritten again and again, or by ever more keys."""
        with contextlib.suppress(grpc.aio.AioRpcError):
            while True:
                self._written += 1
                name = 0 if with_history else self._written
                put = pb.PutRequest(key=_PREFIX + b"%d" % name, value=bytes([self._written % 256]) * VALUE_BYTES)
                operation = pb.RequestOp(request_put=put)
                await self._kv.Txn(pb.TxnRequest(success=[operation]), timeout=CALL_SECONDS)

    async def empty(self) -> None:
        """Deletes what `fill` wrote; the file stays as large as it is."""
        first, end = prefix_range(_PREFIX)
        delete = pb.RequestOp(request_delete_range=pb.DeleteRangeRequest(key=first, range_end=end))
        await self._kv.Txn(pb.TxnRequest(success=[delete]), timeout=CALL_SECONDS)

    async def is_full(self) -> bool:
        credentials = next(iter(self._plane.etcd.values())).credentials
        return any([(await maintenance.look(each, credentials)).is_full for each in self._plane.etcd_endpoints])

    async def tidy(self) -> None:
        """Forgets all history and defragments every member, one after the other."""
        credentials = next(iter(self._plane.etcd.values())).credentials
        for endpoint in self._plane.etcd_endpoints:
            member = await maintenance.look(endpoint, credentials)
            await maintenance.compact(self._channel, member.revision)
            await maintenance.defragment(endpoint, credentials)


@asynccontextmanager
async def trouble(plane: ControlPlane) -> AsyncIterator[Trouble]:
    credentials = next(iter(plane.etcd.values())).credentials
    async with open_etcd_channel(plane.etcd_endpoints, credentials) as channel:
        yield Trouble(plane, channel)
