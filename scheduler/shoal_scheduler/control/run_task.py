"""RunTask and StartTask: from a request to tasks on instances, or the reasons why not."""

from collections.abc import Iterator, Sequence

import msgspec

from shoal_scheduler.control import clusters, definitions, instances
from shoal_scheduler.control import inputs as i
from shoal_scheduler.control.assignment import held_row, place_of
from shoal_scheduler.control.context import Context, Outcome
from shoal_scheduler.model.ask import Ask
from shoal_scheduler.model.definition import Definition
from shoal_scheduler.model.refusal import Refused
from shoal_scheduler.model.task import ContainerState, Failure, Launch, Task, ask_of
from shoal_scheduler.placement.place import Spot, Unplaceable, place, place_on
from shoal_scheduler.state import changes as c
from shoal_scheduler.state.instance_table import InstanceTable
from shoal_scheduler.state.overlay import Overlay
from shoal_scheduler.state.seen import shape_of

# Tasks of a cluster that wait for room.
WAITING_TASKS_MAX = 100_000


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
    definition = active_definition(view, request.definition)
    launch = launch_of(request, definition, context)
    ask = ask_of(launch, definition)
    spots, failures = _spots(view, request, ask, context)
    waiting = request.count - len(spots) if request.queue else 0
    if waiting:
        _refuse_too_long_a_queue(view, request.cluster, waiting)
        failures = ()
    if not spots and not waiting:
        return Outcome(i.Launched(None, (), failures))
    launch = msgspec.structs.replace(launch, count=len(spots) + waiting, failures=failures)
    tasks = list(tasks_of(view, launch, definition, spots))
    changes: list[c.Change] = [c.PutLaunch(launch), *map(c.PutTask, tasks)]
    return Outcome(i.Launched(launch, tasks, failures), changes, placed=True)


def active_definition(view: Overlay, name: str) -> Definition:
    """Raises Refused."""
    definition = definitions.find(view, name)
    definitions.refuse_of_jobs(definition)
    if definition.status != "ACTIVE":
        raise Refused(
            "failed_precondition",
            f"taskDefinition: {definition.name} is {definition.status}: register a new revision to run it.",
        )
    return definition


def _refuse_too_long_a_queue(view: Overlay, cluster: str, more: int) -> None:
    waiting = view.waiting_count(cluster)
    if waiting + more > WAITING_TASKS_MAX:
        raise Refused(
            "exhausted",
            f"queue: {waiting} tasks wait for room in cluster {cluster!r} and {more} more would; at most"
            f" {WAITING_TASKS_MAX} may. Add instances, stop some that wait, or run without queue.",
            reason="LimitExceededException",
        )


def _again(view: Overlay, request: i.RunTask, known: Launch) -> Outcome:
    if known.request_digest != request.request_digest:
        raise Refused(
            "conflict",
            "clientToken: it was used for a different request. Use a new token for a new request.",
            reason="ConflictException",
        )
    return Outcome(i.Launched(known, view.tasks_of_launch(known), known.failures))


def _spots(view: Overlay, request: i.RunTask, ask: Ask, context: Context) -> tuple[Sequence[Spot], tuple[Failure, ...]]:
    """Where each task goes, and what was not placed."""
    room = view.room(request.cluster)
    if request.instances:
        return _on_named_instances(view, request, ask, room)
    room.seen.add(shape_of(ask.resources), request.count)
    placed = place(ask, request.count, room, context.rng, held_row(view, request.cluster))
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


def tasks_of(view: Overlay, launch: Launch, definition: Definition, spots: Sequence[Spot]) -> Iterator[Task]:
    """Those that have a spot come first; the others wait."""
    containers = tuple(ContainerState(container["name"]) for container in definition.containers)
    for index, spot in enumerate(spots):
        instance, gpu_ids = place_of(view, launch, definition, spot)
        yield Task(launch=launch, index=index, instance=instance, containers=containers, gpu_ids=gpu_ids)
    for index in range(len(spots), launch.count):
        yield Task(launch=launch, index=index, last_status="PROVISIONING", containers=containers)


def _group(request: i.RunTask, definition: Definition) -> str:
    return request.group or f"family:{definition.family}"


def launch_of(request: i.RunTask, definition: Definition, context: Context) -> Launch:
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
        on_disconnect=request.on_disconnect,
    )
