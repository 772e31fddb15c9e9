"""RunTask and StartTask: from a request to tasks on instances, or the reasons why not."""

from collections.abc import Sequence

from shoal_scheduler.control import clusters, definitions, instances
from shoal_scheduler.control import inputs as i
from shoal_scheduler.control.context import Context, Outcome
from shoal_scheduler.model.ask import Ask, platform_of, resources_of
from shoal_scheduler.model.definition import Definition
from shoal_scheduler.model.refusal import Refused
from shoal_scheduler.model.task import ContainerState, Failure, Launch, Task
from shoal_scheduler.placement.place import place
from shoal_scheduler.state import changes as c
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
    where, failures = _where(view, request, definition, context)
    if not where:
        return Outcome(i.Launched(None, (), failures))
    launch = _launch(request, definition, len(where), failures, context)
    names = [container["name"] for container in definition.containers]
    containers = tuple(ContainerState(name) for name in names)
    tasks = [
        Task(launch=launch, index=index, instance=instance, containers=containers)
        for index, instance in enumerate(where)
    ]
    changes: list[c.Change] = [c.PutLaunch(launch)]
    changes.extend(c.PutTask(task) for task in tasks)
    return Outcome(i.Launched(launch, tasks, failures), changes)


def _again(view: Overlay, request: i.RunTask, known: Launch) -> Outcome:
    if known.request_digest != request.request_digest:
        raise Refused(
            "conflict",
            "clientToken: it was used for a different request. Use a new token for a new request.",
            reason="ConflictException",
        )
    return Outcome(i.Launched(known, view.tasks_of_launch(known), known.failures))


def _where(
    view: Overlay, request: i.RunTask, definition: Definition, context: Context
) -> tuple[Sequence[str], tuple[Failure, ...]]:
    """The instance of each task, and what was not placed."""
    ask = _ask(request, definition)
    if request.instances:
        return _on_named_instances(view, request, ask, context)
    placed = place(ask, request.count, view.candidates(request.cluster), context.rng)
    missing = request.count - len(placed.instances)
    if placed.unplaceable is None:
        return placed.instances, ()
    failure = Failure(reason=placed.unplaceable.reason, count=missing, detail=placed.unplaceable.detail)
    return placed.instances, (failure,)


def _on_named_instances(
    view: Overlay, request: i.RunTask, ask: Ask, context: Context
) -> tuple[Sequence[str], tuple[Failure, ...]]:
    """StartTask: no constraints or strategies, but still never more than an instance has."""
    where, failures = [], []
    for name in request.instances:
        instance = instances.look_up(view, request.cluster, name)
        if instance is None:
            failures.append(Failure(arn=name, reason="MISSING", detail="no such container instance"))
            continue
        placed = place(ask, 1, [view.candidate(instance)], context.rng)
        if placed.unplaceable is None:
            where.append(instance.id)
        else:
            failures.append(Failure(arn=name, reason=placed.unplaceable.reason, detail=placed.unplaceable.detail))
    return where, tuple(failures)


def _ask(request: i.RunTask, definition: Definition) -> Ask:
    constraints = definition.document.get("placementConstraints", ())
    return Ask(
        resources=resources_of(definition, request.overrides),
        group=_group(request, definition),
        expressions=(*request.expressions, *(constraint["expression"] for constraint in constraints)),
        distinct_instance=request.distinct_instance,
        strategies=request.strategies,
        required_attributes=platform_of(definition.document),
    )


def _group(request: i.RunTask, definition: Definition) -> str:
    return request.group or f"family:{definition.family}"


def _launch(
    request: i.RunTask, definition: Definition, count: int, failures: tuple[Failure, ...], context: Context
) -> Launch:
    return Launch(
        id=context.ids.launch_id(),
        cluster=request.cluster,
        definition=definition.name,
        created_at=context.now,
        count=count,
        group=_group(request, definition),
        started_by=request.started_by,
        launch_type=request.launch_type,
        overrides=request.overrides,
        tags=(definition.tags if request.propagate_tags else {}) | request.tags,
        enable_execute_command=request.enable_execute_command,
        client_token=request.client_token,
        request_digest=request.request_digest if request.client_token else "",
        failures=failures,
    )
