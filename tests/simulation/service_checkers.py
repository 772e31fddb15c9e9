"""What must hold of services, each a function named for what it says: the first fault in words, or None. Pure.

What faults take away counts for nobody: what is asked is what the scheduler itself starts and stops, at the moment it
is stored, counted from the records as they are then.
"""

from collections.abc import Mapping, Sequence
from math import ceil, floor

from shoal.interruption import STOP_CODES
from shoal_scheduler.model.definition import Definition
from shoal_scheduler.model.service import OVER, Deployment, Service
from shoal_scheduler.model.task import Launch, Task
from shoal_scheduler.state.tables import Tables

Fault = str | None

SERVICE_SCHEDULER = "ServiceSchedulerInitiated"

# A task that nothing checks is healthy once it has run so long.
UNCHECKED_MILLIS = 40_000

FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 5.0, 900.0


def is_wanted(task: Task) -> bool:
    return task.desired_status == "RUNNING" and not task.is_stopped


def is_healthy(task: Task, definition: Definition, targets: Sequence[str], now: int) -> bool:
    """`targets`: what is said of it in each of its target groups. Told again from ECS's words, not from the
    scheduler's."""
    if not (is_wanted(task) and task.last_status == "RUNNING"):
        return False
    checked = [container["name"] for container in definition.containers if container.get("healthCheck")]
    if not checked and not targets:
        return now - task.started_at >= UNCHECKED_MILLIS
    is_well = all(state.health_status == "HEALTHY" for state in task.containers if state.name in checked)
    return is_well and all(state == "healthy" for state in targets)


def is_to_leave(task: Task, statuses: Mapping[str, str]) -> bool:
    """Its host takes no tasks any more."""
    return statuses.get(task.instance, "ACTIVE") != "ACTIVE"


def has_failed(task: Task) -> bool:
    """Of one that ended: by itself, or for its health."""
    for_its_health = task.stop_code == SERVICE_SCHEDULER and task.stopped_reason.startswith("Task failed ")
    return for_its_health or task.stop_code in ("EssentialContainerExited", "TaskFailedToStart")


def is_given_up(service: Service, deployment: Deployment) -> bool:
    """Whether the circuit breaker is to end it. Users count."""
    breaker = service.configuration.circuit_breaker
    return breaker.enable and deployment.status == "IN_PROGRESS" and deployment.failed_tasks >= breaker.threshold_value


def minimum(service: Service, desired: int) -> int:
    return ceil(desired * service.configuration.minimum_healthy_percent / 100)


def maximum(service: Service, desired: int) -> int:
    return floor(desired * service.configuration.maximum_percent / 100)


def is_sick(task: Task) -> bool:
    return any(state.health_status == "UNHEALTHY" for state in task.containers)


# At the moment a step is stored.


def the_scheduler_keeps_the_minimum(task: Task, name: str, healthy_left: int, least: int) -> Fault:
    """It stops no healthy task if fewer than the minimum are left."""
    if healthy_left < least:
        return f"healthy task {task.id} of {name} is stopped ({task.stopped_reason}): {healthy_left} left of {least}"
    return None


def the_maximum_holds(name: str, wanted: int, most: int) -> Fault:
    """Whenever the scheduler starts one."""
    return f"{name} starts a task, and {wanted} are wanted of {most} at most" if wanted > most else None


def what_is_good_is_not_stopped(task: Task, name: str, left: int, desired: int) -> Fault:
    """A healthy task of the revision that the service is to run, as of the one it goes back to, on a host that takes
    tasks: unless there are more than are desired."""
    if left < desired:
        return f"{task.id} is healthy, of the revision that {name} is to run, and is stopped: {task.stopped_reason}"
    return None


def protected_is_not_stopped(task: Task, name: str, now: int) -> Fault:
    if task.protected_until > now:
        left = (task.protected_until - now) / 1000
        return f"task {task.id} of {name} is protected for {left:.0f} s more, and is stopped: {task.stopped_reason}"
    return None


def what_is_deleted_starts_nothing(launch: Launch, service: Service | None) -> Fault:
    if service is None or service.status != "ACTIVE":
        return f"{launch.id} starts {launch.count} tasks of a service that is deleted"
    return None


def starts_what_is_wanted(launch: Launch, service: Service, deployment: Deployment | None) -> Fault:
    part = launch.service
    # Of what was given up nothing starts any more: only what did well before.
    is_halted = deployment is not None and deployment.is_halted
    is_wanted = part is not None and (part.revision == service.revision) != is_halted
    if part is None or not is_wanted or part.deployment != service.deployment:
        return f"launch {launch.id} of {service.name} is {part}, wanted is {service.revision}, {service.deployment}"
    if deployment is None or launch.started_by != deployment.started_by or launch.group != f"service:{service.name}":
        return f"launch {launch.id} of {service.name} was started by {launch.started_by} in group {launch.group}"
    return None


def one_digest_at_the_time(launch: Launch, is_resolved: bool, wanted: int) -> Fault:
    """As long as nobody knows which bytes a revision is, one task of it is to tell."""
    if not is_resolved and wanted > 1:
        return f"launch {launch.id} makes {wanted} tasks of a revision of which nobody knows the digest"
    return None


def no_more_start_than_are_missing(launch: Launch, name: str, kept: int, desired: int) -> Fault:
    """`kept`: tasks of the revision that the service is to run which are well, or on their way, and may stay."""
    return (
        f"launch {launch.id} makes {kept} tasks of {name}, of which {desired} are desired" if kept > desired else None
    )


def who_fails_waits(launch: Launch, retry_at: int, now: int) -> Fault:
    if now < retry_at:
        return f"launch {launch.id} comes {(retry_at - now) / 1000:.1f} s before its deployment tries again"
    return None


def failures_slow_down(launch: Launch, failures: int, since_seconds: float) -> Fault:
    """`failures`: starts in a row that failed, counted from the tasks. The first is repeated at once; then the time
    doubles, up to 15 minutes."""
    least = 0.0 if failures < 2 else min(FIRST_WAIT_SECONDS * 2 ** (failures - 2), LONGEST_WAIT_SECONDS)
    if since_seconds < least:
        return f"launch {launch.id} comes {since_seconds:.1f} s after start {failures} in a row has failed"
    return None


def what_is_over_stays_so(deployment: Deployment, before: Deployment | None) -> Fault:
    if before is not None and before.status in OVER and deployment.status != before.status:
        return f"deployment {deployment.id} was {before.status} and is {deployment.status}"
    return None


def failures_are_counted(deployment: Deployment, failed: int) -> Fault:
    """`failed`: tasks that ended by themselves or for their health, since the count last began anew."""
    if deployment.failed_tasks != failed:
        return f"deployment {deployment.id} has {deployment.failed_tasks} failed tasks; {failed} have failed"
    return None


def one_deployment_is_under_way(name: str, under_way: Sequence[str]) -> Fault:
    return f"of {name} {len(under_way)} deployments are under way: {under_way}" if len(under_way) > 1 else None


def requests_are_answered_first(task: Task, before: Task, delay_millis: int, now: int) -> Fault:
    """A target that is to stop is out of the load balancer for so long before its agent is told. Not one whose
    containers have ended by themselves."""
    if before.last_status == task.last_status == "RUNNING" and is_wanted(before) and not is_wanted(task):
        return f"target {task.id} is to stop, and is RUNNING: its agent is told at once"
    has_ended = any(state.last_status == "STOPPED" for state in task.containers)
    goes = task.stop_code in STOP_CODES.values()  # its host does, whose agent does not wait
    is_told = before.last_status == "DEACTIVATING" and task.last_status == "STOPPING" and not (has_ended or goes)
    if is_told and now < task.stopping_at + delay_millis:
        return f"target {task.id} is told to stop {(now - task.stopping_at) / 1000:.1f} s after it was to"
    return None


def what_drains_runs_on(box_id: str, task: Task) -> Fault:
    if task.last_status == "DEACTIVATING" and task.stop_code not in STOP_CODES.values():
        return f"{box_id} of task {task.id} is ended by its agent while it drains"
    return None


def an_end_has_a_reason(task: Task) -> Fault:
    if task.is_stopped and not (task.stop_code and task.stopped_reason):
        return f"task {task.id} is STOPPED, and nobody says why: {task.stop_code!r}, {task.stopped_reason!r}"
    return None


def nothing_comes_to_who_is_drained(task: Task, statuses: Mapping[str, str]) -> Fault:
    if task.instance and is_to_leave(task, statuses):
        return f"task {task.id} is placed on {task.instance}, which takes no tasks"
    return None


# When a container starts.


def one_digest_per_revision(revision: str, container: str, digest: str, before: str) -> Fault:
    """Of all tasks that ever ran."""
    if digest != before:
        return f"{container} of revision {revision} runs {digest[:15]}, and ran {before[:15]}"
    return None


# While time goes by.


def what_is_missing_starts_in_time(name: str, missing: int, seconds: float, bound: float) -> Fault:
    return f"{name} lacks {missing} tasks for {seconds:.1f} s, and none is started" if seconds > bound else None


def who_failed_too_often_is_given_up(deployment: str, seconds: float, bound: float) -> Fault:
    if seconds > bound:
        return f"deployment {deployment} has failed too often {seconds:.1f} s ago, and goes on"
    return None


def what_is_dead_is_told(task: str, seconds: float, bound: float) -> Fault:
    return f"task {task} is dead for {seconds:.1f} s, and is not replaced" if seconds > bound else None


# At the end.


def still_to_do(service: Service, deployment: Deployment | None, wanted: Sequence[Task], desired: int) -> Fault:
    """Of a service whose image is good."""
    if deployment is not None and deployment.status not in OVER:
        return f"deployment {deployment.id} of {service.name} is {deployment.status}"
    running = [task for task in wanted if task.last_status == "RUNNING" and not is_sick(task)]
    current = [task for task in running if task.launch.service and task.launch.service.revision == service.revision]
    if len(current) != desired or len(wanted) != desired:
        return f"{service.name} runs {len(current)} of {desired} that are well, {len(wanted)} are wanted"
    return None


def services_are_what_the_store_holds(tables: Tables, stored: Tables) -> Fault:
    if tables.records != stored.records:
        return "records of the tables and of the store differ"
    mine, theirs = ({name: set(tasks) for name, tasks in each.services.live.items()} for each in (tables, stored))
    return f"live tasks of services: {mine} in the tables, {theirs} in the store" if mine != theirs else None
