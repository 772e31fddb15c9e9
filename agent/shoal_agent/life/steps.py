"""The machine's actions, done: one function each. What they learn goes into the case; what is unclear is raised."""

import asyncio
import logging
from contextlib import suppress
from dataclasses import replace

from shoal import image_reference
from shoal.stopping import STOP_TIMEOUT_SECONDS

from shoal_agent.definition import labels
from shoal_agent.definition.refusal import Refused
from shoal_agent.definition.sandbox import PAUSE
from shoal_agent.definition.specification import Specification
from shoal_agent.engine.port import (
    CannotCreate,
    CannotPull,
    CannotStart,
    ContainerGone,
    EngineError,
    EngineTimeout,
    ImageNotFound,
    Inspected,
    NameConflict,
    Port,
)
from shoal_agent.images.pull_behavior import pulls_first, uses_cached
from shoal_agent.life import cgroup, machine, network
from shoal_agent.life.case import Case, now_millis
from shoal_agent.life.image import fetch, resolved
from shoal_agent.life.verdict import exit_code_known, failure, report_of
from shoal_agent.memory import record
from shoal_agent.memory.journal import JournalFault
from shoal_agent.task import ABSENT, CREATED, EXITED, RUNNING, Ending, Report, Restarts, Seen

log = logging.getLogger(__name__)

PROGRESS_PERIOD_SECONDS = 10.0
UNWANTED_PERIOD_SECONDS = 0.2
# The exit code of SIGKILL; how long after it the engine may note that it was for want of memory; and how long after a
# container's first breath the engine may note that it was started.
KILLED = 137
LATE_NOTE_SECONDS = 1.0
LATE_START_SECONDS = 5.0

_STATUSES = {"created": CREATED, "exited": EXITED, "dead": EXITED, "removing": EXITED}


async def inspect(case: Case, name: str) -> None:
    # First: an event that comes while the engine answers must make the answer unclear again.
    case.view = replace(case.view, unclear=case.view.unclear - {name})
    try:
        with case.span("engine.inspect"):
            found = await case.around.engine.inspect(case.handle(name))
        if _is_unexplained_kill(case, name, found):
            found = replace(found, oom_killed=await _lacked_memory(case, found))
    except ContainerGone:
        case.see(name, replace(case.view.of(name) or Seen(ABSENT), status=ABSENT))
        return
    except EngineError:
        case.doubt([name])
        raise
    tag = labels.read(found.labels)
    ours = case.around.owner.owns(found.labels) and tag is not None and tag.task_id == case.task.id
    seen = _seen(case, name, found) if ours else Seen(ABSENT)
    case.see(name, seen)
    network.note(case, name, seen)
    if seen.status in (RUNNING, EXITED):
        await _note_launched(case, name)


def _is_unexplained_kill(case: Case, name: str, found: Inspected) -> bool:
    """Killed, not by us, and nobody says why: the engine notes a lack of memory apart from the end, often later, and
    then never on the container."""
    known_before = case.view.of(name)
    if found.exit_code != KILLED or found.oom_killed or name in case.view.stop_sent:
        return False
    return (known_before is None or known_before.status != EXITED) and exit_code_known(found, case.around.engine_start)


async def _lacked_memory(case: Case, found: Inspected) -> bool:
    since, until = (found.started_at or 0) / 1000, (found.finished_at or now_millis()) / 1000
    lacked_memory = case.around.engine.lacked_memory
    return await lacked_memory(found.container_id, since - LATE_START_SECONDS, until + LATE_NOTE_SECONDS)


def _seen(case: Case, name: str, found: Inspected) -> Seen:
    status = _STATUSES.get(found.state, RUNNING)
    known = status != EXITED or exit_code_known(found, case.around.engine_start)
    tag = labels.read(found.labels)
    before = case.view.of(name)
    timeout = found.stop_timeout_seconds
    return Seen(
        status=status,
        runtime_id=found.container_id,
        exit_code=found.exit_code if known else None,
        oom_killed=found.oom_killed,
        with_engine=not known,
        started_at=found.started_at,
        finished_at=found.finished_at if status == EXITED else None,
        # An ended container has no ports any more; what was bound is still worth telling.
        ports=found.ports or (before.ports if before is not None else None) or (tag.ports if tag is not None else ()),
        # Of a tag that was not made a digest, what it meant when the container was made.
        image_digest=image_reference.split(found.image)[2] or (before.image_digest if before is not None else None),
        ipv4_address=found.ipv4_address or (before.ipv4_address if before is not None else None),
        volumes=tag.volumes if tag is not None else (),
        stop_timeout_seconds=STOP_TIMEOUT_SECONDS if timeout is None else timeout,
        health_status=found.health_status,
        network=network.joined_by(case, found),
    )


async def pull(case: Case, name: str) -> None:
    wanted = case.specification(name)
    # What its tag was found to mean, should that have gone from the host since.
    image = image_reference.pinned(wanted.image, case.known_digest(wanted.image) if wanted.consistent else None)
    fetched = name != PAUSE  # that one is made here, which is nobody's pull
    if fetched:
        case.view = replace(case.view, pull_started_at=case.view.pull_started_at or now_millis())
    work = asyncio.ensure_future(fetch(case, image))
    case.pulling[name] = image
    telling = asyncio.create_task(_tell_progress(case))
    try:
        with case.span("engine.pull"):
            await _unless_unwanted(case, work)
    except CannotPull as error:
        if not (uses_cached(case.around.rules.image_pull_behavior) or case.refreshes_images):
            case.fail(name, f"CannotPullContainerError: {image}: {error.message}")
            return
        log.warning("not pulled, what is here is used task=%s image=%s error=%s", case.task.id, image, error)
        case.pull_errors[name] = error.message
    finally:
        work.cancel()
        telling.cancel()
        del case.pulling[name]
    case.view = replace(case.view, pulled=case.view.pulled | {name})
    if fetched:
        case.view = replace(case.view, pull_stopped_at=now_millis())


async def _tell_progress(case: Case) -> None:
    """A pull that takes its time is its container's reason for not running yet, until this is cancelled."""
    told = False
    try:
        while True:
            await asyncio.sleep(PROGRESS_PERIOD_SECONDS)
            report = report_of(case.task, case.view)
            words = {name: case.around.pulls.status(image) for name, image in case.pulling.items()}
            containers = tuple(replace(it, reason=words.get(it.name, it.reason)) for it in report.containers)
            case.around.reporter.offer(replace(report, containers=containers))
            told = True
    finally:
        if told and not case.unwanted:
            case.around.reporter.offer(report_of(case.task, case.view))


async def _unless_unwanted(case: Case, work: "asyncio.Future[None]") -> None:
    """Waits for `work`, but no longer than the task is wanted."""
    while not case.unwanted:
        await asyncio.wait({work}, timeout=UNWANTED_PERIOD_SECONDS)
        if work.done():
            await work
            return


async def create(case: Case, name: str) -> None:
    try:
        wanted = case.specification(name)
        await _demand_volumes(case, wanted)
    except Refused as refused:
        case.fail(name, failure(name, "Create", str(refused), lacking=refused.lacking))
        return
    if _pulls_first(case, name, wanted.image):
        case.view = replace(case.view, image_missing=case.view.image_missing | {name})
        return
    try:
        async with network.lent(case, name, wanted) as loan, case.around.creates.one():
            if case.unwanted:
                return
            body = case.body(name, await _limit_task(case), loan)
            with case.span("engine.create"):
                image, digest = await resolved(case, wanted)
                body = {**body, "Image": image}
                loan.used = True
                runtime_id = await case.around.engine.create(case.container_name(name), body)
    except ImageNotFound as error:
        if name in case.view.pulled:
            why = case.pull_errors.get(name, error.message)
            case.fail(name, f"CannotPullContainerError: {wanted.image}: {why}")
        case.view = replace(case.view, image_missing=case.view.image_missing | {name})
    except NameConflict as error:
        await _adopt(case, name, error)
    except CannotCreate as error:
        case.fail(name, failure(name, "Create", error.message))
    except EngineTimeout as error:
        _give_up(case, name, "created", error)
    else:
        timeout = wanted.body["StopTimeout"]
        made = Seen(CREATED, runtime_id, volumes=wanted.volumes, stop_timeout_seconds=timeout, image_digest=digest)
        case.see(name, replace(made, network=loan.network))


async def _demand_volumes(case: Case, wanted: Specification) -> None:
    """Raises Refused for a volume that had to be there: the engine would make an empty one."""
    for path, volume in wanted.must_exist:
        if not await case.around.engine.has_volume(volume):
            why = f"no volume is named {volume!r} on this instance; make it there, or set this to true"
            raise Refused(path, why, lacking=True)


def _pulls_first(case: Case, name: str, image: str) -> bool:
    """No registry has the image of the sandbox."""
    if name in case.view.pulled or name == PAUSE:
        return False
    pulls = pulls_first(case.around.rules.image_pull_behavior, image, case.around.pulled_before)
    return pulls or case.refreshes_images


async def _limit_task(case: Case) -> str | None:
    """The cgroup of a task that has limits of its own, made. None if it has none, or if none can be made: then each
    container has the task's limits for itself, which is too much if there are several."""
    cgroups, wanted = case.around.cgroups, case.wanted
    limits = cgroup.limits(wanted.definition or {}, wanted.overrides) if wanted is not None else None
    if limits is None:
        return None
    reason: object = cgroups.reason
    try:
        if cgroups.version:
            return await asyncio.to_thread(cgroups.make, case.task.id, limits)
    except OSError as error:
        reason = error
    if sum(not plan.internal for plan in case.task.containers) > 1:
        log.warning("task limits hold for each container alone task=%s reason=%s", case.task.id, reason)
    return None


async def forget(case: Case) -> None:
    """Nothing is left of the task but what the journal says of it."""
    network.release(case)
    await asyncio.to_thread(case.around.cgroups.remove, case.task.id)


async def _adopt(case: Case, name: str, conflict: NameConflict) -> None:
    """The name is taken: by this very container, made by a call whose answer got lost, or by a stranger's."""
    await inspect(case, name)
    seen = case.view.of(name)
    if seen is None or seen.status == ABSENT:
        case.fail(name, failure(name, "Create", conflict.message))


def _give_up(case: Case, name: str, status: str, error: EngineTimeout) -> None:
    """A container that the engine does not get done is a failure, as in ECS; what became of it is then looked at.

    Raises the error if the engine is silent altogether: that is no fault of the container.
    """
    if not case.view.engine_up:
        raise error
    case.fail(name, f"DockerTimeoutError: Could not transition to {status}; {error.message}")
    case.doubt([name])
    case.around.engine_trouble.set()


async def start(case: Case, name: str) -> None:
    """The first time, or once more after it ended."""
    seen = case.view.seen[name]
    if not await network.is_there(case, name, seen):
        await network.give_up(case, name, seen)
        return
    await _note_launched(case, name)
    if seen.status == EXITED:
        await _note_restarted(case, name, seen.finished_at or 0)
    try:
        async with case.around.starts.one():
            if case.unwanted:
                return
            with case.span("engine.start"), network.certain(case, name):
                await case.around.engine.start(case.handle(name))
    except ContainerGone:
        case.see(name, replace(seen, status=ABSENT))
    except CannotStart as error:
        case.fail(name, failure(name, "Start", error.message))
    except EngineTimeout as error:
        _give_up(case, name, "started", error)
    else:
        fixed = case.specification(name).ports.fixed
        ports = None if name in case.view.ports_open else fixed
        case.see(name, _started(seen, ports))
        log.info("started task=%s container=%s", case.task.id, name)


def _started(seen: Seen, ports: tuple[Port, ...] | None) -> Seen:
    """Nothing of an earlier run is left. The health check of a container that has one has not answered yet."""
    return replace(
        seen,
        status=RUNNING,
        started_at=now_millis(),
        finished_at=None,
        exit_code=None,
        oom_killed=False,
        with_engine=False,
        ports=ports,
        health_status=None,
    )


async def _note_launched(case: Case, name: str) -> None:
    """On disk before the start is issued, and again for what is found running by an agent that forgot."""
    if name not in case.task.launched:
        with case.span("journal"):
            await case.around.journal.append(record.launched(case.task.id, name))
        case.task = replace(case.task, launched=case.task.launched | {name})


async def _note_restarted(case: Case, name: str, after: int) -> None:
    """On disk before the start is issued. Each end is answered once, however often the agent begins anew."""
    before = case.task.restarts.get(name, Restarts(0, -1))
    if before.after != after:
        restarts = Restarts(before.count + 1, after)
        await case.around.journal.append(record.restarted(case.task.id, name, restarts))
        case.task = replace(case.task, restarts={**case.task.restarts, name: restarts})


async def stop(case: Case, name: str) -> None:
    """Whatever the engine says, what became of it is then looked at."""
    case.view = replace(case.view, stop_sent=case.view.stop_sent | {name})
    seen = case.view.of(name)
    grace_seconds = seen.stop_timeout_seconds if seen is not None else STOP_TIMEOUT_SECONDS
    with case.doubting(name), suppress(ContainerGone):
        await case.around.engine.stop(case.handle(name), grace_seconds)


async def kill(case: Case, name: str) -> None:
    with case.doubting(name), suppress(ContainerGone):
        await case.around.engine.kill(case.handle(name))


async def end(case: Case, why: Ending) -> None:
    try:
        await case.around.journal.append(record.ending(case.task.id, why))
    except JournalFault as fault:  # done all the same: what is left of the reason is in what the engine shows
        log.error("ending not on disk task=%s error=%s", case.task.id, fault)
    case.task = replace(case.task, ending=why)
    log.info("ending task=%s code=%s reason=%s", case.task.id, why.stop_code, why.reason)


async def finish(case: Case, outcome: Report) -> None:
    try:
        await case.around.journal.append(record.outcome(outcome))
    except JournalFault as fault:  # told all the same: a restart would find it out again from the container
        log.error("outcome not on disk task=%s error=%s", case.task.id, fault)
    case.task = replace(case.task, outcome=outcome)
    network.release(case)
    for name, seen in case.view.seen.items():
        if _wrote(seen):
            case.around.log_store.keep_soon(case.around.engine, case.task.id, name, case.handle(name))
    log.info("stopped task=%s code=%s reason=%s", case.task.id, outcome.stop_code, outcome.stopped_reason)


async def remove(case: Case, name: str) -> None:
    if _wrote(case.view.seen[name]):
        await case.around.log_store.keep(case.around.engine, case.task.id, name, case.handle(name))
    await case.around.engine.remove(case.handle(name))
    case.see(name, replace(case.view.seen[name], status=ABSENT))
    if not machine.holds_containers(case.task, case.view):
        volumes = {volume for seen in case.view.seen.values() for volume in seen.volumes}
        for volume in sorted(volumes):
            await case.around.engine.remove_volume(volume)


async def note_failure(case: Case, name: str) -> None:
    """On disk if the task goes on without the container; an essential one's is in the outcome that follows."""
    essential = any(plan.name == name and plan.essential for plan in case.task.containers)
    if name in case.task.failures and not essential:
        await case.around.journal.append(record.failed(case.task.id, name, case.task.failures[name]))


def _wrote(seen: Seen) -> bool:
    """It may have: it ran, and is still there to be asked."""
    return seen.status == EXITED and seen.started_at is not None
