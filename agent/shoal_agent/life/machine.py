"""The next steps of a task's life: from what is observed towards what is desired. Pure; the runner acts.

    nothing --Create--> CREATED --Start--> RUNNING ........ EXITED --Finish--> outcome --Remove--> --Forget--> gone
       ^  '--(no image)--Pull--'     ^        '--Stop--(still there)--Kill--^     |
                                     '------------(restart policy)---------------'

Each container goes its own way: at most one step for each at a time, all that can be done side by side at once.

Rules.
1. Never back: an outcome is final, a container that was launched is never launched again but by its restart policy.
2. What is not clear of a container is looked at before anything is done to it or to those that wait for it
   (Inspect). Listings and events only make things unclear; they are never believed.
3. A container that was launched, or of a task the scheduler has already seen started, and that is not there, is
   lost: it has ended with a reason and without an exit code.
4. Every prefix of a life may be cut by a crash: what the next process finds (journal, labels, engine) leads on
   from the same place.
5. Up in the order of the dependencies, down in the reverse: a container is asked to stop when those that wait for
   it have ended. Why a task ends is decided once (End), before its end changes what is seen.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from shoal_agent.life import dependencies
from shoal_agent.life.dependencies import is_clear
from shoal_agent.life.verdict import ending, outcome_of, overdue
from shoal_agent.task import ABSENT, CREATED, EXITED, RUNNING, ContainerPlan, Ending, Report, Task, View


@dataclass(frozen=True, slots=True)
class Inspect:
    name: str


@dataclass(frozen=True, slots=True)
class Pull:
    name: str


@dataclass(frozen=True, slots=True)
class Create:
    name: str


@dataclass(frozen=True, slots=True)
class Start:
    name: str


@dataclass(frozen=True, slots=True)
class Stop:
    name: str


@dataclass(frozen=True, slots=True)
class Kill:
    name: str


@dataclass(frozen=True, slots=True)
class Remove:
    name: str


@dataclass(frozen=True, slots=True)
class End:
    """The task is to end: keep why, durably, before anything is stopped."""

    why: Ending


@dataclass(frozen=True, slots=True)
class Finish:
    """The task is over: make this its outcome, durably, and report it."""

    outcome: Report


@dataclass(frozen=True, slots=True)
class Forget:
    pass


@dataclass(frozen=True, slots=True)
class Wait:
    """Ask again at `until` (milliseconds since the epoch), even if nothing changes before."""

    until: int


OfContainer = Inspect | Pull | Create | Start | Stop | Kill | Remove
OfTask = End | Finish | Forget
Action = OfContainer | OfTask | Wait


def next_actions(task: Task, view: View, now: int, keep_millis: int) -> tuple[Action, ...]:
    """All that can be done now: at most one step for each container, one for the whole task, one moment to wait
    for; nothing for a container that is busy. () if something has to change first.

    `now` in milliseconds; dead containers stay `keep_millis` after their end.
    """
    if not view.engine_up:
        return ()
    looks = tuple(Inspect(name) for name in _doubtful(task, view) if name not in view.busy)
    return (*looks, *_decide(task, view, now, keep_millis))


def _decide(task: Task, view: View, now: int, keep_millis: int) -> tuple[Action, ...]:
    """Of the containers that are clear."""
    if task.outcome is not None or task.forget:
        return tuple(_clean_up(task, view, now, keep_millis))
    why = ending(task, view) or overdue(task, view, now)
    return tuple(_end(task, view, why, now) if why is not None else _advance(task, view))


def _doubtful(task: Task, view: View) -> Iterator[str]:
    for plan in task.containers:
        unseen = view.of(plan.name) is None
        if plan.name in view.unclear or (unseen and dependencies.may_have_run(task, plan.name)):
            yield plan.name


def _advance(task: Task, view: View) -> Iterator[Action]:
    doubtful = set(_doubtful(task, view))
    for plan in task.containers:
        if plan.name not in view.busy and plan.name not in doubtful and plan.name not in task.failures:
            yield from _forward(task, plan, view)
    until = dependencies.next_deadline(task, view)
    if until is not None:
        yield Wait(until)


def _forward(task: Task, plan: ContainerPlan, view: View) -> Iterator[Action]:
    name, seen = plan.name, view.of(plan.name)
    if seen is not None and seen.status == RUNNING:
        if not dependencies.is_looked_up(view, name, seen):
            yield Inspect(name)
        return
    if dependencies.is_lost(task, name, seen) or not task.assigned:
        return
    if seen is not None and seen.status == EXITED:
        if dependencies.will_restart(task, name, seen):
            yield Start(name)
    elif dependencies.are_met(task, plan, view):
        yield _begin(name, view)


def _begin(name: str, view: View) -> Action:
    seen = view.of(name)
    if seen is not None and seen.status == CREATED:
        return Start(name)
    return Pull(name) if name in view.image_missing and name not in view.pulled else Create(name)


def _end(task: Task, view: View, why: Ending, now: int) -> Iterator[Action]:
    if _rests(task, view):
        yield Finish(outcome_of(task, view, why, now))
    elif task.ending is None and task.desired_status != "STOPPED":
        yield End(why)
    else:
        yield from _stop(task, view)


def _stop(task: Task, view: View) -> Iterator[Action]:
    """Whoever runs and for whom nobody waits who still runs."""
    for name in _in_status(task, view, RUNNING):
        if is_clear(view, name) and all(_is_down(task, view, other) for other in dependencies.dependants(task, name)):
            yield Kill(name) if name in view.stop_sent else Stop(name)


def _rests(task: Task, view: View) -> bool:
    return all(_is_down(task, view, plan.name) for plan in task.containers)


def _is_down(task: Task, view: View, name: str) -> bool:
    """It does not run, nothing is being done to it, and there is no doubt about that."""
    seen = view.of(name)
    if seen is None:
        return name not in view.busy and name not in view.unclear and not dependencies.may_have_run(task, name)
    return seen.status != RUNNING and is_clear(view, name)


def _clean_up(task: Task, view: View, now: int, keep_millis: int) -> Iterator[Action]:
    if not _rests(task, view):
        yield from _stop(task, view)
        return
    never_ran, dead = _in_status(task, view, CREATED), _in_status(task, view, EXITED)
    if never_ran:
        yield from map(Remove, never_ran)
    elif dead:
        ends = [seen.finished_at or 0 for name, seen in view.seen.items() if name in dead]
        yield from _remove_dead(task, view, dead, now, max(ends) + keep_millis)
    elif task.forget or task.acknowledged:
        yield Forget()


def _remove_dead(task: Task, view: View, dead: tuple[str, ...], now: int, until: int) -> Iterator[Action]:
    """Not before the scheduler has stored the outcome, unless there are too many: if the journal is lost, they are
    what tells that they ran."""
    stored = task.acknowledged or task.forget
    if view.evict or (stored and now >= until):
        yield from map(Remove, dead)
    elif stored:
        yield Wait(until)


def _in_status(task: Task, view: View, status: str) -> tuple[str, ...]:
    seen = ((plan.name, view.of(plan.name)) for plan in task.containers)
    return tuple(name for name, it in seen if it is not None and it.status == status)


def holds_containers(task: Task, view: View) -> bool:
    """True while the engine has anything of this task, as far as is known."""
    return any(seen.status != ABSENT for seen in view.seen.values())
