"""The beginning of a deployment: the service moves to a revision from now on, and what was under way is given up."""

import msgspec

from shoal_scheduler.control.context import Context
from shoal_scheduler.model.service import STOPPED, Deployment, Service, ServiceRevision
from shoal_scheduler.state.changes import Change
from shoal_scheduler.state.overlay import Overlay
from shoal_scheduler.state.records import PutRecord

SUPERSEDED = "A newer deployment of the service took its place."


def begin(
    view: Overlay, service: Service, revision: ServiceRevision, context: Context, *, is_forced: bool = False
) -> tuple[Service, list[Change]]:
    """`service` as it is to be. `revision`: a new one (without an id), or one that it had."""
    if not revision.id:
        revision = msgspec.structs.replace(revision, id=context.ids.launch_id(), created_at=context.now)
    deployment = Deployment(
        cluster=service.cluster,
        service=service.name,
        id=context.ids.launch_id(),
        revision=revision.id,
        sources=_sources(view, service, revision.id),
        created_at=context.now,
        updated_at=context.now,
        is_forced=is_forced,
    )
    before = view.records.get(Deployment, service.cluster, service.name, service.deployment)
    moved = msgspec.structs.replace(service, revision=revision.id, deployment=deployment.id, is_steady=False)
    changes: list[Change] = [PutRecord(moved), PutRecord(revision), PutRecord(deployment)]
    if before is not None and not before.is_over:
        changes.append(PutRecord(_given_up(before, context.now)))
    return moved, changes


def _sources(view: Overlay, service: Service, target: str) -> tuple[str, ...]:
    """Revisions that its tasks are of, the newest first."""
    running = {
        task.launch.service.revision
        for task in view.tasks_of_service((service.cluster, service.name))
        if task.launch.service is not None
    }
    known = {each.id: each for each in view.records.of(ServiceRevision, service.cluster, service.name)}
    found = [known[name] for name in {*running, service.revision} - {target} if name in known]
    return tuple(each.id for each in sorted(found, key=lambda each: (each.created_at, each.id), reverse=True))


def _given_up(deployment: Deployment, now: int) -> Deployment:
    return msgspec.structs.replace(deployment, status=STOPPED, reason=SUPERSEDED, stopped_at=now, updated_at=now)
