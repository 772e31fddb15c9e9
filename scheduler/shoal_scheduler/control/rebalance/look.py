"""What time asks for of rebalancing: those in progress go on, and new ones begin where that is switched on. Pure.

Where a cluster's setting `taskRebalancing` is enabled, all its services are spread again; else those whose
availabilityZoneRebalancing is ENABLED over their zones. Not before what was moved last has settled.
"""

from typing import NamedTuple

from shoal_scheduler.control.context import Context
from shoal_scheduler.control.rebalance.inputs import StartRebalance, Wanted
from shoal_scheduler.control.rebalance.leaving import under_way
from shoal_scheduler.control.rebalance.plan import plan
from shoal_scheduler.control.rebalance.progress import progressed
from shoal_scheduler.control.rebalance.requests import forgetting, rebalance_of
from shoal_scheduler.model.cluster import Cluster
from shoal_scheduler.model.rebalance import GIVEN_UP, SPREAD, ZONES, Budget, Rebalance
from shoal_scheduler.model.service import Service
from shoal_scheduler.state.changes import Change
from shoal_scheduler.state.overlay import Overlay
from shoal_scheduler.state.records import PutRecord
from shoal_scheduler.state.tables import Tables

SETTING = "taskRebalancing"
AUTOMATIC = "automatic"
BUDGET = Budget(moves=50, parallel=5)

# How often one in progress is looked at, and how often is looked for something to even out.
PROGRESS_SECONDS = 1.0
PERIOD_SECONDS = 60.0

# After one that is over; and after one of which moves were given up, which would be planned and given up again.
SETTLE_MILLIS = 60_000
AFTER_GIVING_UP_MILLIS = 30 * 60_000


class Due(NamedTuple):
    """`is_under_way`: whether one is in progress, and to be looked at again in PROGRESS_SECONDS."""

    changes: list[Change]
    is_under_way: bool


def look(tables: Tables, context: Context, *, starts: bool) -> Due:
    """`starts`: whether new ones may begin now."""
    view, changes = Overlay(tables), list[Change]()
    for rebalance in [each for each in tables.records.all(Rebalance) if each.is_in_progress]:
        after = progressed(view, rebalance, context.now)
        if after is not rebalance:
            changes.append(PutRecord(after))
    if starts:
        for cluster in tables.clusters.values():
            changes += _started(view, cluster, context)
    records = [change.record for change in changes if isinstance(change, PutRecord)]
    known = {(each.cluster, each.id): each for each in tables.records.all(Rebalance)}
    known |= {(each.cluster, each.id): each for each in records if isinstance(each, Rebalance)}
    return Due(changes, any(each.is_in_progress for each in known.values()))


def is_automatic(cluster: Cluster) -> bool:
    settings = cluster.document.get("settings", ())
    return any(each.get("name") == SETTING and each.get("value") == "enabled" for each in settings)


def _started(view: Overlay, cluster: Cluster, context: Context) -> list[Change]:
    if cluster.status != "ACTIVE" or under_way(view, cluster.name) is not None:
        return []
    known = view.records.of(Rebalance, cluster.name)
    if any(context.now < each.stopped_at + _pause_after(each) for each in known):
        return []
    wanted = Wanted(SPREAD, budget=BUDGET)
    if not is_automatic(cluster):
        services = view.records.of(Service, cluster.name)
        wanted = Wanted(ZONES, services=tuple(each.name for each in services if each.zone_rebalancing), budget=BUDGET)
        if not wanted.services:
            return []
    planned = plan(view, cluster.name, wanted, context.now)
    if not planned.moves:
        return []
    made = rebalance_of(StartRebalance(cluster.name, wanted, AUTOMATIC), planned, context)
    return [PutRecord(made), *forgetting(known)]


def _pause_after(rebalance: Rebalance) -> int:
    was_futile = rebalance.created_by == AUTOMATIC and any(move.outcome == GIVEN_UP for move in rebalance.over)
    return AFTER_GIVING_UP_MILLIS if was_futile else SETTLE_MILLIS
