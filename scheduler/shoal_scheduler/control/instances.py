"""Container instances: their agents come and go, operators drain and deregister them."""

from collections.abc import Iterator, Sequence

import msgspec
from shoal import arn
from shoal.interruption import OPERATOR

from shoal_scheduler.control import clusters, host_loss, interruption, joining, tasks
from shoal_scheduler.control import inputs as i
from shoal_scheduler.control.context import Context, Outcome
from shoal_scheduler.model.instance import Health, Instance
from shoal_scheduler.model.interruption import Interruption
from shoal_scheduler.model.refusal import Refused
from shoal_scheduler.model.task import Failure, Task
from shoal_scheduler.state import changes as c
from shoal_scheduler.state.overlay import Overlay

# Of its own for each instance, beside those its agent found: the record must stay small.
ATTRIBUTES_MAX = 100

# As many keys as the largest submission touches (see control.step).
KEYS_PER_DEREGISTRATION = 40
BYTES_PER_DEREGISTRATION = 400_000


def hello(view: Overlay, request: i.AgentHello, context: Context) -> Outcome:
    """A session opens. Only a higher incarnation may take over from an open session: an equal or lower one is a
    copy of the agent's key or a ghost, and nothing is taken from the tasks that run."""
    clusters.find(view, request.cluster)
    known = view.instance(request.instance)
    joining.check_not_revoked(known)
    joining.check_no_copy(known, request.run)
    open_incarnation = view.session(request.instance)
    if open_incarnation and request.incarnation <= open_incarnation:
        raise Refused(
            "conflict",
            f"Instance {request.instance} already has a session, of incarnation {open_incarnation}. If its key was"
            " copied to another host, give that host an identity of its own.",
        )
    if known is not None and known.status == "INACTIVE" and request.incarnation <= known.incarnation:
        raise Refused(
            "failed_precondition",
            f"Instance {request.instance} was deregistered. Start its agent again to have it back.",
        )
    session = c.SetSession(request.instance, request.incarnation)
    health = c.SetHealth(request.instance, Health(request.health_status, request.health_reason, context.now))
    said = _as_said(known, request, context.now)
    if request.notice is not None:
        said = interruption.noticed(said, request.notice, context.now)
    if known is not None and said == known:  # it only comes back: no write, however many do
        return Outcome(known, [session, health])
    seen = msgspec.structs.replace(said, version=known.version + 1) if known is not None else said
    return Outcome(seen, [c.PutInstance(seen), session, health])


def _as_said(known: Instance | None, request: i.AgentHello, now: int) -> Instance:
    known = known or Instance(id=request.instance, cluster=request.cluster, registered_at=now)
    said = {
        "status": "ACTIVE" if known.status == "INACTIVE" else known.status,
        "interruption": None if known.status == "INACTIVE" else known.interruption,
        "incarnation": request.incarnation,
        "hostname": request.hostname,
        "cpu": request.cpu,
        "memory_mib": request.memory_mib,
        "gpu_ids": request.gpu_ids,
        "custom": dict(request.custom),
        "reserved_tcp": request.reserved_tcp,
        "reserved_udp": request.reserved_udp,
        "agent_version": request.agent_version,
        "docker_version": request.docker_version,
        "watchdog": request.watchdog,
        "agent_attributes": dict(request.attributes),
        "tags": known.tags or dict(request.tags),
    }
    if joining.alarm_is_over(known, now):
        said |= {"copy_seen_at": 0, "copy_host": ""}
    return msgspec.structs.replace(known, **said)


def session_closed(view: Overlay, request: i.SessionClosed, _context: Context) -> Outcome:
    """Only the session that is open can close: a late word of an earlier one changes nothing."""
    if view.session(request.instance) != request.incarnation:
        return Outcome(None)
    return Outcome(None, [c.SetSession(request.instance, 0)])


def engine_health(view: Overlay, request: i.EngineHealth, context: Context) -> Outcome:
    """Kept while the session lasts: with the next one the agent says it again."""
    if view.session(request.instance) != request.incarnation:
        return Outcome(None)
    return Outcome(None, [c.SetHealth(request.instance, Health(request.status, request.reason, context.now))])


def images_held(view: Overlay, request: i.ImagesHeld, _context: Context) -> Outcome:
    """In memory only: every session begins with all of them, so that who leads next learns them anew."""
    if view.session(request.instance) != request.incarnation:
        return Outcome(None)
    return Outcome(None, [c.SetImages(request.instance, request.images, request.removed, request.full)])


def update_state(view: Overlay, request: i.UpdateInstances, context: Context) -> Outcome:
    """Of an interruption that says nothing new, nothing changes. ACTIVE takes one back."""
    clusters.find(view, request.cluster)
    updated, failures = [], []
    for name in request.instances:
        instance = look_up(view, request.cluster, name)
        if instance is None:
            failures.append(Failure(arn=name, reason="MISSING", detail="no such container instance"))
        else:
            updated.append(_updated(instance, request, context.now))
    changed = [instance for instance in updated if instance is not view.instance(instance.id)]
    return Outcome(i.InstancesUpdated(tuple(updated), tuple(failures)), [c.PutInstance(each) for each in changed])


def _updated(instance: Instance, request: i.UpdateInstances, now: int) -> Instance:
    if request.interruption_seconds is not None:
        deadline = now + request.interruption_seconds * 1000
        return interruption.interrupted(
            instance, Interruption(source=OPERATOR, noticed_at=now, deadline=deadline, reason=request.reason)
        )
    kept = instance.interruption if request.status == "DRAINING" else None
    return msgspec.structs.replace(instance, status=request.status, interruption=kept, version=instance.version + 1)


def deregister(view: Overlay, request: i.DeregisterInstance, context: Context) -> Outcome:
    """Refused while tasks run, unless forced: then they are STOPPED here and, should the host come back, there.

    By force is an operator's word that nothing runs there any more: tasks that are to be replaced when their instance
    is lost are replaced at once.

    Of many submissions only some tasks are stopped at a time: the instance is DRAINING until a repeated request
    finds no more than one step may touch, and INACTIVE then.
    """
    clusters.find(view, request.cluster)
    instance = find(view, request.cluster, request.instance)
    running = view.tasks_on(instance.id)
    if running and not request.force:
        raise Refused(
            "failed_precondition",
            f"Instance {instance.id} still has {len(running)} tasks: drain it and stop them, or use force.",
            reason="InvalidParameterException",
        )
    reason = f"Container instance {instance.id} was deregistered by force"
    ended = list(_within_a_step(running))
    status = "INACTIVE" if len(ended) == len(running) else "DRAINING"
    why = instance.interruption if status == "DRAINING" else None
    seen = msgspec.structs.replace(instance, status=status, interruption=why, version=instance.version + 1)
    changes: list[c.Change] = [c.PutInstance(seen), c.SetSession(instance.id, 0)]
    for task in ended:
        changes.append(c.PutTask(tasks.over(task, "InfrastructureHealth", reason, context.now)))
        if host_loss.is_replaced(task):
            changes += host_loss.replacing(task, context)
    return Outcome(seen, changes)


def _within_a_step(running: Sequence[Task]) -> Iterator[Task]:
    """The first tasks, up to what one input may touch."""
    touched, weight = set[object](), 0
    for task in running:
        weight += host_loss.weight_of_losing(task, touched)
        touched |= host_loss.touched_by_losing(task)
        if len(touched) > KEYS_PER_DEREGISTRATION or weight > BYTES_PER_DEREGISTRATION:
            return
        yield task


def change_attributes(view: Overlay, request: i.ChangeAttributes, _context: Context) -> Outcome:
    clusters.find(view, request.cluster)
    changed: dict[str, Instance] = {}
    answer = []
    for name, attribute, value in request.attributes:
        instance = find(view, request.cluster, name)
        instance = changed.get(instance.id, instance)
        kept = {key: old for key, old in instance.custom_attributes.items() if key != attribute}
        custom = kept if value is None else kept | {attribute: value}
        if len(custom) > ATTRIBUTES_MAX:
            raise Refused(
                "exhausted",
                f"Instance {instance.id} would have {len(custom)} custom attributes, at most {ATTRIBUTES_MAX} may be:"
                " delete some first.",
                reason="AttributeLimitExceededException",
            )
        changed[instance.id] = msgspec.structs.replace(instance, custom_attributes=custom, version=instance.version + 1)
        answer.append((instance.id, attribute, value or ""))
    changes: Sequence[c.Change] = [c.PutInstance(instance) for instance in changed.values()]
    return Outcome(tuple(answer), changes)


def look_up(view: Overlay, cluster: str, name: str) -> Instance | None:
    instance = view.instance(arn.short(name))
    if instance is None or instance.cluster != cluster or instance.status == "INACTIVE":
        return None
    return instance


def find(view: Overlay, cluster: str, name: str) -> Instance:
    """By id or ARN. Raises Refused."""
    instance = look_up(view, cluster, name)
    if instance is None:
        raise Refused(
            "not_found",
            f"containerInstance: there is no instance {name!r} in cluster {cluster!r}."
            " List them with ListContainerInstances.",
            reason="InvalidParameterException",
        )
    return instance
