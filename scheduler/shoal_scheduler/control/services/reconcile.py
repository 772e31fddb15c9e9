"""The look at one service: what is wanted of it, against its tasks. Whatever it finds it proposes; a look that finds
nothing to do writes nothing. One that did something is followed by another in the next step, which sees it."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import msgspec

from shoal_scheduler.control import tasks
from shoal_scheduler.control.context import Context
from shoal_scheduler.control.definitions import find as find_definition
from shoal_scheduler.control.run_task import tasks_of
from shoal_scheduler.control.services import daemon, delete, deployments, digests, drain, events, rolling
from shoal_scheduler.control.services.deployments import Progress
from shoal_scheduler.control.services.health import health_due_at, is_healthy, is_running, why_unhealthy
from shoal_scheduler.control.services.launching import launch_of
from shoal_scheduler.control.services.plan import Plan, Stop
from shoal_scheduler.control.services.view import ServiceView, view_of
from shoal_scheduler.model.service import ACTIVE, INACTIVE, ServiceEvents
from shoal_scheduler.model.task import Task
from shoal_scheduler.placement.explain import NEXT_TURN, waiting_reason
from shoal_scheduler.state.changes import Change, PutLaunch, PutTask, SetUnsettled
from shoal_scheduler.state.overlay import Overlay
from shoal_scheduler.state.records import PutRecord
from shoal_scheduler.state.service_tables import ServiceKey, SetServiceLooked

SERVICE_SCHEDULER = "ServiceSchedulerInitiated"

# Of one service in one look: what is more comes in the next step.
STARTS_PER_LOOK = 1_000


def look(view: Overlay, key: ServiceKey, context: Context, keys_max: int) -> None:
    """At least one thing is done, and then as much as fits into `keys_max` keys of the step."""
    ends, ends_at = delete.ending(view, key, context)
    view.propose(ends)
    before = len(view.changes)
    seen = view_of(view, key, context)
    if seen is None or seen.service.status == INACTIVE:
        view.propose([SetServiceLooked(key, ends_at)])
        return
    progress = deployments.progress(seen)
    view.propose(_progressing(progress))
    seen = _after(seen, progress)
    view.propose([PutTask(task) for task in drain.drained(seen)])
    plan = _plan(seen)
    stopped = _stop(view, plan, context, keys_max)
    # What starts may take the place of what stops: not before that.
    started = _start(view, seen, plan, context, keys_max) if len(stopped) == len(plan.stop) else []
    said = [*progress.events, *_done(seen, stopped, started), *_troubles(view, seen, plan)]
    if len(view.changes) == before:
        said += _settle(view, seen)
    _say(view, seen, said, context)
    due_at = _first(plan.due_at, progress.due_at, health_due_at(seen), drain.due_at(seen))
    did_something = len(view.changes) > before
    view.propose([SetServiceLooked(key, again=did_something, due_at=None if did_something else due_at)])


def _plan(seen: ServiceView) -> Plan:
    retry_at = max(seen.deployment.retry_at, seen.deployment.paused_until)
    is_throttled = retry_at > seen.now
    most = 0 if is_throttled else digests.most_to_start(seen)
    rule = daemon.plan if seen.service.is_daemon else rolling.plan
    plan = rule(seen, STARTS_PER_LOOK if most is None else min(most, STARTS_PER_LOOK))
    return replace(plan, due_at=_first(plan.due_at, retry_at)) if is_throttled else plan


def _progressing(progress: Progress) -> list[Change]:
    changed = (progress.service, progress.deployment, progress.revision)
    return [PutRecord(record) for record in changed if record is not None]


def _after(seen: ServiceView, progress: Progress) -> ServiceView:
    """The view with what the deployment changed."""
    if not _progressing(progress):
        return seen
    service, changed = progress.service or seen.service, progress.revision
    revisions = {**seen.revisions, changed.id: changed} if changed is not None else seen.revisions
    return replace(
        seen,
        service=service,
        revisions=revisions,
        revision=revisions[service.revision],
        deployment=progress.deployment or seen.deployment,
    )


def _stop(view: Overlay, plan: Plan, context: Context, keys_max: int) -> list[Stop]:
    """What does not fit is decided anew in the next step."""
    stopped: list[Stop] = []
    for stop in plan.stop:
        if stopped and view.is_full(keys_max):
            break
        view.propose([PutTask(tasks.stopping(stop.task, SERVICE_SCHEDULER, stop.reason, context.now))])
        stopped.append(stop)
    return stopped


def _start(view: Overlay, seen: ServiceView, plan: Plan, context: Context, keys_max: int) -> list[Task]:
    """They wait for room, which the queue finds them in this very step."""
    started: list[Task] = []
    for instance, count in [*((name, 1) for name in plan.start_on), *([("", plan.start)] if plan.start else [])]:
        if started and view.is_full(keys_max):
            break
        launch = launch_of(seen, count, context, instance)
        new = list(tasks_of(view, launch, find_definition(view, launch.definition), ()))
        view.propose([PutLaunch(launch), *map(PutTask, new)])
        started += new
    if started:
        view.propose([SetUnsettled(seen.service.cluster, True)])
    return started


def _done(seen: ServiceView, stopped: Sequence[Stop], started: Sequence[Task]) -> Iterator[str]:
    name = seen.service.name
    for stop in stopped[: events.TASKS_NAMED_MAX]:
        if why := why_unhealthy(seen, stop.task):
            yield events.unhealthy(name, stop.task, why)
    draining = [stop.task for stop in stopped if drain.is_to_drain(stop.task)]
    running = [stop.task for stop in stopped if stop.task.last_status == "RUNNING"]
    if draining:
        yield events.draining(name, draining)
    if running:
        yield events.stopped(name, running)
    if started:
        yield events.started(name, started)


def _troubles(view: Overlay, seen: ServiceView, plan: Plan) -> Iterator[str]:
    name = seen.service.name
    if plan.is_stuck:
        yield events.of(name, events.STUCK)
    if seen.deployment.start_failures > 1 and seen.deployment.retry_at > seen.now:
        yield events.of(name, events.THROTTLED)
    if digests.is_given_up(seen) and len(seen.wanted) < seen.desired:
        yield events.of(name, events.HALTED)
    waiting = next((task for task in seen.wanted if not task.instance), None)
    if waiting is not None:
        why = waiting_reason(view.ask(waiting.launch), view.room_to_read(seen.service.cluster))
        if why != NEXT_TURN:
            yield events.unplaced(name, why)


def _settle(view: Overlay, seen: ServiceView) -> Iterator[str]:
    """Of a look that found nothing to do: whether the service is steady, which is said once. As long as nobody knows
    whether a task that runs is healthy, as when another scheduler has just begun to lead, what was said stands."""
    as_wanted = (
        seen.service.status == ACTIVE
        and seen.deployment.is_over
        and len(seen.tasks) == seen.desired
        and all(map(is_running, seen.tasks))
    )
    is_steady = as_wanted and (seen.service.is_steady or all(is_healthy(seen, task) for task in seen.tasks))
    if is_steady != seen.service.is_steady:
        view.propose([PutRecord(msgspec.structs.replace(seen.service, is_steady=is_steady))])
        if is_steady:
            yield events.of(seen.service.name, events.STEADY)


def _say(view: Overlay, seen: ServiceView, messages: Sequence[str], context: Context) -> None:
    names = seen.service.cluster, seen.service.name
    known = view.records.get(ServiceEvents, *names) or ServiceEvents(cluster=names[0], service=names[1])
    told = events.added(known, messages, context) if messages else known
    if told is not known:
        view.propose([PutRecord(told)])


def _first(*moments: int | None) -> int | None:
    return min((moment for moment in moments if moment is not None), default=None)
