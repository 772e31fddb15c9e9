"""Compute environments: create, update, delete, describe."""

from typing import Any

from shoal import arn, awsjson
from shoal.quantity import CPU_UNITS_PER_VCPU
from shoal.rpc import Identity
from shoal.v1 import job_queue_pb2 as pb

from shoal_scheduler.api.batch.validate_jobs import tag_map_problems
from shoal_scheduler.api.batch.validate_queues import environment_problems
from shoal_scheduler.api.fields import DEFAULT_CLUSTER, bounded, check_expression, refuse, required
from shoal_scheduler.api.pages import page
from shoal_scheduler.control.batch import inputs as i
from shoal_scheduler.control_plane import ControlPlane
from shoal_scheduler.model.job_queue import ENABLED, ComputeEnvironment
from shoal_scheduler.state.tables import Tables

NAMES_MAX = 100


async def create(
    plane: ControlPlane, request: pb.CreateComputeEnvironmentRequest, _caller: Identity
) -> pb.CreateComputeEnvironmentResponse:
    document = awsjson.to_document(request)
    refuse([*environment_problems(document, create=True), *tag_map_problems(document.get("tags", {}))])
    fields = {"cluster": DEFAULT_CLUSTER, "state": ENABLED, **_fields(document)}
    environment = ComputeEnvironment(
        name=request.compute_environment_name, created_at=0, tags=dict(request.tags), **fields
    )
    await plane.engine.submit(i.CreateComputeEnvironment(environment))
    response = pb.CreateComputeEnvironmentResponse(
        compute_environment_name=environment.name, compute_environment_arn=arn.compute_environment_arn(environment.name)
    )
    _warn(response, document)
    return response


async def update(
    plane: ControlPlane, request: pb.UpdateComputeEnvironmentRequest, _caller: Identity
) -> pb.UpdateComputeEnvironmentResponse:
    """What is not given stays."""
    name = required(request, "compute_environment", "computeEnvironment")
    document = awsjson.to_document(request)
    refuse(environment_problems(document, create=False))
    environment = await plane.engine.submit(i.UpdateComputeEnvironment(name, _fields(document)))
    assert isinstance(environment, ComputeEnvironment)
    response = pb.UpdateComputeEnvironmentResponse(
        compute_environment_name=environment.name, compute_environment_arn=arn.compute_environment_arn(environment.name)
    )
    _warn(response, document)
    return response


async def delete(
    plane: ControlPlane, request: pb.DeleteComputeEnvironmentRequest, _caller: Identity
) -> pb.DeleteComputeEnvironmentResponse:
    name = required(request, "compute_environment", "computeEnvironment")
    await plane.engine.submit(i.DeleteComputeEnvironment(name))
    return pb.DeleteComputeEnvironmentResponse()


async def describe(
    plane: ControlPlane, request: pb.DescribeComputeEnvironmentsRequest, _caller: Identity
) -> pb.DescribeComputeEnvironmentsResponse:
    """By name. What is named and not there is not in the answer, as in AWS."""
    known = plane.tables.batch.environments
    names = list(known)
    if request.compute_environments:
        names = [
            *map(arn.short, bounded(request.compute_environments, "computeEnvironments", NAMES_MAX)),
        ]
    found = {name: known[name] for name in names if name in known}
    environments, token = page(found.items(), request)
    return pb.DescribeComputeEnvironmentsResponse(
        compute_environments=[message_of(plane.tables, each) for each in environments], next_token=token or None
    )


def message_of(tables: Tables, environment: ComputeEnvironment) -> pb.ComputeEnvironmentDetail:
    """INVALID: there is nothing where its jobs could run."""
    cluster = tables.clusters.get(environment.cluster)
    valid = cluster is not None and cluster.status == "ACTIVE"
    missing = f"CLIENT_ERROR - there is no cluster {environment.cluster} any more: name another, or create it again"
    return pb.ComputeEnvironmentDetail(
        compute_environment_name=environment.name,
        compute_environment_arn=arn.compute_environment_arn(environment.name),
        unmanagedv_cpus=environment.max_vcpus or None,
        ecs_cluster_arn=arn.cluster_arn(environment.cluster),
        tags=environment.tags,
        type="UNMANAGED",
        state=environment.state,
        status="VALID" if valid else "INVALID",
        status_reason="ComputeEnvironment Healthy" if valid else missing,
        container_orchestration_type="ECS",
        cluster=environment.cluster,
        expression=environment.expression or None,
        used_vcpus=tables.batch.held_vcpus[environment.name] / CPU_UNITS_PER_VCPU,
    )


def _fields(document: dict[str, Any]) -> dict[str, Any]:
    """Of the record, those that are given. Raises Refused for an expression that cannot be read."""
    if document.get("expression"):
        check_expression("expression", document["expression"], "ClientException")
    names = {"state": "state", "unmanagedvCpus": "max_vcpus", "expression": "expression"}
    fields = {field: document[name] for name, field in names.items() if name in document}
    if "cluster" in document:
        fields["cluster"] = arn.short(document["cluster"])
    return fields


def _warn(
    response: pb.CreateComputeEnvironmentResponse | pb.UpdateComputeEnvironmentResponse, document: dict[str, Any]
) -> None:
    if "serviceRole" in document:
        response.warnings.add(field="serviceRole", message="has no effect: the scheduler needs no role here")
