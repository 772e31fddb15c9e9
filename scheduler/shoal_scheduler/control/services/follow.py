"""What becomes of a service's task and means something for its deployment, in the same step: what the circuit breaker
and the throttle count must not be forgotten, whoever leads.

A task has failed if it ended by itself, before it was RUNNING or after, or because its health checks failed. One that
was to end anyway, that somebody stopped, or that went with its instance says nothing of what it ran. Only tasks count
that the latest deployment started, of the revision that it leads to at the moment.
"""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
from shoal.interruption import is_interrupted

from shoal_scheduler.control.context import Context
from shoal_scheduler.control.host_loss import HOST_LOST
from shoal_scheduler.control.services.reconcile import SERVICE_SCHEDULER
from shoal_scheduler.control.tasks import USER_INITIATED
from shoal_scheduler.model.service import ROLLBACK_IN_PROGRESS, Deployment, Service
from shoal_scheduler.model.task import Task
from shoal_scheduler.state.changes import Change, PutTask
from shoal_scheduler.state.overlay import Overlay
from shoal_scheduler.state.records import PutRecord

# What the end of one task of a service touches: its deployment.
KEYS_PER_END = 1

# They say nothing of what the task ran.
_OF_THE_INSTANCE = (HOST_LOST, "InfrastructureHealth")

# How the reason of a task begins that the service stopped for its health: see control.services.health.
FAILED_HEALTH_CHECKS = "Task failed "

# What ended with its instance before it ran says nothing of itself either, and still is not tried again at once: where
# an instance takes tasks and ends them, tries without end would come one after another.
PAUSE_MILLIS = 1_000

# Between two tries to start tasks: none after the first that failed, then this, doubled each time, to ECS's most.
RETRY_SECONDS_MIN, RETRY_SECONDS_MAX = 5, 15 * 60


class Turn(NamedTuple):
    """A task of a service before and after it began to run, or ended."""

    before: Task
    task: Task


def turning_now(view: Overlay, changes: Sequence[Change]) -> list[Turn]:
    """Tasks of services that begin to run or end by these changes. `view` does not know the changes yet."""
    found = []
    for change in changes:
        if isinstance(change, PutTask) and change.task.launch.service is not None:
            before = view.task(change.task.key)
            if before is not None and not before.is_stopped and _turns(before, change.task):
                found.append(Turn(before, change.task))
    return found


def turned(view: Overlay, turns: Sequence[Turn], context: Context) -> None:
    """Proposes what it means that these tasks run or are over, which `view` knows now."""
    for turn in turns:
        deployment = _deployment(view, turn.task)
        if deployment is None:
            continue
        counted = _counted(deployment, turn, context.now)
        if counted != deployment:
            view.propose([PutRecord(msgspec.structs.replace(counted, updated_at=context.now))])


def _turns(before: Task, after: Task) -> bool:
    return after.is_stopped or (has_run(after) and not has_run(before))


def has_run(task: Task) -> bool:
    """It is RUNNING, or was."""
    return bool(task.started_at) or task.last_status == "RUNNING"


def _deployment(view: Overlay, task: Task) -> Deployment | None:
    """Its service's latest, if the task is what that starts at the moment."""
    part = task.launch.service
    service = view.records.get(Service, task.launch.cluster, part.service) if part is not None else None
    if part is None or service is None or part.deployment != service.deployment:
        return None
    deployment = view.records.get(Deployment, service.cluster, service.name, service.deployment)
    if deployment is None:
        return None
    is_started = part.revision != deployment.revision if deployment.is_halted else part.revision == service.revision
    return deployment if is_started else None


def _counted(deployment: Deployment, turn: Turn, now: int) -> Deployment:
    if not turn.task.is_stopped:
        return msgspec.structs.replace(deployment, start_failures=0, retry_at=0, paused_until=0)
    if not has_failed(turn.task):
        return _paused(deployment, turn.task, now)
    deployment = _throttled(deployment, turn.task, now)
    if deployment.is_over:
        return deployment
    if deployment.status == ROLLBACK_IN_PROGRESS:
        return msgspec.structs.replace(deployment, rollback_failed_tasks=deployment.rollback_failed_tasks + 1)
    return msgspec.structs.replace(deployment, failed_tasks=deployment.failed_tasks + 1)


def has_failed(task: Task) -> bool:
    """Of one that ended."""
    if task.stop_code == SERVICE_SCHEDULER:
        return task.stopped_reason.startswith(FAILED_HEALTH_CHECKS)
    return not (task.stop_code in (USER_INITIATED, *_OF_THE_INSTANCE) or is_interrupted(task.stop_code))


def retry_millis(failures: int) -> int:
    """How long to wait after so many tries in a row that failed.

    >>> [retry_millis(failures) // 1000 for failures in (1, 2, 3, 9, 10)]
    [0, 5, 10, 640, 900]
    """
    if failures < 2:
        return 0
    return min(RETRY_SECONDS_MIN << min(failures - 2, 16), RETRY_SECONDS_MAX) * 1000


def _paused(deployment: Deployment, task: Task, now: int) -> Deployment:
    is_by_instance = task.stop_code in _OF_THE_INSTANCE or is_interrupted(task.stop_code)
    if has_run(task) or not is_by_instance:
        return deployment
    return msgspec.structs.replace(deployment, paused_until=now + PAUSE_MILLIS)


def _throttled(deployment: Deployment, task: Task, now: int) -> Deployment:
    """Tasks that were started together count once."""
    if has_run(task) or task.launch.created_at < deployment.retry_at:
        return deployment
    failures = deployment.start_failures + 1
    return msgspec.structs.replace(deployment, start_failures=failures, retry_at=now + retry_millis(failures))
