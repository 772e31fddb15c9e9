"""etcd's housekeeping, which is each member's own: its size, its alarms, compaction, defragmentation.

All of it may be done twice, and by several schedulers at once: the second time there is nothing left to do.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import grpc
from shoal.rpc import Credentials

from shoal_scheduler.state import etcd_v3_pb2 as pb
from shoal_scheduler.state import etcd_v3_pb2_grpc as pb_grpc
from shoal_scheduler.state import keys
from shoal_scheduler.state.etcd import open_etcd_channel

LOOK_TIMEOUT_SECONDS = 3.0
COMPACT_TIMEOUT_SECONDS = 30.0
# A member answers nobody while it is defragmented, about a second for each 100 MiB.
DEFRAGMENT_TIMEOUT_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Member:
    """One member by its own word. is_full: it has raised the alarm that stops all writes."""

    endpoint: str
    revision: int
    size_bytes: int
    used_bytes: int
    leads: bool
    is_full: bool


@asynccontextmanager
async def one_member(endpoint: str, credentials: Credentials) -> AsyncIterator[grpc.aio.Channel]:
    async with open_etcd_channel([endpoint], credentials) as channel:
        yield channel


async def look(endpoint: str, credentials: Credentials) -> Member:
    """Raises AioRpcError if it does not answer."""
    async with one_member(endpoint, credentials) as channel:
        status = await pb_grpc.MaintenanceStub(channel).Status(pb.StatusRequest(), timeout=LOOK_TIMEOUT_SECONDS)
    return Member(
        endpoint,
        status.header.revision,
        status.dbSize,
        status.dbSizeInUse,
        leads=status.leader == status.header.member_id,
        is_full=any("NOSPACE" in error for error in status.errors),
    )


async def has_leader(channel: grpc.aio.Channel) -> bool:
    """A scheduler leads, or its lease has not lapsed yet."""
    found = await pb_grpc.KVStub(channel).Range(pb.RangeRequest(key=keys.LEADER), timeout=LOOK_TIMEOUT_SECONDS)
    return bool(found.kvs)


async def compact(channel: grpc.aio.Channel, revision: int) -> None:
    """Forget what was overwritten before that revision, in all members; returns when it is done in this one."""
    request = pb.CompactionRequest(revision=revision, physical=True)
    try:
        await pb_grpc.KVStub(channel).Compact(request, timeout=COMPACT_TIMEOUT_SECONDS)
    except grpc.aio.AioRpcError as error:
        if error.code() is not grpc.StatusCode.OUT_OF_RANGE:  # it has been compacted as far already
            raise


async def defragment(endpoint: str, credentials: Credentials) -> None:
    """Give the file's unused pages back. The member is away meanwhile, whatever the others do."""
    async with one_member(endpoint, credentials) as channel:
        stub = pb_grpc.MaintenanceStub(channel)
        await stub.Defragment(pb.DefragmentRequest(), timeout=DEFRAGMENT_TIMEOUT_SECONDS)


async def disarm(channel: grpc.aio.Channel) -> Sequence[int]:
    """Take back every alarm of missing space, so that writes are tried again; ids of the members that had one."""
    stub = pb_grpc.MaintenanceStub(channel)
    raised = await stub.Alarm(pb.AlarmRequest(action=pb.AlarmRequest.GET), timeout=LOOK_TIMEOUT_SECONDS)
    members = [each.memberID for each in raised.alarms if each.alarm == pb.NOSPACE]
    for member in members:
        request = pb.AlarmRequest(action=pb.AlarmRequest.DEACTIVATE, memberID=member, alarm=pb.NOSPACE)
        await stub.Alarm(request, timeout=LOOK_TIMEOUT_SECONDS)
    return members
