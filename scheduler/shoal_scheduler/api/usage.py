"""What tasks reserved, and for how long."""

import re
from datetime import date, timedelta

from shoal.rpc import Identity
from shoal.v1 import usage_pb2 as pb

from shoal_scheduler.api.fields import existing_cluster
from shoal_scheduler.api.pages import page
from shoal_scheduler.control import usage
from shoal_scheduler.control_plane import ControlPlane
from shoal_scheduler.engine import now_millis
from shoal_scheduler.model.refusal import invalid_field
from shoal_scheduler.model.usage import CPU_SECOND, DAY_MILLIS, GIB_SECOND, GPU_SECOND, Usage

_EPOCH = date(1970, 1, 1)
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
DAYS_DEFAULT = 30


async def get(plane: ControlPlane, request: pb.GetUsageRequest, _caller: Identity) -> pb.GetUsageResponse:
    cluster, now = existing_cluster(plane, request), now_millis()
    last = _day("lastDay", request.last_day, now // DAY_MILLIS)
    first = _day("firstDay", request.first_day, last - DAYS_DEFAULT + 1)
    if first > last:
        raise invalid_field("firstDay", f"is {request.first_day}, after lastDay, {_text(last)}.")
    found = usage.used(plane.tables, cluster.name, first, last, now)
    keyed = ((f"{day:08d}{group}", (day, group, used)) for (day, group), used in found.items())
    records, token = page(keyed, request)
    return pb.GetUsageResponse(
        records=[_record(day, group, used) for day, group, used in records],
        next_token=token or None,
        kept_since=f"{usage.oldest_month(now)}-01",
    )


def _day(field: str, text: str, absent: int) -> int:
    """Days since the epoch."""
    if not text:
        return absent
    try:
        if _DAY.fullmatch(text):
            return (date.fromisoformat(text) - _EPOCH).days
    except ValueError:
        pass
    raise invalid_field(field, f"is {text[:40]!r}, must be a day as 2026-11-25.")


def _text(day: int) -> str:
    return (_EPOCH + timedelta(days=day)).isoformat()


def _record(day: int, group: str, used: Usage) -> pb.UsageRecord:
    return pb.UsageRecord(day=_text(day), group=group, stopped_tasks_count=used.tasks, usage=message(used))


def message(used: Usage) -> pb.ResourceUsage:
    return pb.ResourceUsage(
        vcpu_seconds=used.cpu / CPU_SECOND, gib_seconds=used.memory / GIB_SECOND, gpu_seconds=used.gpu / GPU_SECOND
    )
