"""What a look at a service sees: one value, from which everything that follows is worked out. Pure."""

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from shoal_scheduler.control.context import Context
from shoal_scheduler.control.rebalance.leaving import leaving_expression, leaving_tasks, under_way
from shoal_scheduler.control.services.rollback import good_revision
from shoal_scheduler.model.alarm import Alarm
from shoal_scheduler.model.definition import Definition
from shoal_scheduler.model.instance import Instance
from shoal_scheduler.model.service import ACTIVE, Deployment, Service, ServiceRevision
from shoal_scheduler.model.task import Launch, Task, TaskKey, ask_of
from shoal_scheduler.model.traffic import TargetGroup, TargetHealth
from shoal_scheduler.placement.filters import may_ever_run_on
from shoal_scheduler.state.overlay import Overlay
from shoal_scheduler.state.service_tables import ServiceKey


@dataclass(frozen=True, slots=True)
class ServiceView:
    """`tasks`: those that are not STOPPED, oldest first. `revision`: of which tasks start. `deployment`: the latest.
    Of target groups those that its revisions name; of definitions those of its tasks and of the revision, by name with
    number."""

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

    # Of the service, in no order.
    deployments: Sequence[Deployment] = ()

    # By id of a task that a rebalance moves, the instance that it is to leave.
    moving: Mapping[str, str] = field(default_factory=dict)

    # Where its tasks may be placed as long as that goes on: of the query language, "" for anywhere.
    elsewhere: str = ""

    # By instance that has tasks of it, what is free there of `cpu` (units) and `memory` (MiB).
    free: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    # Of a DAEMON: the instances that are to run one; and those of its tasks' that are drained and still run others.
    daemon_on: Sequence[str] = ()
    draining_others: frozenset[str] = frozenset()

    # By name, those that its deployments are to heed.
    alarms: Mapping[str, Alarm] = field(default_factory=dict)

    # Of those, the ones whose agents are away.
    away: frozenset[str] = frozenset()

    # Since when this scheduler leads: see Context.
    led_since: int = 0

    # By definition, its containers whose health checks count. Worked out once: it is asked of each task.
    checked: Mapping[str, frozenset[str]] = field(init=False)

    def __post_init__(self) -> None:
        checked = {name: _checked(definition) for name, definition in self.definitions.items()}
        object.__setattr__(self, "checked", checked)

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
        they run; once a deployment was halted, all are."""
        if self.deployment.is_halted:
            return True
        part = task.launch.service
        if part is None or part.revision != self.revision.id:
            return False
        deployment = self.deployment
        is_replaced = deployment.is_forced and deployment.revision == self.revision.id
        return part.deployment == deployment.id if is_replaced else True

    def is_leaving(self, task: Task) -> bool:
        """It is to run elsewhere: its instance is drained or goes, or a rebalance moves it."""
        if self.moving and task.id in self.moving:
            return True
        instance = self.instances.get(task.instance)
        return instance is not None and instance.status != "ACTIVE"


def _checked(definition: Definition) -> frozenset[str]:
    """Essential ones that have a health check."""
    return frozenset(
        container["name"]
        for container in definition.containers
        if container.get("essential", True) is not False and container.get("healthCheck")
    )


def view_of(view: Overlay, key: ServiceKey, context: Context) -> ServiceView | None:
    """None if there is no such service, or nothing is to be seen to any more."""
    seen = view_at(view, key, context.now)
    return seen and replace(seen, led_since=context.led_since)


def view_at(view: Overlay, key: ServiceKey, now: int) -> ServiceView | None:
    """The same, for who only looks."""
    service = view.records.get(Service, *key)
    if service is None:
        return None
    revisions = {revision.id: revision for revision in view.records.of(ServiceRevision, *key)}
    deployment = view.records.get(Deployment, *key, service.deployment)
    if service.revision not in revisions or deployment is None:
        return None
    deployments = view.records.of(Deployment, *key)
    revision = revisions[_to_start(service, deployment, deployments, revisions)]
    tasks = sorted(view.tasks_of_service(key), key=lambda task: (task.launch.created_at, task.key))
    names = dict.fromkeys(each.target_group for one in revisions.values() for each in one.load_balancers)
    groups = {name: view.records.get(TargetGroup, service.cluster, name) for name in names}
    instances = {task.instance: view.instance(task.instance) for task in tasks if task.instance}
    rebalance = under_way(view, service.cluster)
    seen = ServiceView(
        service=service,
        revision=revision,
        revisions=revisions,
        deployment=deployment,
        tasks=tasks,
        instances={name: instance for name, instance in instances.items() if instance is not None},
        target_health={task.key: view.target_health(task.key) for task in tasks},
        target_groups={name: group for name, group in groups.items() if group is not None},
        now=now,
        definitions=dict(_definitions(view, revision.definition, tasks)),
        deployments=deployments,
        moving=leaving_tasks(rebalance, service.name),
        elsewhere=leaving_expression(rebalance, service.name),
        free=_free(view, service.cluster, instances),
        alarms=dict(_alarms(view, service)),
    )
    if not service.is_daemon or service.status != ACTIVE:
        return seen  # one that was deleted is to run nowhere
    places = _daemon_on(view, seen)
    return replace(
        seen,
        daemon_on=places,
        draining_others=frozenset(_draining_others(view, seen)),
        away=frozenset(name for name in places if not view.session(name)),
    )


def _to_start(
    service: Service, deployment: Deployment, deployments: Sequence[Deployment], known: Container[str]
) -> str:
    """The revision of which tasks start: what a halted deployment leads to no more, but what did well before it."""
    good = good_revision(deployments, known, deployment.revision) if deployment.is_halted else ""
    return good or service.revision


def _daemon_on(view: Overlay, seen: ServiceView) -> list[str]:
    """ACTIVE instances that meet the constraints, as the definition and the service have them."""
    definition = seen.definitions.get(seen.revision.definition)
    if definition is None:
        return []
    service = seen.service
    launch = Launch(
        id="", cluster=service.cluster, definition=definition.name, created_at=0, count=0, group=service.group,
        expressions=service.expressions,
    )  # fmt: skip
    room = view.room_to_read(service.cluster)
    rows = may_ever_run_on(ask_of(launch, definition), room).nonzero()[0]
    return [instance.id for row in rows.tolist() if (instance := room.instances[row]) is not None]


def _draining_others(view: Overlay, seen: ServiceView) -> Iterator[str]:
    """Instances that are to be empty, and on which tasks run that are no daemon's: these go first, as with ECS."""
    for instance in seen.instances.values():
        if instance.status != "ACTIVE" and any(not _is_daemon(view, task) for task in view.tasks_on(instance.id)):
            yield instance.id


def _is_daemon(view: Overlay, task: Task) -> bool:
    part = task.launch.service
    service = view.records.get(Service, task.launch.cluster, part.service) if part is not None else None
    return service is not None and service.is_daemon


def _definitions(view: Overlay, wanted: str, tasks: Sequence[Task]) -> Iterator[tuple[str, Definition]]:
    for name in dict.fromkeys([wanted, *(task.launch.definition for task in tasks)]):
        family, _, number = name.rpartition(":")
        definition = view.definition(family, int(number))
        if definition is not None:
            yield name, definition


def _alarms(view: Overlay, service: Service) -> Iterator[tuple[str, Alarm]]:
    for name in service.configuration.alarms.names:
        alarm = view.alarm(name)
        if alarm is not None:
            yield name, alarm


def _free(view: Overlay, cluster: str, instances: Iterable[str]) -> dict[str, dict[str, int]]:
    room = view.room_to_read(cluster)
    rows = {name: room.rows[name] for name in instances if name in room.rows}
    return {name: {"cpu": int(room.free_cpu[row]), "memory": int(room.free_memory[row])} for name, row in rows.items()}
