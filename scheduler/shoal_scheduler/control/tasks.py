"""The life of tasks: what users ask of them and what agents report of them."""

import msgspec
from shoal import arn, lifecycle
from shoal.interruption import is_interrupted

from shoal_scheduler.control import clusters, host_loss
from shoal_scheduler.control import inputs as i
from shoal_scheduler.control.context import Context, Outcome
from shoal_scheduler.control.services.drain import is_to_drain
from shoal_scheduler.model.refusal import Refused
from shoal_scheduler.model.task import Task, TaskKey
from shoal_scheduler.state import changes as c
from shoal_scheduler.state.overlay import Overlay

USER_INITIATED = "UserInitiated"


def stop(view: Overlay, request: i.StopTask, context: Context) -> Outcome:
    """The agent carries it out; a task that waits for room is stopped at once. A second time changes nothing. What is
    to stop because its host goes is not replaced any more."""
    clusters.find(view, request.cluster)
    task = find(view, request.cluster, request.task)
    reason = request.reason or "Task stopped by user"
    stopped = stopping(task, USER_INITIATED, reason, context.now)
    if is_interrupted(task.stop_code) and not task.is_stopped:
        both = f"{reason}; it was being stopped: {task.stopped_reason}"
        stopped = msgspec.structs.replace(task, stop_code=USER_INITIATED, stopped_reason=both, version=task.version + 1)
    return Outcome(stopped, [c.PutTask(stopped)] if stopped is not task else [])


def stopping(task: Task, stop_code: str, reason: str, now: int) -> Task:
    """The task with the wish that it end. The first reason stays. What requests reach is out of the load balancer
    before it is told: see control.services.drain."""
    if task.desired_status == "STOPPED":
        return task
    wished = msgspec.structs.replace(
        task,
        last_status="DEACTIVATING" if is_to_drain(task) else task.last_status,
        desired_status="STOPPED",
        stop_code=stop_code,
        stopped_reason=reason,
        stopping_at=now,
        version=task.version + 1,
    )
    return wished if task.instance else over(wished, stop_code, reason, now)


def over(task: Task, stop_code: str, reason: str, now: int) -> Task:
    """The task as STOPPED. A code and a reason it already has are kept: they came first."""
    return msgspec.structs.replace(
        task,
        last_status="STOPPED",
        desired_status="STOPPED",
        stop_code=task.stop_code or stop_code,
        stopped_reason=task.stopped_reason or reason,
        stopping_at=task.stopping_at or now,
        stopped_at=now,
        version=task.version + 1,
    )


def find(view: Overlay, cluster: str, name: str) -> Task:
    """By id or ARN. Raises Refused."""
    key = TaskKey.parse(arn.short(name))
    task = view.task(key) if key else None
    if task is None or task.launch.cluster != cluster:
        raise Refused(
            "not_found",
            f"task: there is no task {name!r} in cluster {cluster!r}. List them with ListTasks.",
            reason="InvalidParameterException",
        )
    return task


def report(view: Overlay, request: i.TaskReport, context: Context) -> Outcome:
    """An agent speaks only for tasks assigned to its instance; statuses only move forward; STOPPED is final.

    So a report that comes twice, late or out of order changes nothing. Nor does one of a session that was taken
    over: the session that is open begins with all there is to say. What an agent has ended because no scheduler heard
    it is replaced, as if it had been found lost from here.
    """
    if view.session(request.instance) != request.incarnation:
        return Outcome(i.Verdict(known=True))
    key = TaskKey.parse(request.task)
    task = view.task(key) if key else None
    if task is None or not task.instance or task.instance != request.instance:
        return Outcome(i.Verdict(known=False))
    seen = task if task.is_stopped else _seen(task, request, context.now)
    if seen is task:
        return Outcome(i.Verdict(known=True))
    heir = host_loss.replacing(task, context) if host_loss.was_ended_in_time(task, seen) else ()
    return Outcome(i.Verdict(known=True), [c.PutTask(seen), *heir])


def _seen(task: Task, request: i.TaskReport, now: int) -> Task:
    """The task with what the report says; the same object if it says nothing new."""
    if lifecycle.RANK[request.last_status] < lifecycle.RANK[task.last_status]:
        return task
    news = {
        "last_status": request.last_status,
        "containers": request.containers or task.containers,
        "pull_started_at": request.pull_started_at or task.pull_started_at,
        "pull_stopped_at": request.pull_stopped_at or task.pull_stopped_at,
        "started_at": task.started_at or min(request.started_at, now),  # its host's clock may be ahead
        "execution_stopped_at": request.execution_stopped_at or task.execution_stopped_at,
    }
    if all(getattr(task, name) == value for name, value in news.items()):
        return task
    seen = msgspec.structs.replace(task, **news)
    if request.last_status == "STOPPED":
        return over(_as_it_ended(seen, request), request.stop_code, request.stopped_reason, now)
    return msgspec.structs.replace(seen, version=task.version + 1)


def _as_it_ended(task: Task, request: i.TaskReport) -> Task:
    """What ended by its own doing, before its agent heard that the host goes, has run to its end: so it is told, and
    nothing takes its place."""
    if not is_interrupted(task.stop_code) or not request.stop_code or is_interrupted(request.stop_code):
        return task
    return msgspec.structs.replace(task, stop_code=request.stop_code, stopped_reason=request.stopped_reason)
