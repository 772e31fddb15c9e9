"""Fills an etcd that is empty, before any scheduler has led there: the one place that writes without a leader."""

import asyncio
import time
from collections.abc import Mapping

import grpc

from shoal_scheduler.state import etcd_v3_pb2 as pb
from shoal_scheduler.state import etcd_v3_pb2_grpc as pb_grpc
from shoal_scheduler.state import keys
from shoal_scheduler.state.store import prefix_range

CALL_TIMEOUT_SECONDS = 10.0
START_SECONDS = 30.0
POLL_SECONDS = 0.1


async def begin(channel: grpc.aio.Channel, first: Mapping[bytes, bytes]) -> None:
    """Writes these, which nobody has written before. Raises ValueError if this etcd is in use."""
    await _until_it_answers(channel)
    unwritten = [pb.Compare(target=pb.Compare.VERSION, result=pb.Compare.EQUAL, key=key, version=0) for key in first]
    answer = await _txn(channel, pb.TxnRequest(compare=unwritten, success=_puts(first)))
    if not answer.succeeded or await count(channel):
        raise ValueError("this etcd holds a cluster already: restore into an empty one")


async def _until_it_answers(channel: grpc.aio.Channel) -> None:
    """Its members may just have been started."""
    give_up = time.monotonic() + START_SECONDS
    while True:
        try:
            await count(channel)
            return
        except grpc.aio.AioRpcError:
            if time.monotonic() > give_up:
                raise
        await asyncio.sleep(POLL_SECONDS)


async def put(channel: grpc.aio.Channel, records: Mapping[bytes, bytes]) -> None:
    """In one transaction: at most 128."""
    await _txn(channel, pb.TxnRequest(success=_puts(records)))


async def count(channel: grpc.aio.Channel) -> int:
    """Of all that schedulers keep here."""
    first, end = prefix_range(keys.ROOT.encode())
    request = pb.RangeRequest(key=first, range_end=end, count_only=True)
    return int((await pb_grpc.KVStub(channel).Range(request, timeout=CALL_TIMEOUT_SECONDS)).count)


def _puts(records: Mapping[bytes, bytes]) -> list[pb.RequestOp]:
    return [pb.RequestOp(request_put=pb.PutRequest(key=key, value=value)) for key, value in records.items()]


async def _txn(channel: grpc.aio.Channel, request: pb.TxnRequest) -> pb.TxnResponse:
    return await pb_grpc.KVStub(channel).Txn(request, timeout=CALL_TIMEOUT_SECONDS)
