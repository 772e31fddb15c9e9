"""What a look at a service sees: one value, from which everything that follows is worked out. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shoal_scheduler.control.context import Context
from shoal_scheduler.model.instance import Instance
from shoal_scheduler.model.service import Deployment, Service, ServiceRevision
from shoal_scheduler.model.task import Task, TaskKey
from shoal_scheduler.model.traffic import TargetGroup, TargetHealth
from shoal_scheduler.state.overlay import Overlay
from shoal_scheduler.state.service_tables import ServiceKey


@dataclass(frozen=True, slots=True)
class ServiceView:
    """`tasks`: those that are not STOPPED. `deployment`: the latest. Of target groups those that its revisions name."""

    service: Service
    revision: ServiceRevision
    revisions: Mapping[str, ServiceRevision]
    deployment: Deployment
    tasks: Sequence[Task]
    instances: Mapping[str, Instance]
    target_health: Mapping[TaskKey, Mapping[str, TargetHealth]]
    target_groups: Mapping[str, TargetGroup]
    now: int

    @property
    def wanted(self) -> list[Task]:
        """Tasks that nobody has asked to stop: those that count."""
        return [task for task in self.tasks if task.desired_status == "RUNNING"]


def view_of(view: Overlay, key: ServiceKey, context: Context) -> ServiceView | None:
    """None if there is no such service, or nothing is to be seen to any more."""
    service = view.records.get(Service, *key)
    if service is None:
        return None
    revisions = {revision.id: revision for revision in view.records.of(ServiceRevision, *key)}
    deployment = view.records.get(Deployment, *key, service.deployment)
    revision = revisions.get(service.revision)
    if revision is None or deployment is None:
        return None
    tasks = sorted(view.tasks_of_service(key), key=lambda task: (task.launch.created_at, task.key))
    names = dict.fromkeys(each.target_group for one in revisions.values() for each in one.load_balancers)
    groups = {name: view.records.get(TargetGroup, service.cluster, name) for name in names}
    instances = {task.instance: view.instance(task.instance) for task in tasks if task.instance}
    return ServiceView(
        service=service,
        revision=revision,
        revisions=revisions,
        deployment=deployment,
        tasks=tasks,
        instances={name: instance for name, instance in instances.items() if instance is not None},
        target_health={task.key: view.target_health(task.key) for task in tasks},
        target_groups={name: group for name, group in groups.items() if group is not None},
        now=context.now,
    )
