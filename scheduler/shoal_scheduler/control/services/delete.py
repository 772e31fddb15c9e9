"""DeleteService: a service ends. It is DRAINING until its last task has ended, INACTIVE for a while, then forgotten."""

from collections.abc import Iterator

import msgspec

from shoal_scheduler.control.context import Context, Outcome
from shoal_scheduler.control.services import find
from shoal_scheduler.control.services import inputs as i
from shoal_scheduler.model.refusal import Refused
from shoal_scheduler.model.service import (
    ACTIVE,
    DAEMON,
    DRAINING,
    INACTIVE,
    STOPPED,
    Deployment,
    Service,
    ServiceEvents,
    ServiceRevision,
)
from shoal_scheduler.state.changes import Change
from shoal_scheduler.state.overlay import Overlay
from shoal_scheduler.state.records import DeleteRecord, PutRecord, key_of
from shoal_scheduler.state.service_tables import ServiceKey

# How long an INACTIVE service can still be described, as its stopped tasks can.
KEPT_MILLIS = 3600 * 1000

# Records of one that is forgotten, in one look.
FORGOTTEN_AT_ONCE = 20

DELETED = "The service was deleted."


def delete(view: Overlay, request: i.DeleteService, context: Context) -> Outcome:
    """A second time is the same answer."""
    service = find.service(view.records, request.cluster, request.name)
    if service.status != ACTIVE:
        return Outcome(service)
    if not request.force:
        _refuse_one_that_wants_tasks(view, service)
    gone = msgspec.structs.replace(service, status=DRAINING, desired_count=0, deleted_at=context.now)
    changes: list[Change] = [PutRecord(gone)]
    deployment = view.records.get(Deployment, service.cluster, service.name, service.deployment)
    if deployment is not None and not deployment.is_over:
        stopped = msgspec.structs.replace(
            deployment, status=STOPPED, reason=DELETED, stopped_at=context.now, updated_at=context.now
        )
        changes.append(PutRecord(stopped))
    return Outcome(gone, changes)


def _refuse_one_that_wants_tasks(view: Overlay, service: Service) -> None:
    if service.scheduling_strategy == DAEMON:
        tasks = view.tasks_of_service((service.cluster, service.name))
        what = "one task on each instance" if tasks else ""
        how = "use force"
    else:
        what = f"{service.desired_count} tasks" if service.desired_count else ""
        how = "set desiredCount to 0 with UpdateService first, or use force"
    if what:
        raise Refused(
            "failed_precondition",
            f"service: {service.name} still wants {what}: {how}.",
            reason="InvalidParameterException",
        )


def ending(view: Overlay, key: ServiceKey, context: Context) -> tuple[list[Change], int | None]:
    """Of a service that was deleted: what follows now that its tasks are as they are, and when to look again."""
    service = view.records.get(Service, *key)
    if service is None or service.status == ACTIVE:
        return [], None
    if service.status == DRAINING:
        if view.tasks_of_service(key):
            return [], None
        gone = msgspec.structs.replace(service, status=INACTIVE, deleted_at=context.now)
        return [PutRecord(gone)], context.now + KEPT_MILLIS
    due_at = service.deleted_at + KEPT_MILLIS
    if due_at > context.now:
        return [], due_at
    forgotten = list(_forgotten(view, service))
    rest = len(forgotten) > FORGOTTEN_AT_ONCE
    return [DeleteRecord(*each) for each in forgotten[:FORGOTTEN_AT_ONCE]], context.now if rest else None


def _forgotten(view: Overlay, service: Service) -> Iterator[tuple[type[msgspec.Struct], tuple[str, ...]]]:
    """The service last: until then the rest is still to be found."""
    names = service.cluster, service.name
    for kind in (Deployment, ServiceRevision):
        for record in view.records.of(kind, *names):
            yield kind, key_of(record)
    if view.records.get(ServiceEvents, *names) is not None:
        yield ServiceEvents, names
    yield Service, names
