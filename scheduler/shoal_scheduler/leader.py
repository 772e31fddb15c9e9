"""Leadership by an etcd lease: campaign, keep alive, step down.

The lease is renewed by a thread of its own, so that a long step cannot lose it; and only while the working loop
shows progress, so that a hung one cannot keep it. The lease counts from when a renewal was sent, on a clock that runs
on in suspend: past that, this process no longer leads, whatever etcd may still think.
"""

import asyncio
import json
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import grpc
from shoal.rpc import Credentials

from shoal_scheduler.state import etcd_v3_pb2 as pb
from shoal_scheduler.state import etcd_v3_pb2_grpc as pb_grpc
from shoal_scheduler.state import keys
from shoal_scheduler.state.etcd import etcd_channel_options, etcd_target

log = logging.getLogger(__name__)

LEASE_TTL_SECONDS = 5
RENEW_PERIOD_SECONDS = 1.0
CALL_TIMEOUT_SECONDS = 2.0

# Given up this much before etcd would, for clocks that do not run at quite the same speed.
MARGIN_SECONDS = 0.5
PROGRESS_MAX_AGE_SECONDS = 10.0


def boot_time() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(slots=True)
class Leadership:
    """`epoch` is the create_revision of the leader's key: it grows with every leader."""

    epoch: int
    lease: int
    renewed_at: float
    lost: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def holds(self) -> bool:
        """Nobody else can lead yet: by this process's own clock, even if it slept and has heard of nothing since."""
        return boot_time() - self.renewed_at <= LEASE_TTL_SECONDS - MARGIN_SECONDS


def introduction(endpoint: str) -> str:
    """What the leader's key says of this process: enough for others to find it, and to know it from any other."""
    host, boot = socket.gethostname(), Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    name = f"{host}:{endpoint}:{os.getpid()}"
    return json.dumps({"name": name, "endpoint": endpoint, "pid": os.getpid(), "host": host, "boot": boot})


async def campaign(channel: grpc.aio.Channel, name: str) -> Leadership:
    """Wait until this process leads. Raises AioRpcError while etcd cannot be reached."""
    kv, leases = pb_grpc.KVStub(channel), pb_grpc.LeaseStub(channel)
    while True:
        sent_at = boot_time()
        grant = await leases.LeaseGrant(pb.LeaseGrantRequest(TTL=LEASE_TTL_SECONDS), timeout=CALL_TIMEOUT_SECONDS)
        won = await kv.Txn(_claim(name, grant.ID), timeout=CALL_TIMEOUT_SECONDS)
        if won.succeeded:
            return Leadership(epoch=won.header.revision, lease=grant.ID, renewed_at=sent_at)
        await resign(channel, grant.ID)
        leader = won.responses[0].response_range.kvs[0]
        log.info("another scheduler leads leader=%s", leader.value.decode("utf-8", "replace"))
        await _until_deleted(channel, won.header.revision + 1)


async def resign(channel: grpc.aio.Channel, lease: int) -> None:
    """Give a lease back, so that the next leader need not wait for it to lapse. Safe to repeat."""
    try:
        await pb_grpc.LeaseStub(channel).LeaseRevoke(pb.LeaseRevokeRequest(ID=lease), timeout=CALL_TIMEOUT_SECONDS)
    except grpc.aio.AioRpcError as error:
        log.info("the lease was not given back, it will lapse error=%s", error.details())


def _claim(name: str, lease: int) -> pb.TxnRequest:
    return pb.TxnRequest(
        compare=[pb.Compare(target=pb.Compare.CREATE, result=pb.Compare.EQUAL, key=keys.LEADER, create_revision=0)],
        success=[pb.RequestOp(request_put=pb.PutRequest(key=keys.LEADER, value=name.encode(), lease=lease))],
        failure=[pb.RequestOp(request_range=pb.RangeRequest(key=keys.LEADER))],
    )


async def _until_deleted(channel: grpc.aio.Channel, revision: int) -> None:
    """Until the leader's key goes away. Looks again at least every lease's time, should a watch fall silent."""
    create = pb.WatchRequest(create_request=pb.WatchCreateRequest(key=keys.LEADER, start_revision=revision))
    call = pb_grpc.WatchStub(channel).Watch()
    try:
        async with asyncio.timeout(LEASE_TTL_SECONDS):
            await call.write(create)
            async for answer in call:
                if answer.canceled or any(event.type == pb.Event.DELETE for event in answer.events):
                    return
    except TimeoutError:
        return
    finally:
        call.cancel()


class LeaseKeeper(threading.Thread):
    """Renews the lease of one leadership until told to stop, or until it must count as lost."""

    def __init__(
        self,
        endpoints: Sequence[str],
        credentials: Credentials,
        leadership: Leadership,
        progress_at: Callable[[], float],
    ) -> None:
        super().__init__(name="lease-keeper", daemon=True)
        self._endpoints = endpoints
        self._credentials = credentials
        self._leadership = leadership
        self._progress_at = progress_at
        self._loop = asyncio.get_running_loop()
        self._stopping = threading.Event()

    def stop(self) -> None:
        self._stopping.set()

    def run(self) -> None:
        credentials = grpc.ssl_channel_credentials(
            self._credentials.authority, self._credentials.key, self._credentials.certificate
        )
        with grpc.secure_channel(etcd_target(self._endpoints), credentials, options=etcd_channel_options()) as channel:
            stub = pb_grpc.LeaseStub(channel)
            while not self._stopping.wait(RENEW_PERIOD_SECONDS):
                if self._is_over() or not self._renew(stub):
                    self._say_lost()
                    return

    def _is_over(self) -> bool:
        return not self._leadership.holds

    def _renew(self, stub: pb_grpc.LeaseStub) -> bool:
        """False once the lease is certainly gone, or must be let go."""
        if time.monotonic() - self._progress_at() > PROGRESS_MAX_AGE_SECONDS:
            log.error("the working loop shows no progress: the lease is let go")
            return False
        sent_at = boot_time()
        request = pb.LeaseKeepAliveRequest(ID=self._leadership.lease)
        try:
            answer = next(iter(stub.LeaseKeepAlive(iter([request]), timeout=CALL_TIMEOUT_SECONDS)))
        except (grpc.RpcError, StopIteration):
            return not self._is_over()
        if answer.TTL <= 0:
            return False
        self._leadership.renewed_at = sent_at
        return True

    def _say_lost(self) -> None:
        if not self._stopping.is_set():
            self._loop.call_soon_threadsafe(self._leadership.lost.set)
