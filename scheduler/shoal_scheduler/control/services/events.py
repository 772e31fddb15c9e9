"""What a service says of itself, in ECS's words. Pure."""

import re
from collections.abc import Sequence

from shoal_scheduler.control.context import Context
from shoal_scheduler.model.service import EVENTS_MAX, ServiceEvent, ServiceEvents
from shoal_scheduler.model.task import Task

# Of the tasks of one event.
TASKS_NAMED_MAX = 10

STEADY = "has reached a steady state."
THROTTLED = "is unable to consistently start tasks successfully."
STUCK = (
    "was unable to stop or start tasks during a deployment because of the service deployment configuration. Update the"
    " minimumHealthyPercent or maximumPercent value and try again."
)
UNPLACED = "was unable to place a task because no container instance met all of its requirements."
HALTED = "starts no more tasks, because its deployment failed or was stopped: deploy anew, or roll back."
_ONCE = (UNPLACED, STUCK, THROTTLED, HALTED)
_FIGURES = re.compile(r"\d+|;.*")


def of(service: str, words: str) -> str:
    return f"(service {service}) {words}"


def started(service: str, tasks: Sequence[Task]) -> str:
    return of(service, f"has started {len(tasks)} tasks: {_named(tasks)}.")


def stopped(service: str, tasks: Sequence[Task]) -> str:
    return of(service, f"has stopped {len(tasks)} running tasks: {_named(tasks)}.")


def draining(service: str, tasks: Sequence[Task]) -> str:
    return of(service, f"has begun draining connections on {len(tasks)} tasks.")


def unhealthy(service: str, task: Task, reason: str) -> str:
    return of(service, f"(task {task.id}) is unhealthy: {reason}.")


def unplaced(service: str, reason: str) -> str:
    return of(service, f"{UNPLACED} Reason: {reason}.")


def added(known: ServiceEvents, messages: Sequence[str], context: Context) -> ServiceEvents:
    """With these; the same object if none of them is new. What may stay true for long is said once, until the service
    was steady again."""
    events = list(known.events)
    for message in messages:
        lasts = any(words in message for words in _ONCE)
        if not (lasts and _is_said(events, message)):
            events.append(ServiceEvent(context.ids.job_id(), context.now, message))
    if len(events) == len(known.events):
        return known
    kept = tuple(events[-EVENTS_MAX:])
    return ServiceEvents(
        cluster=known.cluster, service=known.service, events=kept, added=min(len(events) - len(known.events), len(kept))
    )


def _is_said(events: Sequence[ServiceEvent], message: str) -> bool:
    """Since it was steady: for the same reasons, whatever the figures."""
    for event in reversed(events):
        if event.message.endswith(STEADY):
            return False
        if _FIGURES.sub("", event.message) == _FIGURES.sub("", message):
            return True
    return False


def _named(tasks: Sequence[Task]) -> str:
    named = " ".join(f"(task {task.id})" for task in tasks[:TASKS_NAMED_MAX])
    more = len(tasks) - TASKS_NAMED_MAX
    return f"{named} and {more} more" if more > 0 else named
