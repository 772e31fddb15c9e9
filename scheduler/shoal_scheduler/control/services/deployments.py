"""How a deployment goes on, one step at a time. Pure.

    PENDING ─> IN_PROGRESS ──────────────────> SUCCESSFUL
                    │ failed, or on request
                    ├─> ROLLBACK_IN_PROGRESS ─> ROLLBACK_SUCCESSFUL | ROLLBACK_FAILED
                    └─> STOPPED

It is successful once as many of its tasks are healthy as are desired, nothing is left of other revisions, and that has
been so for the bake time. It fails by the circuit breaker, by an alarm, or because it got no further for too long:
`progress_minutes` without one more healthy task than ever before, or one fewer of another revision. So each ends within

    (desired + tasks of other revisions + 1) x (progress_minutes + grace period) + bake time

plus the time for which tasks of other revisions are protected and five minutes for each change of the leader, and a
rollback within as much again.

Who lets it fail says whether there is a rollback. There is at most one, to the revision that last did well
(control.services.rollback). Without one nothing more is started of a revision that failed, as with ECS: what runs
stays, of whatever revision, and what ends of it is replaced by tasks of the revision that last did well, if there is
one. Two failures do not stop the service from trying on: that of a rollback, whose revision is known to be good, and
that by time while the circuit breaker is off, because then ECS goes on for ever.

Only the latest deployment is worked at; the one before it ended when that one was made.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from shoal_scheduler.control.services import alarms, circuit_breaker, digests
from shoal_scheduler.control.services.health import is_healthy
from shoal_scheduler.control.services.rollback import good_revision
from shoal_scheduler.control.services.view import ServiceView
from shoal_scheduler.model.service import (
    ACTIVE,
    IN_PROGRESS,
    PENDING,
    ROLLBACK_FAILED,
    ROLLBACK_IN_PROGRESS,
    ROLLBACK_REQUESTED,
    ROLLBACK_SUCCESSFUL,
    STOP_REQUESTED,
    STOPPED,
    SUCCESSFUL,
    Deployment,
    Service,
    ServiceRevision,
)
from shoal_scheduler.model.task import Task

# So long a new leader has no deployment fail for want of progress.
AFTER_ELECTION_MILLIS = 5 * 60_000

NOTHING_TO_GO_BACK_TO = "no earlier deployment of the service was successful, so there is nothing to go back to"


@dataclass(frozen=True, slots=True)
class Progress:
    """What changed; None where nothing did. `due_at`: when to look again, in milliseconds."""

    service: Service | None = None
    deployment: Deployment | None = None
    revision: ServiceRevision | None = None
    events: tuple[str, ...] = ()
    due_at: int | None = None


@dataclass(frozen=True, slots=True)
class _Count:
    """`healthy`: of the revision that the service is to run. `left`: of others, those that are to stop included."""

    healthy: int
    left: int

    # Of those that are left, those that nobody has asked to stop, and until when the last of them is protected.
    staying: int
    protected_until: int


def progress(seen: ServiceView) -> Progress:
    step = _STEPS.get(seen.deployment.status)
    gone = step(seen) if step is not None and seen.service.status == ACTIVE else Progress()
    return replace(gone, revision=digests.resolved(seen))


def _begin(seen: ServiceView) -> Progress:
    rings = bool(alarms.ringing(seen))
    return _as(seen, status=IN_PROGRESS, started_at=seen.now, progressed_at=seen.now, ignores_alarms=rings)


def _stop(seen: ServiceView) -> Progress:
    event = _event(seen, f"deployment stopped: {seen.deployment.reason}")
    return _over(seen, event, status=STOPPED, is_halted=True)


def _go_back(seen: ServiceView) -> Progress:
    """Somebody asked for it."""
    reason = seen.deployment.reason
    return _rolling_back(seen, reason) or _over(
        seen,
        _event(seen, f"deployment stopped: {reason} {NOTHING_TO_GO_BACK_TO}."),
        status=STOPPED,
        reason=f"{reason} {NOTHING_TO_GO_BACK_TO}.",
        is_halted=True,
    )


def _go_on(seen: ServiceView) -> Progress:
    deployment, configuration = seen.deployment, seen.service.configuration
    breaker = configuration.circuit_breaker
    is_resolved = seen.revision.is_resolved
    if circuit_breaker.is_tripped(breaker, deployment.failed_tasks, seen.desired, is_resolved=is_resolved):
        return _fail(seen, _tripped(seen), rolls_back=breaker.rollback)
    ringing = () if deployment.ignores_alarms else alarms.ringing(seen)
    if ringing:
        told = f"alarm detected: {', '.join(ringing)}"
        return _fail(seen, told, rolls_back=configuration.alarms.rollback, triggered_alarms=ringing)
    count = _count(seen)
    noted = _noted(seen, count)
    if _is_reached(seen, count, _deadline(seen, noted, count)):
        return _bake(seen, noted)
    if seen.now < _deadline(seen, noted, count) or count.healthy >= _needed(seen):
        return _waiting(seen, noted, count)  # where all are healthy, the others are stopped in this very look
    return _fail(seen, _stuck(seen, count), rolls_back=breaker.enable and breaker.rollback, is_halted=breaker.enable)


def _bake(seen: ServiceView, noted: Deployment) -> Progress:
    if not noted.healthy_at:
        noted = msgspec.structs.replace(noted, healthy_at=seen.now, updated_at=seen.now)
    ends_at = noted.healthy_at + alarms.bake_millis(seen)
    if seen.now < ends_at:
        return Progress(deployment=_unless_same(seen, noted), due_at=ends_at)
    event = _event(seen, "deployment completed.")
    return _over(replace(seen, deployment=noted), event, status=SUCCESSFUL, reason="")


def _go_on_back(seen: ServiceView) -> Progress:
    breaker, failed = seen.service.configuration.circuit_breaker, seen.deployment.rollback_failed_tasks
    if circuit_breaker.is_tripped(breaker, failed, seen.desired):
        return _rollback_failed(seen, _tripped(seen))
    count = _count(seen)
    noted = _noted(seen, count)
    if _is_reached(seen, count, _deadline(seen, noted, count)):
        event = _event(seen, f"rolled back to revision {seen.revision.id}.")
        return _over(replace(seen, deployment=noted), event, status=ROLLBACK_SUCCESSFUL)
    if seen.now < _deadline(seen, noted, count) or count.healthy >= _needed(seen):
        return _waiting(seen, noted, count)
    return _rollback_failed(seen, _stuck(seen, count))


def _recover(seen: ServiceView) -> Progress:
    """Over stays over; but its revision is known to be good from then on."""
    deployment = seen.deployment
    is_tried = deployment.has_failed and not deployment.is_halted and not deployment.recovered_at
    if not is_tried or not _is_reached(seen, _count(seen), seen.now + 1):
        return Progress()
    event = _event(seen, "all tasks are healthy after all.")
    return replace(_as(seen, recovered_at=seen.now), events=(event,))


def _rollback_failed(seen: ServiceView, why: str) -> Progress:
    event = _event(seen, f"rollback failed: {why}.")
    reason = f"{seen.deployment.reason} The rollback failed: {why}."
    return _over(seen, event, status=ROLLBACK_FAILED, reason=reason, has_failed=True)


def _fail(seen: ServiceView, why: str, *, rolls_back: bool, is_halted: bool = True, **more: Any) -> Progress:
    failed = replace(seen, deployment=msgspec.structs.replace(seen.deployment, **more)) if more else seen
    event, reason = _event(seen, f"deployment failed: {why}."), f"Deployment failed: {why}."
    back = _rolling_back(failed, reason) if rolls_back else None
    if back is not None:
        return replace(back, events=(event, *back.events))
    if rolls_back:
        reason = f"{reason} It is not rolled back: {NOTHING_TO_GO_BACK_TO}."
    return _over(failed, event, status=STOPPED, reason=reason, has_failed=True, is_halted=is_halted)


def _rolling_back(seen: ServiceView, reason: str) -> Progress | None:
    """None if there is nothing to go back to."""
    target = good_revision(seen.deployments, seen.revisions, seen.deployment.revision)
    if not target:
        return None
    begun = _as(
        seen,
        status=ROLLBACK_IN_PROGRESS,
        reason=reason,
        rollback_revision=target,
        rollback_reason=reason,
        rollback_started_at=seen.now,
        start_failures=0,
        retry_at=0,
        healthy_at=0,
        most_healthy=0,
        fewest_left=-1,
        progressed_at=seen.now,
    )
    service = msgspec.structs.replace(seen.service, revision=target, is_steady=False)
    return replace(begun, service=service, events=(_event(seen, f"rolling back to revision {target}."),))


def _count(seen: ServiceView) -> _Count:
    # A daemon on an instance that is drained goes last there: that may take as long as whatever else it has to do.
    left = [task for task in seen.tasks if not seen.is_current(task) and task.instance not in seen.draining_others]
    staying = [task for task in left if task.desired_status == "RUNNING"]
    return _Count(
        healthy=sum(seen.is_current(task) and is_healthy(seen, task) for task in seen.tasks),
        left=len(left),
        staying=len(staying),
        protected_until=max((task.protected_until for task in staying), default=0),
    )


def _noted(seen: ServiceView, count: _Count) -> Deployment:
    """How far it got; the same object where that is no news."""
    deployment = seen.deployment
    has_more = count.healthy > deployment.most_healthy
    has_fewer = count.left < deployment.fewest_left or deployment.fewest_left < 0
    if not (has_more or has_fewer):
        return deployment
    resets = has_more and seen.service.configuration.circuit_breaker.reset_on_healthy_task
    counter = "rollback_failed_tasks" if deployment.status == ROLLBACK_IN_PROGRESS else "failed_tasks"
    return msgspec.structs.replace(
        deployment,
        most_healthy=max(count.healthy, deployment.most_healthy),
        fewest_left=count.left if has_fewer else deployment.fewest_left,
        progressed_at=seen.now,
        updated_at=seen.now,
        **({counter: 0} if resets else {}),
    )


def _is_reached(seen: ServiceView, count: _Count, deadline: int) -> bool:
    """What was told to stop and does not end, as on an instance that is silent, does not make it fail in the end."""
    left = count.left if seen.now < deadline else count.staying
    return count.healthy >= _needed(seen) and not left


def _needed(seen: ServiceView) -> int:
    """So many are to be healthy. No daemon is waited for on an instance whose agent is away; but all seem to be away
    for a while to a new leader."""
    is_known = seen.now >= seen.led_since + AFTER_ELECTION_MILLIS
    return max(min(1, seen.desired), seen.desired - len(seen.away)) if is_known else seen.desired


def _deadline(seen: ServiceView, noted: Deployment, count: _Count) -> int:
    """When it has failed unless it gets further. A task whose checks do not count yet, or that is protected, has its
    time; so has one that dies while it bakes; and so have agents to say what became of their tasks while nobody led."""
    baked_at = noted.healthy_at and noted.healthy_at + alarms.bake_millis(seen)
    patience = seen.service.configuration.progress_minutes * 60_000 + seen.service.grace_seconds * 1000
    ends_at = max(noted.progressed_at, baked_at, count.protected_until) + patience
    return max(ends_at, seen.led_since + AFTER_ELECTION_MILLIS)


def _waiting(seen: ServiceView, noted: Deployment, count: _Count) -> Progress:
    moments = (_deadline(seen, noted, count), seen.led_since + AFTER_ELECTION_MILLIS)
    due_at = min((at for at in moments if at > seen.now), default=None)
    return Progress(deployment=_unless_same(seen, noted), due_at=due_at)


def _unless_same(seen: ServiceView, noted: Deployment) -> Deployment | None:
    return noted if noted is not seen.deployment else None


def _tripped(seen: ServiceView) -> str:
    if not seen.revision.is_resolved:
        return "tasks failed to start, so the digests of its images are not known"
    return "tasks failed to start"


def _stuck(seen: ServiceView, count: _Count) -> str:
    """In such words that somebody knows where to look."""
    current = [task for task in seen.wanted if seen.is_current(task)]
    parts = (
        (_with(current, "PROVISIONING"), "waiting for room"),
        (_with(current, "PENDING") + _with(current, "ACTIVATING"), "starting"),
        (_with(current, "RUNNING") - count.healthy, "running but not healthy"),
        (count.left, "left of other revisions"),
    )
    told = "".join(f", {number} {words}" for number, words in parts if number)
    minutes = seen.service.configuration.progress_minutes
    return f"it got no further for {minutes} minutes: {count.healthy} of {seen.desired} tasks healthy{told}"


def _with(tasks: list[Task], status: str) -> int:
    return sum(task.last_status == status for task in tasks)


def _event(seen: ServiceView, words: str) -> str:
    return f"(service {seen.service.name}) (deployment {seen.deployment.started_by}) {words}"


def _over(seen: ServiceView, event: str, **news: Any) -> Progress:
    return replace(_as(seen, stopped_at=seen.now, **news), events=(event,))


def _as(seen: ServiceView, **news: Any) -> Progress:
    return Progress(deployment=msgspec.structs.replace(seen.deployment, updated_at=seen.now, **news))


_STEPS: Mapping[str, Callable[[ServiceView], Progress]] = {
    PENDING: _begin,
    IN_PROGRESS: _go_on,
    STOP_REQUESTED: _stop,
    ROLLBACK_REQUESTED: _go_back,
    ROLLBACK_IN_PROGRESS: _go_on_back,
    STOPPED: _recover,
}
