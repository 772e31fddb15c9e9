"""One step of a task's life: from what is observed towards what is desired. Pure; the runner acts.

    nothing --Create--> CREATED --Start--> RUNNING ........ EXITED --Finish--> outcome --Remove--> --Forget--> gone
       ^  '--(no image)--Pull--'              '--Stop--(still there)--Kill--^

Rules.
1. Never back: an outcome is final, a container that was launched is never launched again.
2. What is not clear is looked at before anything else is decided (Inspect). Listings and events only make things
   unclear; they are never believed.
3. A container that was launched, or of a task the scheduler has already seen started, and that is not there, is
   lost: the task ends with a reason and without an exit code.
4. Every prefix of a life may be cut by a crash: what the next process finds (journal, labels, engine) leads on
   from the same place.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from shoal.lifecycle import has_started

from shoal_agent.task import ABSENT, CREATED, EXITED, RUNNING, Report, Task, View
from shoal_agent.verdict import Ending, ending, outcome_of


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
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Kill:
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Finish:
    """The task is over: make this its outcome, durably, and report it."""

    outcome: Report


@dataclass(frozen=True, slots=True)
class Remove:
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Forget:
    pass


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do before something changes, or before `until` (milliseconds since the epoch)."""

    until: int | None = None


Action = Inspect | Pull | Create | Start | Stop | Kill | Finish | Remove | Forget | Wait


def next_action(task: Task, view: View, now: int, keep_millis: int) -> Action:
    """The one thing to do next. `now` in milliseconds; dead containers stay `keep_millis` after their end."""
    if not view.engine_up:
        return Wait()
    doubtful = next(_doubtful(task, view), None)
    if doubtful is not None:
        return Inspect(doubtful)
    if task.outcome is not None or task.forget:
        return _clean_up(task, view, now, keep_millis)
    why = ending(task, view)
    if why is not None:
        return _end(task, view, why, now)
    return _advance(task, view)


def _doubtful(task: Task, view: View) -> Iterator[str]:
    for plan in task.containers:
        unseen = view.of(plan.name) is None
        may_exist = plan.name in task.launched or has_started(task.last_status)
        if plan.name in view.unclear or (unseen and may_exist):
            yield plan.name


def _advance(task: Task, view: View) -> Action:
    for plan in task.containers:
        seen = view.of(plan.name)
        if seen is not None and seen.status == RUNNING:
            if plan.name in view.ports_open and seen.ports is None:
                return Inspect(plan.name)
            continue
        if seen is not None and seen.status == EXITED:
            continue
        if not task.assigned:
            return Wait()
        if seen is not None and seen.status == CREATED:
            return Start(plan.name)
        if plan.name in view.image_missing and plan.name not in view.pulled:
            return Pull(plan.name)
        return Create(plan.name)
    return Wait()


def _end(task: Task, view: View, why: Ending, now: int) -> Action:
    return _still_there(task, view) or Finish(outcome_of(task, view, why, now))


def _still_there(task: Task, view: View) -> Action | None:
    running = _in_status(task, view, RUNNING)
    unasked = tuple(name for name in running if name not in view.stop_sent)
    if unasked:
        return Stop(unasked)
    return Kill(running) if running else None


def _clean_up(task: Task, view: View, now: int, keep_millis: int) -> Action:
    busy = _still_there(task, view)
    if busy is not None:
        return busy
    never_ran = _in_status(task, view, CREATED)
    if never_ran:
        return Remove(never_ran)
    dead = _in_status(task, view, EXITED)
    if dead:
        ends = [seen.finished_at or 0 for name, seen in view.seen.items() if name in dead]
        until = max(ends) + keep_millis
        return Remove(dead) if view.evict or now >= until else Wait(until)
    return Forget() if task.forget or task.acknowledged else Wait()


def _in_status(task: Task, view: View, status: str) -> tuple[str, ...]:
    seen = ((plan.name, view.of(plan.name)) for plan in task.containers)
    return tuple(name for name, it in seen if it is not None and it.status == status)


def holds_containers(task: Task, view: View) -> bool:
    """True while the engine has anything of this task, as far as is known."""
    return any(seen.status != ABSENT for seen in view.seen.values())
