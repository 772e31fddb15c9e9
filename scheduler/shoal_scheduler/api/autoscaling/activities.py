"""Scaling activities: what was changed, when and why."""

from shoal.rpc import Identity
from shoal.v1 import autoscaling_pb2 as pb

from shoal_scheduler.api.autoscaling.resource import DIMENSION, NAMESPACE, check_kind, resource_id, resource_of
from shoal_scheduler.api.pages import page
from shoal_scheduler.control_plane import ControlPlane
from shoal_scheduler.model.scaling import ScalingActivities, ScalingActivity

UNFULFILLED = "Unfulfilled"


async def describe(
    plane: ControlPlane, request: pb.DescribeScalingActivitiesRequest, _caller: Identity
) -> pb.DescribeScalingActivitiesResponse:
    check_kind(request)
    records = plane.tables.records
    if request.resource_id:
        known = records.get(ScalingActivities, *resource_of(request))
        kept = [known] if known is not None else []
    else:
        kept = list(records.all(ScalingActivities))
    found = (
        (f"{activity.at:015d}{number:03d}{each.cluster}/{each.service}", (each, activity))
        for each in kept
        for number, activity in enumerate(each.activities)
        if request.include_not_scaled_activities or not activity.code
    )
    activities, token = page(found, request, descending=True)
    return pb.DescribeScalingActivitiesResponse(
        scaling_activities=[_message(*each) for each in activities], next_token=token or None
    )


def _message(of: ScalingActivities, activity: ScalingActivity) -> pb.ScalingActivity:
    message = pb.ScalingActivity(
        activity_id=activity.id,
        service_namespace=NAMESPACE,
        resource_id=resource_id(of.cluster, of.service),
        scalable_dimension=DIMENSION,
        description=activity.description,
        cause=activity.cause,
        start_time=activity.at,
        end_time=activity.at,
        status_code=UNFULFILLED if activity.code else activity.status,
        status_message=activity.message or None,
    )
    if activity.code:
        message.not_scaled_reasons.add(
            code=activity.code,
            max_capacity=activity.max_capacity,
            min_capacity=activity.min_capacity,
            current_capacity=activity.after,
        )
    return message
