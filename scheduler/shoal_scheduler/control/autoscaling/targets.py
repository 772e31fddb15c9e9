"""Scalable targets: which services are scaled, and between which bounds."""

import msgspec

from shoal_scheduler.control.autoscaling.inputs import DeregisterScalableTarget, RegisterScalableTarget
from shoal_scheduler.control.context import Context, Outcome
from shoal_scheduler.model.refusal import Refused, invalid_field
from shoal_scheduler.model.scaling import ScalableTarget, ScalingActivities, ScalingPolicy, ScheduledAction
from shoal_scheduler.model.service import ACTIVE, REPLICA, Service
from shoal_scheduler.state.changes import Change
from shoal_scheduler.state.overlay import Overlay
from shoal_scheduler.state.records import DeleteRecord, PutRecord

_CHANGEABLE = ("min_capacity", "max_capacity", "in_suspended", "out_suspended", "scheduled_suspended", "tags")


def register(view: Overlay, request: RegisterScalableTarget, context: Context) -> Outcome:
    _check_service(view, request.cluster, request.service)
    given = {name: value for name in _CHANGEABLE if (value := getattr(request, name)) is not None}
    known = view.records.get(ScalableTarget, request.cluster, request.service)
    if known is None:
        for field, name in (("MinCapacity", "min_capacity"), ("MaxCapacity", "max_capacity")):
            if name not in given:
                raise invalid_field(field, "is required of a new scalable target.")
        target = ScalableTarget(cluster=request.cluster, service=request.service, created_at=context.now, **given)
    else:
        target = msgspec.structs.replace(known, **given)
    if target.min_capacity > target.max_capacity:
        raise invalid_field("MaxCapacity", f"is {target.max_capacity}, below MinCapacity, {target.min_capacity}.")
    return Outcome(target, [PutRecord(target)] if target != known else [])


def _check_service(view: Overlay, cluster: str, name: str) -> None:
    service = view.records.get(Service, cluster, name)
    if service is None or service.status != ACTIVE:
        raise invalid_field(
            "ResourceId", f"service/{cluster}/{name}: there is no such service; create it first, with CreateService."
        )
    if service.scheduling_strategy != REPLICA:
        raise invalid_field(
            "ResourceId",
            f"service/{cluster}/{name} is a daemon: it has one task on each instance, and no count to scale.",
        )


def deregister(view: Overlay, request: DeregisterScalableTarget, _context: Context) -> Outcome:
    find(view, request.cluster, request.service)
    return Outcome(None, removal(view, request.cluster, request.service))


def find(view: Overlay, cluster: str, service: str) -> ScalableTarget:
    known = view.records.get(ScalableTarget, cluster, service)
    if known is None:
        raise Refused(
            "not_found",
            f"ResourceId: service/{cluster}/{service} is no scalable target; make it one with RegisterScalableTarget.",
            reason="ObjectNotFoundException",
        )
    return known


def removal(view: Overlay, cluster: str, service: str) -> list[Change]:
    """The target and all that belongs to it."""
    policies = view.records.of(ScalingPolicy, cluster, service)
    actions = view.records.of(ScheduledAction, cluster, service)
    changes: list[Change] = [DeleteRecord(ScalableTarget, (cluster, service))]
    changes += [DeleteRecord(ScalingPolicy, (cluster, service, each.name)) for each in policies]
    changes += [DeleteRecord(ScheduledAction, (cluster, service, each.name)) for each in actions]
    if view.records.get(ScalingActivities, cluster, service) is not None:
        changes.append(DeleteRecord(ScalingActivities, (cluster, service)))
    return changes
