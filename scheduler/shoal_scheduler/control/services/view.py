"""What a look at a service sees: one value, from which everything that follows is worked out. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from shoal_scheduler.control.context import Context
from shoal_scheduler.model.definition import Definition
from shoal_scheduler.model.instance import Instance
from shoal_scheduler.model.rebalance import Rebalance
from shoal_scheduler.model.service import ACTIVE, Deployment, Service, ServiceRevision
from shoal_scheduler.model.task import Task, TaskKey
from shoal_scheduler.model.traffic import TargetGroup, TargetHealth
from shoal_scheduler.state.overlay import Overlay
from shoal_scheduler.state.service_tables import ServiceKey


@dataclass(frozen=True, slots=True)
class ServiceView:
    """`tasks`: those that are not STOPPED, the oldest first. `deployment`: the latest. Of target groups those that its
    revisions name; of definitions those of its tasks and of the revision, by name with number."""

    service: Service
    revision: ServiceRevision
    revisions: Mapping[str, ServiceRevision]
    deployment: Deployment
    tasks: Sequence[Task]
    instances: Mapping[str, Instance]
    target_health: Mapping[TaskKey, Mapping[str, TargetHealth]]
    target_groups: Mapping[str, TargetGroup]
    now: int
    definitions: Mapping[str, Definition] = field(default_factory=dict)

    # By id of a task that a rebalance moves, the instance that it is to leave.
    moving: Mapping[str, str] = field(default_factory=dict)

    # Of a DAEMON: the instances that are to run one.
    daemon_on: Sequence[str] = ()

    @property
    def wanted(self) -> list[Task]:
        """Tasks that nobody has asked to stop: those that count."""
        return [task for task in self.tasks if task.desired_status == "RUNNING"]

    @property
    def desired(self) -> int:
        """How many tasks are to run. None of a service that was deleted."""
        if self.service.status != ACTIVE:
            return 0
        return len(self.daemon_on) if self.service.is_daemon else self.service.desired_count

    @property
    def minimum_healthy(self) -> int:
        """Fewer are not to be healthy because of what a look stops."""
        return -(-self.desired * self.service.configuration.minimum_healthy_percent // 100)

    @property
    def maximum_total(self) -> int:
        """More are not to be wanted because of what a look starts."""
        return self.desired * self.service.configuration.maximum_percent // 100

    def is_current(self, task: Task) -> bool:
        """Whether it is of what the service is to run now. After a forced deployment older tasks are not, whatever
        they run."""
        part = task.launch.service
        if part is None or part.revision != self.revision.id:
            return False
        deployment = self.deployment
        is_replaced = deployment.is_forced and deployment.revision == self.revision.id
        return part.deployment == deployment.id if is_replaced else True

    def is_leaving(self, task: Task) -> bool:
        """It is to run elsewhere: its instance is drained or goes, or a rebalance moves it."""
        instance = self.instances.get(task.instance)
        return task.id in self.moving or (instance is not None and instance.status != "ACTIVE")


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
        definitions=dict(_definitions(view, revision.definition, tasks)),
        moving=_moving(view, service),
    )


def _definitions(view: Overlay, wanted: str, tasks: Sequence[Task]) -> Iterator[tuple[str, Definition]]:
    for name in dict.fromkeys([wanted, *(task.launch.definition for task in tasks)]):
        family, _, number = name.rpartition(":")
        definition = view.definition(family, int(number))
        if definition is not None:
            yield name, definition


def _moving(view: Overlay, service: Service) -> dict[str, str]:
    return {
        move.task: move.source
        for rebalance in view.records.of(Rebalance, service.cluster)
        if rebalance.status == "IN_PROGRESS"
        for move in rebalance.moves
        if move.service == service.name
    }
