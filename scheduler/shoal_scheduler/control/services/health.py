"""Whether a service's task is healthy, as ECS counts it. Pure.

    with load balancers    every one of its target groups says so; and its health checks, if it has any
    with health checks     its essential containers are HEALTHY
    with neither           it has been RUNNING for 40 seconds

A task that is neither healthy nor unhealthy is on its way, or nobody knows: it does not count as healthy, and it is no
reason to replace it. So what is lost with a leader, the health of targets, stops nothing.
"""

from shoal_scheduler.control.services.view import ServiceView
from shoal_scheduler.model.task import Task
from shoal_scheduler.model.traffic import HEALTHY, UNHEALTHY, UNUSED

# A task that nothing checks is healthy once it has run so long.
UNCHECKED_MILLIS = 40_000


def is_running(task: Task) -> bool:
    """It runs, and nobody has asked it to stop."""
    return task.last_status == "RUNNING" and task.desired_status == "RUNNING"


def is_healthy(seen: ServiceView, task: Task) -> bool:
    if not is_running(task):
        return False
    containers, targets = _of_containers(seen, task), _of_targets(seen, task)
    if not containers and not targets:
        return seen.now >= task.started_at + UNCHECKED_MILLIS
    return containers <= {"HEALTHY"} and targets <= {HEALTHY}


def is_unhealthy(seen: ServiceView, task: Task) -> bool:
    """Not during the grace period, in which no check counts."""
    return bool(why_unhealthy(seen, task))


def why_unhealthy(seen: ServiceView, task: Task) -> str:
    """As the reason of its end, in ECS's words; "" of a task that is not unhealthy."""
    if not is_running(task) or seen.now < _grace_ends_at(seen, task):
        return ""
    if "UNHEALTHY" in _of_containers(seen, task):
        return "Task failed container health checks"
    for group, health in seen.target_health.get(task.key, {}).items():
        if health.state == UNHEALTHY and group in _groups(seen, task):
            return f"Task failed ELB health checks in (target-group {group})"
    return ""


def health_due_at(seen: ServiceView) -> int | None:
    """When time alone next changes whether one of its tasks is healthy or unhealthy, in milliseconds."""
    moments = [
        moment
        for task in seen.tasks
        if is_running(task)
        for moment in (task.started_at + UNCHECKED_MILLIS, _grace_ends_at(seen, task))
        if moment > seen.now
    ]
    return min(moments, default=None)


def _grace_ends_at(seen: ServiceView, task: Task) -> int:
    return task.started_at + seen.service.grace_seconds * 1000


def _of_containers(seen: ServiceView, task: Task) -> set[str]:
    """What the essential containers that have a health check say."""
    checked = seen.checked.get(task.launch.definition)
    if not checked:
        return set()
    told = {state.name: state.health_status for state in task.containers}
    return {told.get(name) or "UNKNOWN" for name in checked}


def _of_targets(seen: ServiceView, task: Task) -> set[str]:
    """What its target groups say. One to which no rule forwards is none: nobody checks there."""
    if not _groups(seen, task):
        return set()
    known = seen.target_health.get(task.key, {})
    states = {known[group].state if group in known else "" for group in _groups(seen, task)}
    return states - {UNUSED}


def _groups(seen: ServiceView, task: Task) -> set[str]:
    part = task.launch.service
    revision = seen.revisions.get(part.revision) if part else None
    return {each.target_group for each in revision.load_balancers} if revision else set()
