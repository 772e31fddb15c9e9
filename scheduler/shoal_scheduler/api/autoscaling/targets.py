"""Scalable targets."""

from typing import Any

from shoal import arn
from shoal.rpc import Identity
from shoal.v1 import autoscaling_pb2 as pb

from shoal_scheduler.api.autoscaling.resource import DIMENSION, NAMESPACE, check_kind, parsed, resource_id, resource_of
from shoal_scheduler.api.fields import refuse
from shoal_scheduler.api.pages import page
from shoal_scheduler.api.validate_names import tags_problems
from shoal_scheduler.control.autoscaling import inputs as i
from shoal_scheduler.control_plane import ControlPlane
from shoal_scheduler.model.refusal import invalid_field
from shoal_scheduler.model.scaling import ScalableTarget

CAPACITY_MAX = 10_000
RESOURCES_MAX = 50


async def register(
    plane: ControlPlane, request: pb.RegisterScalableTargetRequest, _caller: Identity
) -> pb.RegisterScalableTargetResponse:
    resource = resource_of(request)
    tags = dict(request.tags)
    refuse(tags_problems("Tags", [{"key": key, "value": value} for key, value in tags.items()]))
    suspended = request.suspended_state
    await plane.engine.submit(
        i.RegisterScalableTarget(
            *resource,
            min_capacity=capacity(request, "min_capacity", "MinCapacity"),
            max_capacity=capacity(request, "max_capacity", "MaxCapacity"),
            in_suspended=_given(suspended, "dynamic_scaling_in_suspended"),
            out_suspended=_given(suspended, "dynamic_scaling_out_suspended"),
            scheduled_suspended=_given(suspended, "scheduled_scaling_suspended"),
            tags=tags or None,
        )
    )
    response = pb.RegisterScalableTargetResponse(scalable_target_arn=arn.scalable_target_arn(*resource))
    if request.role_arn:
        response.warnings.add(field="RoleARN", message="has no effect: the scheduler needs no role here")
    return response


def capacity(message: Any, name: str, field: str) -> int | None:
    """None if it is absent."""
    value: int = getattr(message, name)
    if not message.HasField(name):
        return None
    if not 0 <= value <= CAPACITY_MAX:
        raise invalid_field(field, f"is {value}: must be 0 to {CAPACITY_MAX}.")
    return value


def _given(suspended: Any, name: str) -> bool | None:
    return bool(getattr(suspended, name)) if suspended.HasField(name) else None


async def describe(
    plane: ControlPlane, request: pb.DescribeScalableTargetsRequest, _caller: Identity
) -> pb.DescribeScalableTargetsResponse:
    check_kind(request)
    if len(request.resource_ids) > RESOURCES_MAX:
        raise invalid_field("ResourceIds", f"has {len(request.resource_ids)} items; at most {RESOURCES_MAX}.")
    wanted = {parsed(f"ResourceIds[{index}]", each) for index, each in enumerate(request.resource_ids)}
    found = (
        (resource_id(target.cluster, target.service), target)
        for target in plane.tables.records.all(ScalableTarget)
        if not wanted or (target.cluster, target.service) in wanted
    )
    targets, token = page(found, request)
    return pb.DescribeScalableTargetsResponse(scalable_targets=map(_message, targets), next_token=token or None)


def _message(target: ScalableTarget) -> pb.ScalableTarget:
    return pb.ScalableTarget(
        service_namespace=NAMESPACE,
        resource_id=resource_id(target.cluster, target.service),
        scalable_dimension=DIMENSION,
        min_capacity=target.min_capacity,
        max_capacity=target.max_capacity,
        creation_time=target.created_at,
        suspended_state=pb.SuspendedState(
            dynamic_scaling_in_suspended=target.in_suspended,
            dynamic_scaling_out_suspended=target.out_suspended,
            scheduled_scaling_suspended=target.scheduled_suspended,
        ),
        scalable_target_arn=arn.scalable_target_arn(target.cluster, target.service),
        tags=target.tags,
    )


async def deregister(
    plane: ControlPlane, request: pb.DeregisterScalableTargetRequest, _caller: Identity
) -> pb.DeregisterScalableTargetResponse:
    await plane.engine.submit(i.DeregisterScalableTarget(*resource_of(request)))
    return pb.DeregisterScalableTargetResponse()
