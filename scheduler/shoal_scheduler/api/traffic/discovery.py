"""DiscoverInstances: where the tasks of a service are, in the words of Cloud Map."""

from shoal.problems import quoted
from shoal.rpc import Identity
from shoal.v1 import traffic_pb2 as pb

from shoal_scheduler.api.fields import DEFAULT_CLUSTER, required
from shoal_scheduler.api.validate_values import one_of
from shoal_scheduler.control.traffic import routes
from shoal_scheduler.control.traffic.routes import ZONE, Endpoint, full_name
from shoal_scheduler.control_plane import ControlPlane
from shoal_scheduler.model.refusal import Refused, invalid, invalid_field

RESULTS_DEFAULT, RESULTS_MAX = 100, 1000
_OR_ELSE_ALL = "HEALTHY_OR_ELSE_ALL"
_FILTERS = ("HEALTHY", "UNHEALTHY", "ALL", _OR_ELSE_ALL)


async def discover(
    plane: ControlPlane, request: pb.DiscoverInstancesRequest, _caller: Identity
) -> pb.DiscoverInstancesResponse:
    wanted = request.health_status or _OR_ELSE_ALL
    if problems := list(one_of("HealthStatus", wanted, _FILTERS)):
        raise invalid(problems, "InvalidInput")
    most = request.max_results if request.HasField("max_results") else RESULTS_DEFAULT
    if not 1 <= most <= RESULTS_MAX:
        raise invalid_field("MaxResults", f"is {most}, must be 1 to {RESULTS_MAX}.")
    cluster = _cluster_of(plane, request.namespace_name)
    service = required(request, "service_name", "ServiceName")
    name = full_name(service, cluster)
    known_names = [routes.endpoints_of(plane.tables, each) for each in routes.routed_services(plane.tables, cluster)]
    found = [endpoint for names in known_names for endpoint in names.get(name, ())]
    if not any(name in names for names in known_names):
        raise Refused(
            "not_found",
            f"ServiceName: there is no service {quoted(service[:300])} in {cluster}.{ZONE}.",
            reason="ServiceNotFound",
        )
    known = [(each, _HEALTH[routes.health_of(plane.tables, each.task)]) for each in found]
    if wanted == _OR_ELSE_ALL:
        chosen = [pair for pair in known if pair[1] != "UNHEALTHY"] or known
    else:
        chosen = [pair for pair in known if wanted in ("ALL", pair[1])]
    return pb.DiscoverInstancesResponse(
        instances=[_message(plane, each, health, service, cluster) for each, health in chosen[:most]]
    )


_HEALTH = {"healthy": "HEALTHY", "unhealthy": "UNHEALTHY", "": "UNKNOWN"}


def _cluster_of(plane: ControlPlane, namespace: str) -> str:
    cluster = namespace.removesuffix(f".{ZONE}") if namespace else DEFAULT_CLUSTER
    if cluster not in plane.tables.clusters or (namespace and cluster == namespace):
        raise Refused(
            "not_found",
            f"NamespaceName: there is no namespace {quoted(namespace[:300])}. It is <cluster>.{ZONE}.",
            reason="NamespaceNotFound",
        )
    return cluster


def _message(
    plane: ControlPlane, endpoint: Endpoint, health: str, service: str, cluster: str
) -> pb.HttpInstanceSummary:
    task, place = endpoint.task, endpoint.place
    instance = plane.tables.instances[task.instance]
    part = task.launch.service
    attributes = {
        "AWS_INSTANCE_IPV4": place.host,
        "AWS_INSTANCE_PORT": str(place.port) if place.port else "",
        "AVAILABILITY_ZONE": instance.attribute("ecs.availability-zone") or "",
        "ECS_CLUSTER_NAME": cluster,
        "ECS_SERVICE_NAME": part.service if part is not None else "",
    }
    return pb.HttpInstanceSummary(
        instance_id=task.id,
        namespace_name=f"{cluster}.{ZONE}",
        service_name=service,
        health_status=health,
        attributes={name: value for name, value in attributes.items() if value},
    )
