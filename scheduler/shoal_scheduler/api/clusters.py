"""Clusters: create, describe, list, update, delete."""

from typing import Any

from shoal import arn, awsjson
from shoal.rpc import Identity
from shoal.v1 import cluster_pb2 as pb
from shoal.v1 import resource_pb2

from shoal_scheduler.api import convert
from shoal_scheduler.api.fields import DEFAULT_CLUSTER, bounded, cluster_name, refuse, tags_of
from shoal_scheduler.api.pages import page
from shoal_scheduler.api.validate_names import cluster_name_problems
from shoal_scheduler.api.validate_values import Problems, one_of, size_problems
from shoal_scheduler.api.validate_values import required as problems_of_required
from shoal_scheduler.control import inputs as i
from shoal_scheduler.control.rebalance.look import SETTING as REBALANCING
from shoal_scheduler.control_plane import ControlPlane
from shoal_scheduler.model.cluster import Cluster

# Tags come beside it, with bounds of their own.
DOCUMENT_BYTES_MAX = 128 * 1024
_INSIGHTS = ("enabled", "disabled", "enhanced")
_SETTINGS = {"containerInsights": _INSIGHTS, REBALANCING: ("enabled", "disabled")}
_DESCRIBED = ("settings", "configuration", "capacityProviders", "defaultCapacityProviderStrategy")


async def create(plane: ControlPlane, request: pb.CreateClusterRequest, _caller: Identity) -> pb.CreateClusterResponse:
    name = request.cluster_name or DEFAULT_CLUSTER
    refuse(cluster_name_problems("clusterName", name), "InvalidParameterException")
    change = i.PutClusterDocument(name, _document(request), create=True, tags=tags_of(request.tags))
    cluster = await _submit(plane, change)
    return pb.CreateClusterResponse(cluster=convert.cluster_message(plane.tables, cluster, with_tags=True))


async def update(plane: ControlPlane, request: pb.UpdateClusterRequest, _caller: Identity) -> pb.UpdateClusterResponse:
    change = i.PutClusterDocument(cluster_name(request), _document(request), create=False)
    cluster = await _submit(plane, change)
    return pb.UpdateClusterResponse(cluster=convert.cluster_message(plane.tables, cluster, with_tags=True))


async def update_settings(
    plane: ControlPlane, request: pb.UpdateClusterSettingsRequest, _caller: Identity
) -> pb.UpdateClusterSettingsResponse:
    change = i.PutClusterDocument(cluster_name(request), _document(request), create=False)
    cluster = await _submit(plane, change)
    return pb.UpdateClusterSettingsResponse(cluster=convert.cluster_message(plane.tables, cluster, with_tags=True))


async def delete(plane: ControlPlane, request: pb.DeleteClusterRequest, _caller: Identity) -> pb.DeleteClusterResponse:
    cluster = await _submit(plane, i.DeleteCluster(cluster_name(request)))
    return pb.DeleteClusterResponse(cluster=convert.cluster_message(plane.tables, cluster, with_tags=True))


async def describe(
    plane: ControlPlane, request: pb.DescribeClustersRequest, _caller: Identity
) -> pb.DescribeClustersResponse:
    response = pb.DescribeClustersResponse()
    for name in bounded(request.clusters or [DEFAULT_CLUSTER], "clusters"):
        cluster = plane.tables.clusters.get(arn.short(name))
        if cluster is None:
            response.failures.append(resource_pb2.Failure(arn=name, reason="MISSING"))
        else:
            with_tags = "TAGS" in request.include
            response.clusters.append(convert.cluster_message(plane.tables, cluster, with_tags=with_tags))
    return response


async def list_all(plane: ControlPlane, request: pb.ListClustersRequest, _caller: Identity) -> pb.ListClustersResponse:
    found = (
        (cluster.name, arn.cluster_arn(cluster.name))
        for cluster in plane.tables.clusters.values()
        if cluster.status == "ACTIVE"
    )
    arns, token = page(found, request)
    return pb.ListClustersResponse(cluster_arns=arns, next_token=token or None)


def _document(request: Any) -> dict[str, Any]:
    """What a described cluster shows again. Raises Refused."""
    refuse(size_problems(request.ByteSize(), DOCUMENT_BYTES_MAX), "InvalidParameterException")
    document = awsjson.to_document(request)
    refuse(_problems(document), "InvalidParameterException")
    return {name: document[name] for name in _DESCRIBED if name in document}


def _problems(document: dict[str, Any]) -> Problems:
    """Settings and logging as the ECS API model has them."""
    for index, setting in enumerate(document.get("settings", ())):
        path = f"settings[{index}]"
        yield from problems_of_required(path, setting, "name", "value")
        yield from one_of(f"{path}.name", setting.get("name"), tuple(_SETTINGS))
        yield from one_of(f"{path}.value", setting.get("value"), _SETTINGS.get(setting.get("name"), _INSIGHTS))
    commands = document.get("configuration", {}).get("executeCommandConfiguration", {})
    path = "configuration.executeCommandConfiguration.logging"
    yield from one_of(path, commands.get("logging"), ("NONE", "DEFAULT", "OVERRIDE"))
    for index, strategy in enumerate(document.get("defaultCapacityProviderStrategy", ())):
        yield from problems_of_required(f"defaultCapacityProviderStrategy[{index}]", strategy, "capacityProvider")


async def _submit(plane: ControlPlane, change: i.Input) -> Cluster:
    cluster = await plane.engine.submit(change)
    assert isinstance(cluster, Cluster)
    return cluster
