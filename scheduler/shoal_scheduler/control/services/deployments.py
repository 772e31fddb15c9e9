"""How a deployment goes on. Pure."""

from dataclasses import dataclass

import msgspec

from shoal_scheduler.control.services.health import is_healthy
from shoal_scheduler.control.services.view import ServiceView
from shoal_scheduler.model.service import IN_PROGRESS, PENDING, SUCCESSFUL, Deployment, Service, ServiceRevision


@dataclass(frozen=True, slots=True)
class Progress:
    """What changed; None where nothing did. `due_at`: when to look again, in milliseconds."""

    service: Service | None = None
    deployment: Deployment | None = None
    revision: ServiceRevision | None = None
    events: tuple[str, ...] = ()
    due_at: int | None = None


def progress(seen: ServiceView) -> Progress:
    """PENDING begins; what is in progress is over once as many healthy tasks as are desired run, and no others."""
    deployment = seen.deployment
    if deployment.status == PENDING:
        return _as(seen, IN_PROGRESS, started_at=seen.now)
    if deployment.status != IN_PROGRESS or len(seen.tasks) != seen.desired:
        return Progress()
    if all(seen.is_current(task) and is_healthy(seen, task) for task in seen.tasks):
        return _as(seen, SUCCESSFUL, stopped_at=seen.now)
    return Progress()


def _as(seen: ServiceView, status: str, **times: int) -> Progress:
    changed = msgspec.structs.replace(seen.deployment, status=status, updated_at=seen.now, **times)
    return Progress(deployment=changed)
