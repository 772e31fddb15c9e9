"""What the containers of one task mean to each other: which waits for which, for how long, and which ends before
which. Pure. The words of the reasons are those of the ECS agent.

Conditions are looked at only until the container that waits has been started.
"""

from collections.abc import Iterator

from shoal.lifecycle import has_started

from shoal_agent.task import (
    ABSENT,
    COMPLETE,
    EXITED,
    HEALTHY,
    RUNNING,
    START,
    SUCCESS,
    ContainerPlan,
    Dependency,
    Seen,
    Task,
    View,
)


def waits_for(task: Task, plan: ContainerPlan) -> tuple[Dependency, ...]:
    """What its definition says; and everything waits for the agent's own containers."""
    if plan.internal:
        return plan.depends_on
    return (*plan.depends_on, *(Dependency(it.name, START) for it in task.containers if it.internal))


def dependants(task: Task, name: str) -> Iterator[str]:
    """The containers that wait for this one to start and end before it."""
    for plan in task.containers:
        if any(dependency.container == name for dependency in waits_for(task, plan)):
            yield plan.name


def is_clear(view: View, name: str) -> bool:
    """True if what was seen of it is how it is, as far as is known, and nothing is being done to it."""
    return view.of(name) is not None and name not in view.unclear and name not in view.busy


def is_looked_up(view: View, name: str, seen: Seen) -> bool:
    """True if what the engine chose for it at its start is known, or is nothing."""
    return name not in view.ports_open or seen.ports is not None


def may_have_run(task: Task, name: str) -> bool:
    return name in task.launched or has_started(task.last_status)


def is_lost(task: Task, name: str, seen: Seen | None) -> bool:
    """It was there and is not any more, and nobody knows how it ended."""
    return seen is not None and seen.status == ABSENT and may_have_run(task, name)


def will_restart(task: Task, name: str, seen: Seen) -> bool:
    """True for a container that ended and that its restart policy starts again: it ran for the period, and its exit
    code is known and not ignored. Nothing but the end itself counts, so a crash in between changes no decision."""
    policy = next((plan.restart for plan in task.containers if plan.name == name), None)
    if policy is None or seen.status != EXITED or name in task.failures:
        return False
    if seen.exit_code is None or seen.started_at is None or seen.finished_at is None:
        return False
    ran_millis = seen.finished_at - seen.started_at
    return seen.exit_code not in policy.ignored_exit_codes and ran_millis >= policy.attempt_period_seconds * 1000


def restart_count(task: Task, name: str, seen: Seen | None) -> int:
    """Without one that was noted and is still to be done."""
    restarts = task.restarts.get(name)
    if restarts is None:
        return 0
    waiting = seen is not None and seen.status == EXITED and seen.finished_at == restarts.after
    return restarts.count - waiting


def has_started_once(task: Task, name: str, seen: Seen | None) -> bool:
    """True if conditions do not concern it any more."""
    return name in task.failures or is_lost(task, name, seen) or (seen is not None and seen.status in (RUNNING, EXITED))


def are_met(task: Task, plan: ContainerPlan, view: View) -> bool:
    return all(is_met(task, dependency, view) for dependency in waits_for(task, plan))


def is_met(task: Task, dependency: Dependency, view: View) -> bool:
    seen = view.of(dependency.container)
    if seen is None or not is_clear(view, dependency.container):
        return False
    over = seen.status == EXITED and not will_restart(task, dependency.container, seen)
    if dependency.condition == HEALTHY:
        return seen.status == RUNNING and seen.health_status == "HEALTHY"
    if dependency.condition == START:
        return seen.status == EXITED or (seen.status == RUNNING and is_looked_up(view, dependency.container, seen))
    return over and (dependency.condition == COMPLETE or seen.exit_code == 0)


def hopeless(task: Task, plan: ContainerPlan, view: View) -> str | None:
    """Why this container, which has not been started, never can be."""
    for dependency in waits_for(task, plan):
        why = _never(task, dependency, view)
        if why is not None:
            target = f"[{dependency.container}] for target [{plan.name}]"
            return f"dependency graph: failed to resolve container ordering dependency {target} {why}"
    return None


def _never(task: Task, dependency: Dependency, view: View) -> str | None:
    name = dependency.container
    if name in task.failures:
        return f"because dependency will never start: {task.failures[name]}"
    seen = view.of(name)
    if is_lost(task, name, seen):
        return "because dependency is missing: something else than this agent removed it"
    if seen is None or seen.status != EXITED or will_restart(task, name, seen):
        return None
    if dependency.condition == SUCCESS and seen.exit_code != 0:
        code = "unknown" if seen.exit_code is None else seen.exit_code
        return f"as dependency did not exit successfully (exit code {code})"
    if dependency.condition == HEALTHY:
        return "as dependency stopped before it was healthy"
    return None


def deadline(task: Task, dependency: Dependency, view: View) -> int | None:
    """When (milliseconds) waiting for this is given up: startTimeout after the start of what is waited for."""
    seen = view.of(dependency.container)
    if dependency.condition == START or seen is None or seen.status != RUNNING:
        return None
    limit = next((it.start_timeout_seconds for it in task.containers if it.name == dependency.container), None)
    if limit is None or seen.started_at is None or is_met(task, dependency, view):
        return None
    if not is_clear(view, dependency.container):
        return None
    return seen.started_at + limit * 1000


def overdue(task: Task, plan: ContainerPlan, view: View, now: int) -> str | None:
    """What this container, which has not been started, has waited for too long."""
    for dependency in waits_for(task, plan):
        due = deadline(task, dependency, view)
        if due is not None and now >= due:
            target = f"[{dependency.container}] for target [{plan.name}]"
            return f"dependency graph: container ordering dependency {target} has timed out"
    return None


def next_deadline(task: Task, view: View) -> int | None:
    """The first of all that somebody still waits for."""
    due = [
        deadline(task, dependency, view)
        for plan in task.containers
        if not has_started_once(task, plan.name, view.of(plan.name))
        for dependency in waits_for(task, plan)
    ]
    return min((it for it in due if it is not None), default=None)
