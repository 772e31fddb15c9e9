"""What the tasks are that a service starts now. Pure."""

from collections.abc import Mapping

from shoal_scheduler.control.context import Context
from shoal_scheduler.control.services.view import ServiceView
from shoal_scheduler.model.ask import Strategy
from shoal_scheduler.model.instance import ID_ATTRIBUTE
from shoal_scheduler.model.service import Service, ServicePart
from shoal_scheduler.model.task import Launch, Task

# ECS's, of a service that says nothing: as many in each availability zone, and there as many on each instance.
OVER_ZONES = Strategy("spread", "attribute:ecs.availability-zone")
DEFAULT_STRATEGIES = (OVER_ZONES, Strategy("spread", "instanceId"))

_PINNED = f"attribute:{ID_ATTRIBUTE} == "

# ECS's, with enableECSManagedTags.
CLUSTER_TAG, SERVICE_TAG = "aws:ecs:clusterName", "aws:ecs:serviceName"


def launch_of(seen: ServiceView, count: int, context: Context, instance: str = "") -> Launch:
    """They wait for room, if there is none. `instance`: the only one on which they may run."""
    service, revision, deployment = seen.service, seen.revision, seen.deployment
    return Launch(
        id=context.ids.launch_id(),
        cluster=service.cluster,
        definition=revision.definition,
        created_at=context.now,
        count=count,
        group=service.group,
        started_by=deployment.started_by,
        launch_type=revision.launch_type,
        expressions=pinned_to(seen, instance) if instance else expressions_of(seen),
        distinct_instance=service.distinct_instance,
        strategies=strategies_of(service),
        queue=True,
        on_disconnect=service.on_disconnect,
        service=ServicePart(
            service.name,
            revision.id,
            deployment.id,
            revision.images,
            resolves=not revision.is_resolved,
            is_target=bool(revision.load_balancers),
        ),
        tags=tags_of(seen),
        enable_execute_command=service.enable_execute_command,
    )


def strategies_of(service: Service) -> tuple[Strategy, ...]:
    return () if service.is_daemon else service.strategies or DEFAULT_STRATEGIES


def expressions_of(seen: ServiceView) -> tuple[str, ...]:
    """The service's constraints; and what takes the place of a task that a rebalance moves is not to go back to where
    that comes from."""
    return (*seen.service.expressions, *([seen.elsewhere] if seen.elsewhere else []))


def pinned_to(seen: ServiceView, instance: str) -> tuple[str, ...]:
    """The constraints of a daemon's task that is to run there."""
    return (*seen.service.expressions, f"{_PINNED}{instance}")


def instance_of(task: Task) -> str:
    """Of a daemon's task: where it runs or is to run."""
    return task.instance or "".join(task.launch.expressions[-1:]).removeprefix(_PINNED)


def is_outdated(seen: ServiceView, task: Task) -> bool:
    """It is not what would be started now: of what waits for room, not with these constraints either."""
    if not seen.is_current(task):
        return True
    wanted = pinned_to(seen, instance_of(task)) if seen.service.is_daemon else expressions_of(seen)
    return not task.instance and task.launch.expressions != wanted


def tags_of(seen: ServiceView) -> dict[str, str]:
    service = seen.service
    own = {"SERVICE": service.tags, "TASK_DEFINITION": _definition_tags(seen)}.get(service.propagate_tags, {})
    managed = {CLUSTER_TAG: service.cluster, SERVICE_TAG: service.name} if service.managed_tags else {}
    return {**own, **managed}


def _definition_tags(seen: ServiceView) -> Mapping[str, str]:
    definition = seen.definitions.get(seen.revision.definition)
    return definition.tags if definition is not None else {}
