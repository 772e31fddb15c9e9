"""Deployments of a service that are over are kept by time and by count, then dropped, the oldest first; and so are
revisions that nothing names any more. Pure.

Kept in any case: the latest, those whose tasks still are, and those to which the service would go back.
"""

from collections.abc import Collection, Iterator, Sequence

from shoal_scheduler.control.context import Context
from shoal_scheduler.control.services.rollback import good_revision
from shoal_scheduler.model.service import Deployment, Service, ServiceRevision
from shoal_scheduler.model.task import Task
from shoal_scheduler.state.records import DeleteRecord, key_of
from shoal_scheduler.state.service_tables import ServiceKey
from shoal_scheduler.state.tables import Tables

# Looked at in one step, from one of them on that is drawn.
SERVICES_PER_STEP = 50

# If the last good revision is the one that runs, the one before it is where a failure would lead.
GOOD_KEPT = 2


def expired(tables: Tables, context: Context, most: int) -> list[DeleteRecord]:
    """At most so many."""
    services = list(tables.records.all(Service))
    if not services or not most:
        return []
    start = context.rng.randrange(len(services))
    found: list[DeleteRecord] = []
    for service in [*services[start:], *services[:start]][:SERVICES_PER_STEP]:
        found += _of_service(tables, service, context)
        if len(found) >= most:
            break
    return found[:most]


def _of_service(tables: Tables, service: Service, context: Context) -> Iterator[DeleteRecord]:
    names = service.cluster, service.name
    deployments, revisions = tables.records.of(Deployment, *names), tables.records.of(ServiceRevision, *names)
    past = _past(service, deployments, {each.id for each in revisions}, context)
    kept = {each.id for each in deployments} - {each.id for each in past}
    unnamed = _unnamed(service, [each for each in deployments if each.id in kept], revisions)
    if not past and not unnamed:
        return
    parts = [task.launch.service for task in _live(tables, names) if task.launch.service is not None]
    for deployment in past:
        if all(part.deployment != deployment.id for part in parts):
            yield DeleteRecord(Deployment, key_of(deployment))
    for revision in unnamed:
        if all(part.revision != revision.id for part in parts):
            yield DeleteRecord(ServiceRevision, key_of(revision))


def _past(
    service: Service, deployments: Sequence[Deployment], revisions: Collection[str], context: Context
) -> list[Deployment]:
    """Deployments that are old enough, the oldest first."""
    newest = sorted(deployments, key=lambda each: (each.created_at, each.id), reverse=True)
    oldest_kept = context.now - context.limits.deployments_keep_seconds * 1000
    past = [
        each
        for number, each in enumerate(newest)
        if each.is_over and (number >= context.limits.deployments_max or each.stopped_at < oldest_kept)
    ]
    needed = {service.deployment, *_to_go_back_to(newest, revisions)} if past else ()
    return [each for each in reversed(past) if each.id not in needed]


def _to_go_back_to(newest: Sequence[Deployment], revisions: Collection[str]) -> Iterator[str]:
    """Deployments by which the last good revisions are known to be that."""
    left = set(revisions)
    for _ in range(GOOD_KEPT):
        good = good_revision(newest, left, "")
        left.discard(good)
        yield from [each.id for each in newest if good and each.vouches_for == good][:1]


def _unnamed(
    service: Service, deployments: Sequence[Deployment], revisions: Sequence[ServiceRevision]
) -> list[ServiceRevision]:
    named = {service.revision}
    for deployment in deployments:
        named |= {deployment.revision, deployment.rollback_revision, *deployment.sources}
    return [each for each in revisions if each.id not in named]


def _live(tables: Tables, service: ServiceKey) -> list[Task]:
    found = (tables.task(key) for key in tables.services.live.get(service, ()))
    return [task for task in found if task is not None]
