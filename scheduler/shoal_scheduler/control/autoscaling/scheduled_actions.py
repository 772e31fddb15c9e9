"""Scheduled actions of a scalable target: made, changed, deleted. When they are due: `scheduled`."""

import msgspec

from shoal_scheduler.control.autoscaling.inputs import DeleteScheduledAction, PutScheduledAction
from shoal_scheduler.control.autoscaling.scheduled import next_time
from shoal_scheduler.control.autoscaling.targets import find
from shoal_scheduler.control.context import Context, Outcome
from shoal_scheduler.model.refusal import Refused, invalid_field
from shoal_scheduler.model.scaling import ACTIONS_MAX, ScheduledAction
from shoal_scheduler.state.overlay import Overlay
from shoal_scheduler.state.records import DeleteRecord, PutRecord


def put(view: Overlay, request: PutScheduledAction, context: Context) -> Outcome:
    wanted = request.action
    find(view, wanted.cluster, wanted.service)
    actions = view.records.of(ScheduledAction, wanted.cluster, wanted.service)
    known = next((action for action in actions if action.name == wanted.name), None)
    if known is None and len(actions) >= ACTIONS_MAX:
        raise Refused(
            "exhausted",
            f"service/{wanted.cluster}/{wanted.service} has {ACTIONS_MAX} scheduled actions: delete some first.",
            reason="LimitExceededException",
        )
    action = _together(known, wanted, context)
    if not action.schedule:
        raise invalid_field("Schedule", "is required of a new scheduled action.")
    if action.min_capacity is None and action.max_capacity is None:
        raise invalid_field("ScalableTargetAction", "is required of a new one: MinCapacity, MaxCapacity or both.")
    if (low := action.min_capacity) is not None and (high := action.max_capacity) is not None and low > high:
        raise invalid_field("ScalableTargetAction.MaxCapacity", f"is {high}, below MinCapacity, {low}.")
    if next_time(action, context.now) is None:
        raise invalid_field("Schedule", f"{action.schedule} has no time to come between StartTime and EndTime.")
    return Outcome(action, [PutRecord(action)])


def _together(known: ScheduledAction | None, wanted: ScheduledAction, context: Context) -> ScheduledAction:
    """What was done before it was changed is done."""
    if known is None:
        return msgspec.structs.replace(wanted, created_at=context.now, done_until=context.now)
    bounds_given = wanted.min_capacity is not None or wanted.max_capacity is not None
    bounds = wanted if bounds_given else known
    return msgspec.structs.replace(
        known,
        schedule=wanted.schedule or known.schedule,
        timezone=wanted.timezone or ("" if wanted.schedule else known.timezone),
        start=wanted.start if wanted.start is not None else known.start,
        end=wanted.end if wanted.end is not None else known.end,
        min_capacity=bounds.min_capacity,
        max_capacity=bounds.max_capacity,
        done_until=context.now,
    )


def delete(view: Overlay, request: DeleteScheduledAction, _context: Context) -> Outcome:
    key = (request.cluster, request.service, request.name)
    if view.records.get(ScheduledAction, *key) is None:
        raise Refused(
            "not_found",
            f"ScheduledActionName: service/{request.cluster}/{request.service} has no scheduled action"
            f" {request.name!r}.",
            reason="ObjectNotFoundException",
        )
    return Outcome(None, [DeleteRecord(ScheduledAction, key)])
