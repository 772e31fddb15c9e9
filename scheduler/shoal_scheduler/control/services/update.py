"""UpdateService: what is wanted of a service changes. Where what its tasks are made of changes, a deployment begins;
counts, percents, placement, tags and the like just change, and hold for tasks that start from now on."""

from dataclasses import replace
from typing import Any

import msgspec

from shoal_scheduler.control import run_task
from shoal_scheduler.control.context import Context, Outcome
from shoal_scheduler.control.services import consistency, find
from shoal_scheduler.control.services import inputs as i
from shoal_scheduler.control.services.create import check_alarms, check_target_groups
from shoal_scheduler.control.services.new_deployment import begin
from shoal_scheduler.model.refusal import Refused, invalid_field
from shoal_scheduler.model.service import DAEMON, Service, ServiceRevision
from shoal_scheduler.state.overlay import Overlay
from shoal_scheduler.state.records import PutRecord

# Client tokens that a service remembers.
TOKENS_MAX = 10

# Of a revision that is made anew, the same tags may mean other images.
_FRESH: dict[str, Any] = {"id": "", "created_at": 0, "images": (), "is_resolved": False}


def update(view: Overlay, request: i.UpdateService, context: Context) -> Outcome:
    service = find.active_service(view.records, request.cluster, request.name)
    if _is_repeated(service, request):
        return Outcome(service)
    request = _with_fixed_definition(view, request)
    changed = _changed(service, request)
    before = find.revision(view.records, service, service.revision)
    revision = _revision(view, service, before, request)
    if changed == service and revision == before and not request.is_forced:
        return Outcome(service)
    consistency.check(changed)
    # Only what is new: an alarm that was deleted since must not keep a service from being scaled.
    if revision != before:
        check_target_groups(view, revision)
    if changed.configuration.alarms != service.configuration.alarms:
        check_alarms(view, changed)
    if request.client_token:
        updates = (*service.updates, (request.client_token, request.request_digest))[-TOKENS_MAX:]
        changed = msgspec.structs.replace(changed, updates=updates)
    changed = msgspec.structs.replace(changed, version=service.version + 1)
    if revision != before or request.is_forced:
        return Outcome(*begin(view, changed, revision, context, is_forced=request.is_forced))
    if changed.desired_count != service.desired_count:
        changed = msgspec.structs.replace(changed, is_steady=False)
    return Outcome(changed, [PutRecord(changed)])


def _is_repeated(service: Service, request: i.UpdateService) -> bool:
    for token, digest in service.updates:
        if token == request.client_token:
            if digest != request.request_digest:
                raise Refused("conflict", "clientToken: it was used for a different request. Use a new token for each.")
            return True
    return False


def _with_fixed_definition(view: Overlay, request: i.UpdateService) -> i.UpdateService:
    """With the revision's number, which must be ACTIVE."""
    if "definition" not in request.revision:
        return request
    definition = run_task.active_definition(view, request.revision["definition"])
    return replace(request, revision={**request.revision, "definition": definition.name})


def _changed(service: Service, request: i.UpdateService) -> Service:
    if service.scheduling_strategy == DAEMON and "desired_count" in request.service:
        raise invalid_field("desiredCount", "a DAEMON service has one task on each instance; leave it out.")
    configuration = msgspec.structs.replace(service.configuration, **request.configuration)
    return msgspec.structs.replace(service, **request.service, configuration=configuration)


def _revision(view: Overlay, service: Service, before: ServiceRevision, request: i.UpdateService) -> ServiceRevision:
    """What the tasks are to be: `before` itself if that stays as it is."""
    if request.back_to:
        return find.revision(view.records, service, request.back_to)
    revision = msgspec.structs.replace(before, **request.revision)
    if revision == before and not request.is_forced:
        return before
    return msgspec.structs.replace(revision, **_FRESH)
