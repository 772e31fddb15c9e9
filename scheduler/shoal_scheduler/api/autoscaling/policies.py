"""Scaling policies."""

from collections.abc import Iterator
from typing import Any

from shoal import arn
from shoal.problems import quoted
from shoal.rpc import Identity
from shoal.v1 import autoscaling_pb2 as pb

from shoal_scheduler.api.autoscaling.policy_messages import policy_message
from shoal_scheduler.api.autoscaling.resource import check_kind, checked_name, resource_id, resource_of
from shoal_scheduler.api.autoscaling.validate_stepping import stepping_of
from shoal_scheduler.api.autoscaling.validate_tracking import tracking_of, units_of
from shoal_scheduler.api.pages import page
from shoal_scheduler.control.autoscaling import inputs as i
from shoal_scheduler.control_plane import ControlPlane
from shoal_scheduler.model.refusal import Refused, invalid_field
from shoal_scheduler.model.scaling import ScalingPolicy

STEP, TRACKING, PREDICTIVE = "StepScaling", "TargetTrackingScaling", "PredictiveScaling"
STEP_FIELD, TRACKING_FIELD = "step_scaling_policy_configuration", "target_tracking_scaling_policy_configuration"
NAMES_MAX = 50


async def put(
    plane: ControlPlane, request: pb.PutScalingPolicyRequest, _caller: Identity
) -> pb.PutScalingPolicyResponse:
    resource, name = resource_of(request), checked_name("PolicyName", request.policy_name)
    kind = _kind(request)
    policy = ScalingPolicy(
        cluster=resource.cluster,
        service=resource.service,
        name=name,
        created_at=0,
        tracking=tracking_of(request.target_tracking_scaling_policy_configuration) if kind == TRACKING else None,
        stepping=stepping_of(request.step_scaling_policy_configuration) if kind == STEP else None,
    )
    await plane.engine.submit(i.PutScalingPolicy(policy))
    described = policy_message(policy, plane.tables.alarms.values())
    response = pb.PutScalingPolicyResponse(policy_arn=arn.scaling_policy_arn(*resource, name), alarms=described.alarms)
    for field in units_of(request.target_tracking_scaling_policy_configuration):
        response.warnings.add(field=field, message="has no effect: a metric has one unit here")
    return response


def _kind(request: Any) -> str:
    kind = request.policy_type or STEP
    if kind == PREDICTIVE:
        raise Refused(
            "unimplemented",
            f"PolicyType: {PREDICTIVE} is not there yet; take {TRACKING} with a scheduled action ahead of the load.",
            reason="ValidationException",
        )
    if kind not in (STEP, TRACKING):
        raise invalid_field("PolicyType", f"{quoted(kind)} is none of {STEP}, {TRACKING}.")
    wanted, other = (STEP_FIELD, TRACKING_FIELD) if kind == STEP else (TRACKING_FIELD, STEP_FIELD)
    if not request.HasField(wanted):
        raise invalid_field(_json_name(wanted), f"is required of PolicyType {kind}.")
    if request.HasField(other):
        raise invalid_field(_json_name(other), f"does not go with PolicyType {kind}.")
    return kind


def _json_name(field: str) -> str:
    return str(pb.PutScalingPolicyRequest.DESCRIPTOR.fields_by_name[field].json_name)


async def describe(
    plane: ControlPlane, request: pb.DescribeScalingPoliciesRequest, _caller: Identity
) -> pb.DescribeScalingPoliciesResponse:
    check_kind(request)
    if len(request.policy_names) > NAMES_MAX:
        raise invalid_field("PolicyNames", f"has {len(request.policy_names)} items; at most {NAMES_MAX}.")
    names = set(request.policy_names)
    found = (
        ("\n".join((resource_id(policy.cluster, policy.service), policy.name)), policy)
        for policy in _policies(plane, request)
        if not names or policy.name in names or arn.scaling_policy_arn(*_key(policy)) in names
    )
    policies, token = page(found, request)
    alarms = plane.tables.alarms.values()
    return pb.DescribeScalingPoliciesResponse(
        scaling_policies=[policy_message(policy, alarms) for policy in policies], next_token=token or None
    )


def _policies(plane: ControlPlane, request: pb.DescribeScalingPoliciesRequest) -> Iterator[ScalingPolicy]:
    if request.resource_id:
        return iter(plane.tables.records.of(ScalingPolicy, *resource_of(request)))
    return plane.tables.records.all(ScalingPolicy)


def _key(policy: ScalingPolicy) -> tuple[str, str, str]:
    return policy.cluster, policy.service, policy.name


async def delete(
    plane: ControlPlane, request: pb.DeleteScalingPolicyRequest, _caller: Identity
) -> pb.DeleteScalingPolicyResponse:
    name = checked_name("PolicyName", request.policy_name)
    await plane.engine.submit(i.DeleteScalingPolicy(*resource_of(request), name))
    return pb.DeleteScalingPolicyResponse()
