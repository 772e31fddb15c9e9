"""Scaling policies of a scalable target."""

import msgspec

from shoal_scheduler.control.autoscaling.inputs import DeleteScalingPolicy, PutScalingPolicy
from shoal_scheduler.control.autoscaling.targets import find
from shoal_scheduler.control.context import Context, Outcome
from shoal_scheduler.model.refusal import Refused, invalid_field
from shoal_scheduler.model.scaling import POLICIES_MAX, ScalingPolicy
from shoal_scheduler.state.overlay import Overlay
from shoal_scheduler.state.records import DeleteRecord, PutRecord


def put(view: Overlay, request: PutScalingPolicy, context: Context) -> Outcome:
    wanted = request.policy
    find(view, wanted.cluster, wanted.service)
    policies = view.records.of(ScalingPolicy, wanted.cluster, wanted.service)
    known = next((policy for policy in policies if policy.name == wanted.name), None)
    if known is None and len(policies) >= POLICIES_MAX:
        raise Refused(
            "exhausted",
            f"service/{wanted.cluster}/{wanted.service} has {POLICIES_MAX} policies: delete some first.",
            reason="LimitExceededException",
        )
    if known is not None and (known.tracking is None) != (wanted.tracking is None):
        raise invalid_field(
            "PolicyType", f"cannot be changed: delete policy {wanted.name!r} and put it anew, or give another name."
        )
    policy = msgspec.structs.replace(wanted, created_at=known.created_at if known else context.now)
    return Outcome(policy, [PutRecord(policy)] if policy != known else [])


def delete(view: Overlay, request: DeleteScalingPolicy, _context: Context) -> Outcome:
    key = (request.cluster, request.service, request.name)
    if view.records.get(ScalingPolicy, *key) is None:
        raise Refused(
            "not_found",
            f"PolicyName: service/{request.cluster}/{request.service} has no policy {request.name!r}.",
            reason="ObjectNotFoundException",
        )
    return Outcome(None, [DeleteRecord(ScalingPolicy, key)])
