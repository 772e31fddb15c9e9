"""Scheduled actions."""

from collections.abc import Iterator
from typing import Any

from shoal import arn
from shoal.rpc import Identity
from shoal.v1 import autoscaling_pb2 as pb

from shoal_scheduler.api.autoscaling.resource import (
    DIMENSION,
    NAMESPACE,
    check_kind,
    checked_name,
    resource_id,
    resource_of,
)
from shoal_scheduler.api.autoscaling.targets import capacity
from shoal_scheduler.api.pages import page
from shoal_scheduler.control.autoscaling import inputs as i
from shoal_scheduler.control.autoscaling.scheduled import ScheduleError, next_time, parsed, zone
from shoal_scheduler.control_plane import ControlPlane
from shoal_scheduler.model.refusal import invalid_field
from shoal_scheduler.model.scaling import ScheduledAction

NAMES_MAX = 50
SCHEDULE_MAX = 256

# The last second of the year 9999.
MILLIS_MAX = 253_402_300_799_000


async def put(
    plane: ControlPlane, request: pb.PutScheduledActionRequest, _caller: Identity
) -> pb.PutScheduledActionResponse:
    resource = resource_of(request)
    name = checked_name("ScheduledActionName", request.scheduled_action_name)
    _check_schedule(request)
    bounds = request.scalable_target_action
    action = ScheduledAction(
        cluster=resource.cluster,
        service=resource.service,
        name=name,
        created_at=0,
        schedule=request.schedule,
        timezone=request.timezone,
        start=_time(request, "start_time", "StartTime"),
        end=_time(request, "end_time", "EndTime"),
        min_capacity=capacity(bounds, "min_capacity", "ScalableTargetAction.MinCapacity"),
        max_capacity=capacity(bounds, "max_capacity", "ScalableTargetAction.MaxCapacity"),
    )
    if action.start is not None and action.end is not None and action.end <= action.start:
        raise invalid_field("EndTime", "must be later than StartTime.")
    await plane.engine.submit(i.PutScheduledAction(action))
    return pb.PutScheduledActionResponse()


def _check_schedule(request: pb.PutScheduledActionRequest) -> None:
    if len(request.schedule) > SCHEDULE_MAX:
        raise invalid_field("Schedule", f"has more than {SCHEDULE_MAX} characters.")
    if request.schedule:
        try:
            parsed(request.schedule)
        except ScheduleError as error:
            raise invalid_field("Schedule", f"{error}.") from None
    try:
        zone(request.timezone)
    except ScheduleError as error:
        raise invalid_field("Timezone", f"{error}.") from None


def _time(request: Any, name: str, field: str) -> int | None:
    if not request.HasField(name):
        return None
    value: int = getattr(request, name)
    if not 0 < value <= MILLIS_MAX:
        raise invalid_field(field, "must be a time in seconds since 1970, before the year 10000.")
    return value


async def describe(
    plane: ControlPlane, request: pb.DescribeScheduledActionsRequest, _caller: Identity
) -> pb.DescribeScheduledActionsResponse:
    check_kind(request)
    if len(request.scheduled_action_names) > NAMES_MAX:
        raise invalid_field(
            "ScheduledActionNames", f"has {len(request.scheduled_action_names)} items; at most {NAMES_MAX}."
        )
    names = set(request.scheduled_action_names)
    found = (
        ("\n".join((resource_id(action.cluster, action.service), action.name)), action)
        for action in _actions(plane, request)
        if not names or action.name in names
    )
    actions, token = page(found, request)
    return pb.DescribeScheduledActionsResponse(scheduled_actions=map(_message, actions), next_token=token or None)


def _actions(plane: ControlPlane, request: pb.DescribeScheduledActionsRequest) -> Iterator[ScheduledAction]:
    if request.resource_id:
        return iter(plane.tables.records.of(ScheduledAction, *resource_of(request)))
    return plane.tables.records.all(ScheduledAction)


def _message(action: ScheduledAction) -> pb.ScheduledAction:
    return pb.ScheduledAction(
        scheduled_action_name=action.name,
        scheduled_action_arn=arn.scheduled_action_arn(action.cluster, action.service, action.name),
        service_namespace=NAMESPACE,
        schedule=action.schedule,
        timezone=action.timezone or None,
        resource_id=resource_id(action.cluster, action.service),
        scalable_dimension=DIMENSION,
        start_time=action.start,
        end_time=action.end,
        scalable_target_action=pb.ScalableTargetAction(
            min_capacity=action.min_capacity, max_capacity=action.max_capacity
        ),
        creation_time=action.created_at,
        next_time=next_time(action, action.done_until),
    )


async def delete(
    plane: ControlPlane, request: pb.DeleteScheduledActionRequest, _caller: Identity
) -> pb.DeleteScheduledActionResponse:
    name = checked_name("ScheduledActionName", request.scheduled_action_name)
    await plane.engine.submit(i.DeleteScheduledAction(*resource_of(request), name))
    return pb.DeleteScheduledActionResponse()
