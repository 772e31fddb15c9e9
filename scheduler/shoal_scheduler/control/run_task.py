"""RunTask and StartTask: from a request to tasks on instances, or the reasons why not."""

from collections.abc import Iterator, Sequence

import msgspec

from shoal_scheduler.control import clusters, definitions, instances
from shoal_scheduler.control import inputs as i
from shoal_scheduler.control.context import Context, Outcome
from shoal_scheduler.model.ask import Ask, deal_gpus
from shoal_scheduler.model.definition import Definition
from shoal_scheduler.model.refusal import Refused
from shoal_scheduler.model.task import ContainerState, Failure, Launch, Task, ask_of
from shoal_scheduler.placement.place import Spot, Unplaceable, place, place_on
from shoal_scheduler.state import changes as c
from shoal_scheduler.state.instance_table import InstanceTable
from shoal_scheduler.state.overlay import Overlay


def run(view: Overlay, request: i.RunTask, context: Context) -> Outcome:
    """All tasks of a submission become true together. What finds no room is answered as failures, at once.

    The same client token gets the same answer. A submission that placed nothing leaves nothing behind, so its
    token is still free to be tried again.
    """
    clusters.find(view, request.cluster)
    if request.client_token:
        known = view.launch_by_token(request.cluster, request.client_token)
        if known is not None:
            return _again(view, request, known)
    definition = definitions.find(view, request.definition)
    if definition.status != "ACTIVE":
        raise Refused(
            "failed_precondition",
            f"taskDefinition: {definition.name} is {definition.status}: register a new revision to run it.",
        )
    launch = _launch(request, definition, context)
    ask = ask_of(launch, definition)
    spots, failures = _spots(view, request, ask, context)
    waiting = request.count - len(spots) if request.queue and not request.instances else 0
    if waiting:
        failures = ()
    if not spots and not waiting:
        return Outcome(i.Launched(None, (), failures))
    launch = msgspec.structs.replace(launch, count=len(spots) + waiting, failures=failures)
    tasks = [*placed_tasks(view, launch, definition, spots), *_waiting_tasks(launch, definition, len(spots))]
    changes: list[c.Change] = [c.PutLaunch(launch), *map(c.PutTask, tasks)]
    return Outcome(i.Launched(launch, tasks, failures), changes, placed=True)


def _again(view: Overlay, request: i.RunTask, known: Launch) -> Outcome:
    if known.request_digest != request.request_digest:
        raise Refused(
            "conflict",
            "clientToken: it was used for a different request. Use a new token for a new request.",
            reason="ConflictException",
        )
    return Outcome(i.Launched(known, view.tasks_of_launch(known), known.failures))


def _spots(
    view: Overlay, request: i.RunTask, ask: Ask, context: Context
) -> tuple[Sequence[Spot], tuple[Failure, ...]]:
    """Where each task goes, and what was not placed."""
    room = view.room(request.cluster)
    if request.instances:
        return _on_named_instances(view, request, ask, room)
    placed = place(ask, request.count, room, context.rng)
    if placed.unplaceable is None:
        return placed.spots, ()
    missing = request.count - len(placed.spots)
    failure = Failure(reason=placed.unplaceable.reason, count=missing, detail=placed.unplaceable.detail)
    return placed.spots, (failure,)


def _on_named_instances(
    view: Overlay, request: i.RunTask, ask: Ask, room: InstanceTable
) -> tuple[Sequence[Spot], tuple[Failure, ...]]:
    """StartTask: no constraints or strategies, but still never more than an instance has."""
    spots, failures = [], []
    for name in request.instances:
        instance = instances.look_up(view, request.cluster, name)
        if instance is None:
            failures.append(Failure(arn=name, reason="MISSING", detail="no such container instance"))
            continue
        placed = place_on(ask, room.rows[instance.id], room)
        if isinstance(placed, Unplaceable):
            failures.append(Failure(arn=name, reason=placed.reason, detail=placed.detail))
        else:
            spots.append(placed)
    return spots, tuple(failures)


def placed_tasks(
    view: Overlay, launch: Launch, definition: Definition, spots: Sequence[Spot], first: int = 0
) -> Iterator[Task]:
    """The tasks of the launch from index `first` on, each in its spot."""
    found = view.room(launch.cluster).instances
    containers = _containers(definition)
    for index, spot in enumerate(spots, first):
        instance = found[spot.row]
        assert instance is not None, "a spot is on an instance"
        ids = [instance.gpu_ids[gpu] for gpu in spot.gpus]
        gpu_ids = deal_gpus(definition, launch.overrides, ids) if ids else None
        yield Task(launch=launch, index=index, instance=instance.id, containers=containers, gpu_ids=gpu_ids)


def _waiting_tasks(launch: Launch, definition: Definition, first: int) -> Iterator[Task]:
    containers = _containers(definition)
    for index in range(first, launch.count):
        yield Task(launch=launch, index=index, last_status="PROVISIONING", containers=containers)


def _containers(definition: Definition) -> tuple[ContainerState, ...]:
    return tuple(ContainerState(container["name"]) for container in definition.containers)


def _group(request: i.RunTask, definition: Definition) -> str:
    return request.group or f"family:{definition.family}"


def _launch(request: i.RunTask, definition: Definition, context: Context) -> Launch:
    return Launch(
        id=context.ids.launch_id(),
        cluster=request.cluster,
        definition=definition.name,
        created_at=context.now,
        count=request.count,
        group=_group(request, definition),
        started_by=request.started_by,
        launch_type=request.launch_type,
        overrides=request.overrides,
        tags=(definition.tags if request.propagate_tags else {}) | request.tags,
        enable_execute_command=request.enable_execute_command,
        client_token=request.client_token,
        request_digest=request.request_digest if request.client_token else "",
        expressions=request.expressions,
        distinct_instance=request.distinct_instance,
        strategies=request.strategies,
        queue=request.queue,
    )
