"""Leadership by a lease, as shoal_scheduler/leader.py has it: there a thread renews it, here a coroutine."""

from collections.abc import Callable
from dataclasses import dataclass

import grpc
from shoal_scheduler import leader
from shoal_scheduler.state import etcd_v3_pb2 as pb
from shoal_scheduler.state import keys

from tests.simulation import coroutines
from tests.simulation.lives import life
from tests.simulation.store import EtcdChannel, Members

WATCH_SECONDS = 0.1


@dataclass
class Leadership:
    epoch: int
    lease: int
    renewed_at: float


async def campaign(channel: EtcdChannel, name: str, members: Members) -> Leadership:
    """Until this process leads. Raises AioRpcError while etcd cannot be reached."""
    grant_lease, txn = channel.unary_unary("/LeaseGrant"), channel.unary_unary("/Txn")
    while True:
        sent_at = life().time()
        grant = await grant_lease(pb.LeaseGrantRequest(TTL=leader.LEASE_TTL_SECONDS), leader.CALL_TIMEOUT_SECONDS)
        won = await txn(_claim(name, grant.ID), leader.CALL_TIMEOUT_SECONDS)
        if won.succeeded:
            return Leadership(won.header.revision, grant.ID, sent_at)
        await resign(channel, grant.ID)
        for _ in range(int(leader.LEASE_TTL_SECONDS / WATCH_SECONDS)):
            await coroutines.sleep(WATCH_SECONDS)
            if members.available and not members.leader()[0]:
                break


def _claim(name: str, lease: int) -> pb.TxnRequest:
    is_free = pb.Compare(target=pb.Compare.CREATE, result=pb.Compare.EQUAL, key=keys.LEADER, create_revision=0)
    put = pb.PutRequest(key=keys.LEADER, value=name.encode(), lease=lease)
    return pb.TxnRequest(compare=[is_free], success=[pb.RequestOp(request_put=put)])


async def resign(channel: EtcdChannel, lease: int) -> None:
    try:
        await channel.unary_unary("/LeaseRevoke")(pb.LeaseRevokeRequest(ID=lease), leader.CALL_TIMEOUT_SECONDS)
    except grpc.aio.AioRpcError:
        return


async def keep(channel: EtcdChannel, leadership: Leadership, progress_at: Callable[[], float]) -> None:
    """Returns once the lease must count as lost: at that moment, whatever is under way."""
    keep_alive = channel.unary_unary("/LeaseKeepAlive")
    while left(leadership) > 0 and life().time() - progress_at() <= leader.PROGRESS_MAX_AGE_SECONDS:
        await coroutines.sleep(patience(leadership, leader.RENEW_PERIOD_SECONDS))
        sent_at = life().time()
        request = pb.LeaseKeepAliveRequest(ID=leadership.lease)
        try:
            answer = await keep_alive(request, patience(leadership, leader.CALL_TIMEOUT_SECONDS))
        except grpc.aio.AioRpcError:
            continue
        if answer.TTL <= 0:
            return
        leadership.renewed_at = renewed_at(sent_at, life().time())


def patience(leadership: Leadership, seconds: float) -> float:
    """For how long anything may be waited for: no longer than the lease holds."""
    return min(seconds, left(leadership))


def left(leadership: Leadership) -> float:
    """Seconds for which the lease surely holds."""
    until = leadership.renewed_at + leader.LEASE_TTL_SECONDS - leader.MARGIN_SECONDS
    return max(0.0, until - life().time())


def renewed_at(sent_at: float, _received_at: float) -> float:
    """Nobody knows when etcd renewed it: not before it was asked."""
    return sent_at
