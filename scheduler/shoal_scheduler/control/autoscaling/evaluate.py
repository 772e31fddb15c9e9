"""One evaluation of a scalable target: scheduled actions that are due, then the decision, and what is written of it.

The desired count is changed in the service's record, in the same step as the cooldown and the activity: a new leader
finds all of it or nothing. What changes nothing writes nothing, but for the first time that a bound is in the way.
"""

from collections.abc import Sequence

import msgspec

from shoal_scheduler.control.autoscaling.decide import Decision, decide
from shoal_scheduler.control.autoscaling.inputs import EvaluateScaling
from shoal_scheduler.control.autoscaling.scheduled import Due, ScheduleError, applied, due
from shoal_scheduler.control.autoscaling.targets import removal
from shoal_scheduler.control.context import Context, Outcome
from shoal_scheduler.control.services import events
from shoal_scheduler.model.scaling import (
    ACTIVITIES_MAX,
    FAILED,
    ScalableTarget,
    ScalingActivities,
    ScalingActivity,
    ScalingPolicy,
    ScheduledAction,
)
from shoal_scheduler.model.service import ACTIVE, Deployment, Service, ServiceEvents
from shoal_scheduler.state.changes import Change
from shoal_scheduler.state.overlay import Overlay
from shoal_scheduler.state.records import PutRecord


def evaluate(view: Overlay, request: EvaluateScaling, context: Context) -> Outcome:
    """Of a service that is no more, all that belonged to its scaling goes."""
    key = (request.cluster, request.service)
    known = view.records.get(ScalableTarget, *key)
    if known is None:
        return Outcome(None)
    service = view.records.get(Service, *key)
    if service is None or service.status != ACTIVE:
        return Outcome(None, removal(view, *key))
    target, changes, activities = _scheduled(view, known, context)
    decided = decide(
        target,
        sorted(view.records.of(ScalingPolicy, *key), key=lambda policy: policy.name),
        request.readings,
        service.desired_count,
        context.now,
        is_deploying=is_deploying(view, service),
    )
    if decided.capacity != service.desired_count:
        activities.append(_scaled(service, decided, context))
        changes += _counted(view, service, decided, context)
    elif decided.code and _is_news(view, activities, decided, target):
        activities.append(_not_scaled(target, decided, context))
    target = msgspec.structs.replace(target, scaled=decided.scaled)
    if target != known:
        changes.append(PutRecord(target))
    if activities:
        changes.append(PutRecord(_kept(view, key, activities)))
    return Outcome(None, changes)


def is_deploying(view: Overlay, service: Service) -> bool:
    deployment = view.records.get(Deployment, service.cluster, service.name, service.deployment)
    return deployment is not None and not deployment.is_over


def _scheduled(
    view: Overlay, target: ScalableTarget, context: Context
) -> tuple[ScalableTarget, list[Change], list[ScalingActivity]]:
    """Suspended ones are passed over."""
    changes: list[Change] = []
    activities: list[ScalingActivity] = []
    for each in due(view.records.of(ScheduledAction, target.cluster, target.service), context.now):
        changes.append(PutRecord(msgspec.structs.replace(each.action, done_until=context.now)))
        if not target.scheduled_suspended:
            target, activity = _done(target, each, context)
            activities.append(activity)
    return target, changes, activities


def _done(target: ScalableTarget, each: Due, context: Context) -> tuple[ScalableTarget, ScalingActivity]:
    action = each.action
    said = [
        f"{side} capacity to {value}"
        for side, value in (("min", action.min_capacity), ("max", action.max_capacity))
        if value is not None
    ]
    activity = ScalingActivity(
        id=context.ids.job_id(),
        at=context.now,
        description=f"Setting {' and '.join(said)}",
        cause=f"scheduled action name {action.name} was triggered",
    )
    try:
        target = applied(target, action)
    except ScheduleError as error:
        return target, msgspec.structs.replace(activity, status=FAILED, message=f"Nothing was changed: {error}.")
    return target, msgspec.structs.replace(activity, message=f"Successfully set {' and '.join(said)}.")


def _scaled(service: Service, decided: Decision, context: Context) -> ScalingActivity:
    return ScalingActivity(
        id=context.ids.job_id(),
        at=context.now,
        description=f"Setting desired count to {decided.capacity}.",
        cause=decided.cause,
        message=f"Successfully set desired count to {decided.capacity}.",
        before=service.desired_count,
        after=decided.capacity,
    )


def _not_scaled(target: ScalableTarget, decided: Decision, context: Context) -> ScalingActivity:
    return ScalingActivity(
        id=context.ids.job_id(),
        at=context.now,
        description=f"Leaving desired count at {decided.capacity}.",
        cause=decided.cause,
        before=decided.capacity,
        after=decided.capacity,
        code=decided.code,
        min_capacity=target.min_capacity,
        max_capacity=target.max_capacity,
    )


def _is_news(view: Overlay, activities: Sequence[ScalingActivity], decided: Decision, target: ScalableTarget) -> bool:
    known = view.records.get(ScalingActivities, target.cluster, target.service)
    last = [*(known.activities if known else ()), *activities][-1:]
    return not last or (last[0].code, last[0].after) != (decided.code, decided.capacity)


def _counted(view: Overlay, service: Service, decided: Decision, context: Context) -> list[Change]:
    counted = msgspec.structs.replace(
        service, desired_count=decided.capacity, is_steady=False, version=service.version + 1
    )
    key = (service.cluster, service.name)
    known = view.records.get(ServiceEvents, *key) or ServiceEvents(cluster=service.cluster, service=service.name)
    words = f"was scaled from {service.desired_count} to {decided.capacity} tasks by autoscaling: {decided.cause}."
    return [PutRecord(counted), PutRecord(events.added(known, [events.of(service.name, words)], context))]


def _kept(view: Overlay, key: tuple[str, str], activities: Sequence[ScalingActivity]) -> ScalingActivities:
    known = view.records.get(ScalingActivities, *key) or ScalingActivities(cluster=key[0], service=key[1])
    return msgspec.structs.replace(known, activities=(*known.activities, *activities)[-ACTIVITIES_MAX:])
