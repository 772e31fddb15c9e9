"""Deployments of services, and revisions: describe, list, stop."""

from typing import NamedTuple

from shoal import arn
from shoal.problems import quoted
from shoal.rpc import Identity
from shoal.v1 import resource_pb2
from shoal.v1 import service_pb2 as pb

from shoal_scheduler.api.fields import bounded, existing_cluster, refuse, required
from shoal_scheduler.api.pages import page
from shoal_scheduler.api.services.deployment_messages import brief_message, service_deployment_message
from shoal_scheduler.api.services.revision_messages import revision_message
from shoal_scheduler.api.validate_values import one_of
from shoal_scheduler.control.definitions import find as find_definition
from shoal_scheduler.control.services import find
from shoal_scheduler.control.services import inputs as i
from shoal_scheduler.control.services.stop_deployment import ABORT, ROLLBACK
from shoal_scheduler.control_plane import ControlPlane
from shoal_scheduler.engine import now_millis
from shoal_scheduler.model.refusal import invalid_field
from shoal_scheduler.model.service import (
    IN_PROGRESS,
    OVER,
    PENDING,
    ROLLBACK_IN_PROGRESS,
    ROLLBACK_REQUESTED,
    STOP_REQUESTED,
    Deployment,
    Service,
    ServiceRevision,
)

DESCRIBED_MAX = 100
STATUSES = (PENDING, IN_PROGRESS, STOP_REQUESTED, ROLLBACK_REQUESTED, ROLLBACK_IN_PROGRESS, *sorted(OVER))
_INVALID = "InvalidParameterException"


class _Named(NamedTuple):
    """What the ARN of a deployment or a revision says."""

    cluster: str
    service: str
    id: str


def _named(field: str, name: str, kind: str) -> _Named:
    """Raises Refused."""
    parts = name.removeprefix(f"{arn.PREFIX}{kind}/").split("/")
    if not name.startswith(f"{arn.PREFIX}{kind}/") or len(parts) != 3:
        how = f"as {arn.PREFIX}{kind}/<cluster>/<service>/<id>"
        raise invalid_field(field, f"{quoted(name)} is not the ARN of a {kind.replace('-', ' ')}, {how}.")
    return _Named(*parts)


async def describe(
    plane: ControlPlane, request: pb.DescribeServiceDeploymentsRequest, _caller: Identity
) -> pb.DescribeServiceDeploymentsResponse:
    response, records = pb.DescribeServiceDeploymentsResponse(), plane.tables.records
    given = bounded(request.service_deployment_arns, "serviceDeploymentArns", DESCRIBED_MAX)
    for index, name in enumerate(given):
        key = _named(f"serviceDeploymentArns[{index}]", name, "service-deployment")
        deployment, service = records.get(Deployment, *key), records.get(Service, key.cluster, key.service)
        if deployment is None or service is None:
            response.failures.append(resource_pb2.Failure(arn=name, reason="MISSING"))
        else:
            message = service_deployment_message(plane.tables, service, deployment, now_millis())
            response.service_deployments.append(message)
    return response


async def list_all(
    plane: ControlPlane, request: pb.ListServiceDeploymentsRequest, _caller: Identity
) -> pb.ListServiceDeploymentsResponse:
    """The newest first."""
    cluster = existing_cluster(plane, request)
    service = find.service(plane.tables.records, cluster.name, required(request, "service", "service"))
    refuse((problem for each in request.status for problem in one_of("status", each, STATUSES)), _INVALID)
    found = (
        (f"{each.created_at:014d}{each.id}", each)
        for each in plane.tables.records.of(Deployment, service.cluster, service.name)
        if each.created_at >= service.created_at and _is_wanted(each, request)
    )
    deployments, token = page(found, request, descending=True)
    return pb.ListServiceDeploymentsResponse(
        service_deployments=map(brief_message, deployments), next_token=token or None
    )


def _is_wanted(deployment: Deployment, request: pb.ListServiceDeploymentsRequest) -> bool:
    window = request.created_at
    return (
        (not request.status or deployment.status in request.status)
        and (not window.HasField("before") or deployment.created_at < window.before)
        and (not window.HasField("after") or deployment.created_at > window.after)
    )


async def stop(
    plane: ControlPlane, request: pb.StopServiceDeploymentRequest, _caller: Identity
) -> pb.StopServiceDeploymentResponse:
    name = required(request, "service_deployment_arn", "serviceDeploymentArn")
    key = _named("serviceDeploymentArn", name, "service-deployment")
    stop_type = request.stop_type or ROLLBACK
    refuse(one_of("stopType", stop_type, (ABORT, ROLLBACK)), _INVALID)
    await plane.engine.submit(i.StopServiceDeployment(key.cluster, key.service, key.id, stop_type))
    return pb.StopServiceDeploymentResponse(service_deployment_arn=name)


async def describe_revisions(
    plane: ControlPlane, request: pb.DescribeServiceRevisionsRequest, _caller: Identity
) -> pb.DescribeServiceRevisionsResponse:
    response = pb.DescribeServiceRevisionsResponse()
    for index, name in enumerate(bounded(request.service_revision_arns, "serviceRevisionArns", DESCRIBED_MAX)):
        key = _named(f"serviceRevisionArns[{index}]", name, "service-revision")
        revision = plane.tables.records.get(ServiceRevision, *key)
        if revision is None:
            response.failures.append(resource_pb2.Failure(arn=name, reason="MISSING"))
            continue
        containers = find_definition(plane.tables, revision.definition).containers
        images = [(each["name"], each["image"]) for each in containers]
        response.service_revisions.append(revision_message(revision, images))
    return response
