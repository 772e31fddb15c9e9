"""What a task's change does to what is used of its instance. The one place where capacity is taken and given back."""

from shoal_scheduler.model.ask import Resources
from shoal_scheduler.model.candidate import Used
from shoal_scheduler.model.task import Task

NOTHING_USED = Used()


def recounted(used: Used, resources: Resources, before: Task | None, after: Task) -> Used:
    """A task holds its resources from its assignment until it is STOPPED, STOPPING included. It never moves, so
    `before` holds them on the same instance or on none."""
    group = after.launch.group
    if before is not None and holds(before):
        used = used.minus(resources, group, running=before.last_status == "RUNNING")
    if holds(after):
        used = used.plus(resources, group, running=after.last_status == "RUNNING")
    return used


def holds(task: Task) -> bool:
    return bool(task.instance) and not task.is_stopped
