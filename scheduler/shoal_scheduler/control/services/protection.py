"""UpdateTaskProtection: neither a deployment nor a scale-in stops the tasks for a while."""

import msgspec
from shoal import arn

from shoal_scheduler.control import clusters
from shoal_scheduler.control.context import Context, Outcome
from shoal_scheduler.control.services import inputs as i
from shoal_scheduler.model.task import Failure, Task, TaskKey
from shoal_scheduler.state.changes import PutTask
from shoal_scheduler.state.overlay import Overlay

MISSING, NOT_VALID = "MISSING", "TASK_NOT_VALID"
ONLY_SERVICES = "only tasks of services can be protected"


def protect(view: Overlay, request: i.ProtectTasks, context: Context) -> Outcome:
    """Each task on its own: the failures say which were not, and why."""
    clusters.find(view, request.cluster)
    until = context.now + request.minutes * 60_000 if request.minutes else 0
    done, failures = [], []
    for name in request.tasks:
        key = TaskKey.parse(arn.short(name))
        task = view.task(key) if key is not None else None
        if task is None or task.launch.cluster != request.cluster:
            failures.append(Failure(arn=name, reason=MISSING))
        elif why := _why_not(task):
            failures.append(Failure(arn=arn.task_arn(request.cluster, task.id), reason=NOT_VALID, detail=why))
        else:
            done.append(msgspec.structs.replace(task, protected_until=until, version=task.version + 1))
    return Outcome(i.TasksProtected(tuple(done), tuple(failures)), [PutTask(task) for task in done])


def _why_not(task: Task) -> str:
    """Empty if it can be protected."""
    if task.launch.service is None:
        return ONLY_SERVICES
    if task.desired_status != "RUNNING":
        return f"it is {task.last_status} and is to stop"
    return ""
