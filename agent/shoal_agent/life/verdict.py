"""What became of a task, in ECS's words: status, stop code, reasons, and which exit codes can be believed. Pure.

Exit codes around a restart of the engine (Docker 20.10, observed): an engine that was killed and comes back
either adopts what runs (live-restore), or first ends it with SIGTERM, ten seconds, SIGKILL, before it answers
anybody; and what vanished with the whole host it calls ended with 255, at the moment of its return. A container
that ended by itself while the engine was down keeps its real code: its shim remembers it. Hence
`exit_code_known`.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Literal

from shoal.lifecycle import RANK

from shoal_agent.definition import sandbox
from shoal_agent.engine.port import Inspected
from shoal_agent.life import dependencies
from shoal_agent.task import EXITED, RUNNING, ContainerPlan, ContainerReport, Ending, Report, Seen, Task, View

ESSENTIAL_EXITED = "Essential container in task exited"
OUT_OF_MEMORY = "OutOfMemoryError: Container killed due to memory usage"
ENGINE_WENT_AWAY = (
    "The container engine went away and the container ended with it or as it came back; its exit code is unknown"
)
CONTAINER_MISSING = "The container is missing: something else than this agent removed it; its exit code is unknown"
FORGOTTEN = "The task was being stopped when the agent lost its record of why"

# Of these another one starts elsewhere, once this host must have ended its own.
ENDED_WITHOUT_SCHEDULER = ("stop", "exclusive")
HOST_LOST = "HostLost"
NO_SCHEDULER = "No scheduler has heard this instance for the session deadline, so the task was ended here"

# How the engine begins to tell that a container cannot be started for what it needs, not for what it is.
_LACKS = ("failed to initialize logging driver",)

# SIGKILL, SIGTERM, and the engine's word for "I do not know": says that something ended it, not what it answered.
_CODES_OF_A_KILL = (137, 143, 255)


def failure(container: str, verb: Literal["Create", "Start"], reason: str, *, lacking: bool = False) -> str:
    """Why a container cannot be had, in ECS's words. What it or the task needs and is not to be had, as a network or
    a place for its logs, is a resource.

    >>> failure("web", "Start", "no such program"), failure("web", "Create", "no such file", lacking=True)
    ('CannotStartContainerError: no such program', 'ResourceInitializationError: no such file')
    """
    is_resource = lacking or container == sandbox.PAUSE or any(words in reason for words in _LACKS)
    return f"{'ResourceInitializationError' if is_resource else f'Cannot{verb}ContainerError'}: {reason}"


@dataclass(frozen=True, slots=True)
class EngineStart:
    """`ready_at`: when the engine had dealt with what it found at its start (milliseconds; None: it does not say).
    `ended`: ids of containers it sent a signal to before that."""

    ready_at: int | None = None
    ended: Collection[str] = ()


def exit_code_known(found: Inspected, start: EngineStart) -> bool:
    """False if the code an ended container shows may be the work of the engine's own return.

    What ended after the engine was ready ended under its eyes. What the engine itself signalled on its way up did
    not end by its own will, whatever it answered. For the rest a code that only a kill gives is not believed.
    """
    if found.container_id in start.ended:
        return False
    if start.ready_at is None or (found.finished_at or 0) > start.ready_at:
        return True
    return found.oom_killed or found.exit_code not in _CODES_OF_A_KILL


def ending(task: Task, view: View) -> Ending | None:
    """Why this task ends, if it does: what was decided or asked for first, then what went wrong, then what happened.

    An end that was seen has happened, whatever has become unclear since.
    """
    if task.ending is not None:
        return task.ending
    if task.desired_status == "STOPPED":
        return Ending(task.stop_code, task.stopped_reason)
    # Its own containers last: what ends because the agent then stops them has ended before them.
    for plan in sorted(task.containers, key=lambda it: it.internal):
        why = _ending_by(task, plan, view) if plan.essential or plan.internal else None
        if why is not None:
            return why
    if any(_has_lost_its_network(view, plan.name) for plan in task.containers):
        return Ending("InfrastructureHealth", sandbox.ENDED)
    for plan in task.containers:
        waits = not dependencies.has_started_once(task, plan.name, view.of(plan.name))
        reason = dependencies.hopeless(task, plan, view) if waits else None
        if reason is not None:
            return Ending("TaskFailedToStart", reason, plan.name)
    if view.interruption is not None:
        return Ending(view.interruption.stop_code, view.interruption.reason)
    if is_stranded(task, view):
        return Ending(HOST_LOST, NO_SCHEDULER)
    if RANK[task.last_status] > RANK["RUNNING"]:  # what was told cannot be taken back
        return Ending("InfrastructureHealth", FORGOTTEN)
    return None


def is_stranded(task: Task, view: View) -> bool:
    """Another one may run elsewhere soon: nothing more is started of it, and what runs ends."""
    return view.lease_over and task.on_disconnect in ENDED_WITHOUT_SCHEDULER


def _has_lost_its_network(view: View, name: str) -> bool:
    """One that ended with it, as with the engine, tells more by its own end."""
    seen = view.of(name)
    runs = seen is not None and seen.status == RUNNING and name not in view.unclear
    return runs and name in view.network_lost


def _ending_by(task: Task, plan: ContainerPlan, view: View) -> Ending | None:
    """What became of a container that takes the task with it: an essential one, or the one that holds what they
    share."""
    seen = view.of(plan.name)
    if plan.name in task.failures:
        code = "EssentialContainerExited" if plan.name in task.restarts else "TaskFailedToStart"
        return Ending(code, task.failures[plan.name])
    if dependencies.is_lost(task, plan.name, seen):
        return Ending("InfrastructureHealth", CONTAINER_MISSING)
    if seen is None or seen.status != EXITED or dependencies.will_restart(task, plan.name, seen):
        return None
    if seen.with_engine:
        return Ending("InfrastructureHealth", ENGINE_WENT_AWAY)
    if plan.internal:
        return Ending("InfrastructureHealth", sandbox.ENDED)
    out_of_memory = _out_of_memory(view, plan.name, seen)
    return Ending("EssentialContainerExited", OUT_OF_MEMORY if out_of_memory else ESSENTIAL_EXITED)


def _out_of_memory(view: View, name: str, seen: Seen) -> bool:
    """The engine says it of every container below a limit that was reached, and the kernel kills one process: what
    ended well, or because it was asked to, was not killed for it."""
    return seen.oom_killed and seen.exit_code != 0 and name not in view.stop_sent


def overdue(task: Task, view: View, now: int) -> Ending | None:
    """A container that has waited for another for too long ends the task."""
    for plan in task.containers:
        waits = not dependencies.has_started_once(task, plan.name, view.of(plan.name))
        reason = dependencies.overdue(task, plan, view, now) if waits else None
        if reason is not None:
            return Ending("TaskFailedToStart", reason, plan.name)
    return None


def outcome_of(task: Task, view: View, why: Ending, now: int) -> Report:
    """The final report of a task of which nothing runs any more."""
    told = _told(task)
    seen = [it for it in (view.of(plan.name) for plan in told) if it is not None]
    ends = [it.finished_at for it in seen if it.finished_at is not None]
    ran = bool(ends) or bool(task.launched)
    decided = replace(task, ending=why)
    return Report(
        task_id=task.id,
        last_status="STOPPED",
        containers=tuple(_container_report(decided, plan, view, "STOPPED") for plan in told),
        pull_started_at=view.pull_started_at,
        pull_stopped_at=view.pull_stopped_at,
        started_at=_started_at(task, view),
        execution_stopped_at=max(ends, default=now) if ran else None,
        stop_code=why.stop_code,
        stopped_reason=why.reason,
        trace=view.trace,
    )


def report_of(task: Task, view: View) -> Report:
    """The newest status of a task, as it stands."""
    if task.outcome is not None:
        return task.outcome
    status = status_of(task, view)
    known = all(view.of(name) is not None for name in task.launched)
    return Report(
        task_id=task.id,
        last_status=status,
        # Before the engine has answered for them, what the scheduler has on record is better than half of it.
        containers=tuple(_container_report(task, plan, view, status) for plan in _told(task) if known),
        pull_started_at=view.pull_started_at,
        pull_stopped_at=view.pull_stopped_at,
        started_at=_started_at(task, view),
        trace=view.trace,
    )


def status_of(task: Task, view: View) -> str:
    """Never behind what the scheduler has on record: an agent that begins anew has not looked at everything yet."""
    if task.outcome is not None:
        return "STOPPED"
    if task.forget or ending(task, view) is not None:
        return "STOPPING"
    up = bool(task.containers) and all(_is_up(task, plan.name, view) for plan in task.containers)
    return "RUNNING" if up or RANK[task.last_status] >= RANK["RUNNING"] else "PENDING"


def _told(task: Task) -> tuple[ContainerPlan, ...]:
    return tuple(plan for plan in task.containers if not plan.internal)


def _is_up(task: Task, name: str, view: View) -> bool:
    seen = view.of(name)
    if seen is None:
        return name in task.failures
    if seen.status == RUNNING:
        return dependencies.is_looked_up(view, name, seen)
    return seen.status == EXITED or name in task.failures or dependencies.is_lost(task, name, seen)


def _started_at(task: Task, view: View) -> int | None:
    """When the last of them was started; None as long as one still is to be."""
    plans = _told(task)
    if not all(dependencies.has_started_once(task, plan.name, view.of(plan.name)) for plan in plans):
        return None
    seen = (view.of(plan.name) for plan in plans)
    return max((it.started_at for it in seen if it is not None and it.started_at is not None), default=None)


def _container_report(task: Task, plan: ContainerPlan, view: View, status: str) -> ContainerReport:
    name, seen = plan.name, view.of(plan.name)
    health = "UNKNOWN" if plan.has_health_check else None
    if seen is None:
        lost = "STOPPED" if name in task.failures else status
        return ContainerReport(name, lost, reason=_reason(task, view, name, None), health_status=health)
    last_status = _container_status(task, name, seen, status)
    return ContainerReport(
        name=name,
        last_status=last_status,
        runtime_id=seen.runtime_id,
        exit_code=seen.exit_code if last_status == "STOPPED" and seen.status == EXITED else None,
        image_digest=seen.image_digest,
        reason=_reason(task, view, name, seen),
        ports=seen.ports or (),
        health_status=seen.health_status or health if seen.status == RUNNING else health,
        restart_count=dependencies.restart_count(task, name, seen),
        ipv4_address=_address(task, view),
    )


def _address(task: Task, view: View) -> str | None:
    """The task's own, if it has one."""
    sandboxes = (view.of(plan.name) for plan in task.containers if plan.internal)
    return next((seen.ipv4_address for seen in sandboxes if seen is not None), None)


def _container_status(task: Task, name: str, seen: Seen, status: str) -> str:
    if status == "STOPPED" or name in task.failures or dependencies.is_lost(task, name, seen):
        return "STOPPED"
    if seen.status == EXITED:
        restarts = status != "STOPPING" and dependencies.will_restart(task, name, seen)
        return "RUNNING" if restarts else "STOPPED"
    return "RUNNING" if seen.status == RUNNING else "PENDING"


def _reason(task: Task, view: View, name: str, seen: Seen | None) -> str | None:
    if name in task.failures:
        return task.failures[name]
    if task.ending is not None and task.ending.container == name:
        return task.ending.reason
    if dependencies.is_lost(task, name, seen):
        return CONTAINER_MISSING
    if seen is not None and seen.status == EXITED and seen.with_engine:
        return ENGINE_WENT_AWAY
    return OUT_OF_MEMORY if seen is not None and _out_of_memory(view, name, seen) else None
