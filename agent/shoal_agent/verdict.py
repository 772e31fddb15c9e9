"""What became of a task, in ECS's words: status, stop code, reasons, and which exit codes can be believed. Pure.

Exit codes around a restart of the engine (Docker 20.10, observed): an engine that was killed and comes back
either adopts what runs (live-restore), or first ends it with SIGTERM, ten seconds, SIGKILL, before it answers
anybody; and what vanished with the whole host it calls ended with 255, at the moment of its return. A container
that ended by itself while the engine was down keeps its real code: its shim remembers it. Hence
`exit_code_known`.
"""

from collections.abc import Collection
from dataclasses import dataclass

from shoal.lifecycle import has_started

from shoal_agent import sandbox
from shoal_agent.engine import Inspected
from shoal_agent.task import ABSENT, EXITED, RUNNING, ContainerReport, Report, Seen, Task, View

ESSENTIAL_EXITED = "Essential container in task exited"
OUT_OF_MEMORY = "OutOfMemoryError: Container killed due to memory usage"
ENGINE_WENT_AWAY = (
    "The container engine went away and the container ended with it or as it came back; its exit code is unknown"
)
CONTAINER_MISSING = "The container is missing: something else than this agent removed it; its exit code is unknown"

# SIGKILL, SIGTERM, and the engine's word for "I do not know": says that something ended it, not what it answered.
_CODES_OF_A_KILL = (137, 143, 255)


@dataclass(frozen=True, slots=True)
class Ending:
    """Why a task is to end, or has ended."""

    stop_code: str | None
    reason: str | None


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
    """Why this task ends, if it does: what was asked for first, then what went wrong, then what happened."""
    if task.desired_status == "STOPPED":
        return Ending(task.stop_code, task.stopped_reason)
    if task.failure is not None:
        return Ending("TaskFailedToStart", task.failure.reason)
    for plan in task.containers:
        seen = view.of(plan.name)
        if _is_lost(task, plan.name, seen):
            return Ending("InfrastructureHealth", CONTAINER_MISSING)
        if plan.internal and seen is not None and _ended_unasked(task, view, plan.name, seen):
            return Ending("InfrastructureHealth", ENGINE_WENT_AWAY if seen.with_engine else sandbox.ENDED)
        if plan.essential and seen is not None and seen.status == EXITED:
            return _ending_by_exit(view, plan.name, seen)
    return None


def _ended_unasked(task: Task, view: View, name: str, seen: Seen) -> bool:
    """Nobody stopped it: it was not asked to, and no other container had ended before, which would have made the
    agent stop it."""
    if seen.status != EXITED or name in view.stop_sent:
        return False
    essential = (view.of(plan.name) for plan in task.containers if plan.essential)
    ends = [it.finished_at for it in essential if it is not None and it.status == EXITED and it.finished_at]
    return seen.exit_code != 0 or seen.finished_at is None or seen.finished_at < min(ends, default=seen.finished_at + 1)


def _ending_by_exit(view: View, name: str, seen: Seen) -> Ending:
    if seen.with_engine:
        return Ending("InfrastructureHealth", ENGINE_WENT_AWAY)
    return Ending("EssentialContainerExited", OUT_OF_MEMORY if _out_of_memory(view, name, seen) else ESSENTIAL_EXITED)


def _out_of_memory(view: View, name: str, seen: Seen) -> bool:
    """The engine says it of every container below a limit that was reached, and the kernel kills one process: what
    ended well, or because it was asked to, was not killed for it."""
    return seen.oom_killed and seen.exit_code != 0 and name not in view.stop_sent


def _is_lost(task: Task, name: str, seen: Seen | None) -> bool:
    gone = seen is not None and seen.status == ABSENT
    return gone and (name in task.launched or has_started(task.last_status))


def outcome_of(task: Task, view: View, why: Ending, now: int) -> Report:
    """The final report of a task of which nothing runs any more."""
    ends = [seen.finished_at for seen in view.seen.values() if seen.finished_at is not None]
    ran = bool(ends) or bool(task.launched)
    return Report(
        task_id=task.id,
        last_status="STOPPED",
        containers=tuple(_container_report(task, name, view, "STOPPED") for name in _told(task)),
        pull_started_at=view.pull_started_at,
        pull_stopped_at=view.pull_stopped_at,
        started_at=_started_at(view),
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
        containers=tuple(_container_report(task, name, view, status) for name in _told(task) if known),
        pull_started_at=view.pull_started_at,
        pull_stopped_at=view.pull_stopped_at,
        started_at=_started_at(view),
        trace=view.trace,
    )


def status_of(task: Task, view: View) -> str:
    if task.outcome is not None:
        return "STOPPED"
    if task.forget or ending(task, view) is not None:
        return "STOPPING"
    if task.containers and all(_is_up(task, plan.name, view) for plan in task.containers):
        return "RUNNING"
    return "PENDING"


def _is_up(task: Task, name: str, view: View) -> bool:
    seen = view.of(name)
    if seen is None:  # launched before this process began, and the engine has not answered yet
        return name in task.launched
    if seen.status == RUNNING:
        return name not in view.ports_open or seen.ports is not None
    return seen.status == EXITED


def _told(task: Task) -> list[str]:
    return [plan.name for plan in task.containers if not plan.internal]


def _started_at(view: View) -> int | None:
    starts = [seen.started_at for seen in view.seen.values() if seen.started_at is not None]
    return max(starts, default=None)


def _container_report(task: Task, name: str, view: View, status: str) -> ContainerReport:
    seen = view.of(name)
    if seen is None:
        return ContainerReport(name, status, reason=_reason(task, view, name, None))
    return ContainerReport(
        name=name,
        last_status=_container_status(seen, status),
        runtime_id=seen.runtime_id,
        exit_code=seen.exit_code if seen.status == EXITED else None,
        reason=_reason(task, view, name, seen),
        ports=seen.ports or (),
        ipv4_address=_address(task, view),
    )


def _address(task: Task, view: View) -> str | None:
    """The task's own, if it has one."""
    sandboxes = (view.of(plan.name) for plan in task.containers if plan.internal)
    return next((seen.ipv4_address for seen in sandboxes if seen is not None), None)


def _container_status(seen: Seen, status: str) -> str:
    if status == "STOPPED" or seen.status == EXITED:
        return "STOPPED"
    return "RUNNING" if seen.status == RUNNING else "PENDING"


def _reason(task: Task, view: View, name: str, seen: Seen | None) -> str | None:
    if task.failure is not None and task.failure.container == name:
        return task.failure.reason
    if _is_lost(task, name, seen):
        return CONTAINER_MISSING
    if seen is not None and seen.status == EXITED and seen.with_engine:
        return ENGINE_WENT_AWAY
    return OUT_OF_MEMORY if seen is not None and _out_of_memory(view, name, seen) else None
