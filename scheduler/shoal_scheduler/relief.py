"""Makes room in etcd when it is full, so that nobody has to.

etcd raises an alarm when its file reaches the quota, and from then on refuses whatever writes, new leases among it.
Then: forget all history, give the freed pages back one member after the other (its leader last), take the alarm back.
If that did not free enough, the next write raises the alarm again, and all of this is tried again a little later: so
it also ends by itself once somebody else has deleted what filled it, or has raised the quota.

The scheduler that leads does it; any may while none can be elected.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence

import grpc
from shoal.rpc import Credentials

from shoal_scheduler.state import maintenance
from shoal_scheduler.state.etcd import open_etcd_channel
from shoal_scheduler.state.maintenance import Member

log = logging.getLogger(__name__)

LOOK_PERIOD_SECONDS = 5.0
# Between two tries, the second of which had no use.
PAUSE_MAX_SECONDS = 20.0


async def keep_room(endpoints: Sequence[str], credentials: Credentials, leads: Callable[[], bool]) -> None:
    """Runs for ever. `leads`: whether this process does."""
    pause = LOOK_PERIOD_SECONDS
    while True:
        await asyncio.sleep(pause)
        try:
            was_full = await _relieve_if_full(endpoints, credentials, leads)
        except grpc.aio.AioRpcError as error:
            log.info("etcd's housekeeping has to wait error=%s", error.details())
            continue
        pause = min(PAUSE_MAX_SECONDS, pause * 2) if was_full else LOOK_PERIOD_SECONDS


async def _relieve_if_full(endpoints: Sequence[str], credentials: Credentials, leads: Callable[[], bool]) -> bool:
    members = await _members(endpoints, credentials)
    if not any(member.is_full for member in members):
        return False
    async with open_etcd_channel(endpoints, credentials) as channel:
        if leads() or not await maintenance.has_leader(channel):
            await _relieve(channel, credentials, members)
    return True


async def _members(endpoints: Sequence[str], credentials: Credentials) -> list[Member]:
    """Those that answer."""
    asked = (maintenance.look(endpoint, credentials) for endpoint in endpoints)
    found = await asyncio.gather(*asked, return_exceptions=True)
    return [each for each in found if isinstance(each, Member)]


async def _relieve(channel: grpc.aio.Channel, credentials: Credentials, members: Sequence[Member]) -> None:
    before = max(member.size_bytes for member in members)
    log.error(
        "etcd is full: nothing can be stored until there is room; making some size_mib=%d used_mib=%d",
        before >> 20,
        max(member.used_bytes for member in members) >> 20,
    )
    await maintenance.compact(channel, max(member.revision for member in members))
    for member in sorted(members, key=lambda member: member.leads):
        await maintenance.defragment(member.endpoint, credentials)
    await maintenance.disarm(channel)
    after = await _members([member.endpoint for member in members], credentials)
    log.warning(
        "etcd was compacted and defragmented, and takes writes again as far as there is room"
        " size_before_mib=%d size_after_mib=%d; if it stays full, raise --quota-backend-bytes of every member",
        before >> 20,
        max((member.size_bytes for member in after), default=0) >> 20,
    )
