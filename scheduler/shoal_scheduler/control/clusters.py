"""Clusters: create, update, delete."""

from typing import Any

import msgspec

from shoal_scheduler.control import inputs as i
from shoal_scheduler.control.context import Context, Outcome
from shoal_scheduler.model.cluster import Cluster
from shoal_scheduler.model.refusal import Refused, cluster_not_found
from shoal_scheduler.model.service import INACTIVE, Service
from shoal_scheduler.state import changes as c
from shoal_scheduler.state.overlay import Overlay


def put(view: Overlay, request: i.PutClusterDocument, context: Context) -> Outcome:
    """Creating a cluster that is there returns it unchanged, as ECS does."""
    existing = view.cluster(request.name)
    active = existing is not None and existing.status == "ACTIVE"
    if request.create and active:
        return Outcome(existing)
    if request.create:
        cluster = Cluster(name=request.name, created_at=context.now, document=request.document, tags=request.tags)
    else:
        before = find(view, request.name)
        cluster = msgspec.structs.replace(before, document=_merged(before.document, request.document))
    return Outcome(cluster, [c.PutCluster(cluster)])


def _merged(before: dict[str, Any], changed: dict[str, Any]) -> dict[str, Any]:
    """What is not named stays, of the settings as well: each is known by its name."""
    after = before | changed
    if "settings" in changed:
        settings = [*before.get("settings", ()), *changed["settings"]]
        after["settings"] = list({setting["name"]: setting for setting in settings}.values())
    return after


def delete(view: Overlay, request: i.DeleteCluster, _context: Context) -> Outcome:
    cluster = find(view, request.name)
    instances = view.room(cluster.name).registered
    if instances:
        raise Refused(
            "failed_precondition",
            f"Cluster {cluster.name!r} still has {instances} container instances: deregister them first.",
            reason="ClusterContainsContainerInstancesException",
        )
    services = sum(each.status != INACTIVE for each in view.records.of(Service, cluster.name))
    if services:
        raise Refused(
            "failed_precondition",
            f"Cluster {cluster.name!r} still has {services} services: delete them first, and wait for their tasks.",
            reason="ClusterContainsServicesException",
        )
    gone = msgspec.structs.replace(cluster, status="INACTIVE")
    return Outcome(gone, [c.PutCluster(gone)])


def find(view: Overlay, name: str) -> Cluster:
    """Raises Refused unless there is an ACTIVE cluster of that name."""
    cluster = view.cluster(name)
    if cluster is None or cluster.status != "ACTIVE":
        raise cluster_not_found(name)
    return cluster
