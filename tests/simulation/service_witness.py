"""Sees what becomes of services: in the records, and in what containers really did. Part of the witness."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from shoal_scheduler.model.definition import Definition
from shoal_scheduler.model.rebalance import Rebalance
from shoal_scheduler.model.scaling import ScalableTarget
from shoal_scheduler.model.service import (
    DAEMON,
    OVER,
    Deployment,
    LoadBalancer,
    Service,
    ServicePart,
    ServiceRevision,
)
from shoal_scheduler.model.task import Launch, Task, TaskKey
from shoal_scheduler.model.traffic import TargetGroup
from shoal_scheduler.state import changes as c
from shoal_scheduler.state.records import DeleteRecord, PutRecord
from shoal_scheduler.state.service_tables import SetTargetHealth
from shoal_scheduler.state.tables import Tables

from tests.simulation import service_checkers as checkers
from tests.simulation.containers import Box
from tests.simulation.plan import SERVICES, Plan
from tests.simulation.scaling_witness import ScalingWitness
from tests.simulation.trace import Trace

# With these alone a leader goes on leading, and has a store that answers.
STEADY = (
    SERVICES,
    *("burst", "cancel race", "drain", "interruption", "interruption notice", "removed by hand", "foreign container"),
    *("agent crash", "agent pause", "double start", "disk full", "disk slow", "journal lost", "host dies", "reset"),
    *("reply lost", "start fails", "stop hangs", "engine restart", "engine hangs", "silent events", "image missing"),
)
START_SECONDS = 3.0

# With these alone an agent tells at once what it sees, and a host that dies is all that is silent.
CALM = (SERVICES, "burst", "cancel race", "drain", "host dies", "start fails", "image missing")
DEAD_SECONDS, LOST_SECONDS = 3.0, 20.0

Faults = Iterator[checkers.Fault]


class ServiceWitness:
    """`recorded`: every task by its id, as it was stored last; belongs to the witness."""

    def __init__(self, trace: Trace, recorded: Mapping[str, Task], plan: Plan) -> None:
        self.trace, self.recorded = trace, recorded
        self.services: dict[str, Service] = {}
        self.revisions: dict[str, ServiceRevision] = {}
        self.deployments: dict[str, Deployment] = {}
        self.live: dict[str, dict[str, Task]] = {}
        self.statuses: dict[str, str] = {}  # of instances
        self.moving: frozenset[str] = frozenset()  # tasks that leave for a rebalance
        self.going: set[str] = set()  # instances that are interrupted
        self.agent_knows: Callable[[str], bool] = lambda _instance: False  # that its host goes, before the scheduler
        self.targets: dict[TaskKey, dict[str, str]] = {}  # what is said of them, by target group
        self.tables: Tables | None = None
        self._revision = 0
        self.launches: set[str] = set()
        self.is_steady = set(plan.kinds) <= set(STEADY)
        self.is_calm = set(plan.kinds) <= set(CALM)

        self.scaling = ScalingWitness()

        # Of deployments that are over, how they ended and how long they took, in milliseconds.
        self.ends: dict[str, tuple[str, int]] = {}

        # By revision and container, what its tasks really ran, and the first of them.
        self._digests: dict[tuple[str, str], tuple[str, str]] = {}

        # By deployment, tasks that have failed since the count began anew; and since when they are too many.
        self.failed: dict[str, int] = {}
        self._tripped: dict[str, float] = {}

        # By deployment, starts in a row that failed, and when the last one did, in milliseconds.
        self.failures: dict[str, tuple[int, int]] = {}

        # Since when tasks of a service are missing, and since when a container is dead of which nobody has told.
        self._lacks: dict[str, tuple[float, int]] = {}
        self._dead: dict[str, tuple[float, float]] = {}

    # Engines.

    def started(self, box: Box) -> checkers.Fault:
        task = self.recorded.get(box.task)
        if task is None or task.launch.service is None or not box.digest:
            return None
        key = task.launch.service.revision, box.container
        digest, first = self._digests.setdefault(key, (box.digest, task.id))
        revision = self.revisions.get(key[0])
        if revision is not None and not revision.is_resolved and self.recorded[first].is_stopped:
            self._digests[key] = box.digest, task.id  # the first was lost before it could tell
            return None
        return checkers.one_digest_per_revision(*key, box.digest, digest)

    def ended(self, box: Box, now: float) -> checkers.Fault:
        task = self.recorded.get(box.task)
        if task is None or task.launch.service is None:
            return None
        if box.ended_by == "agent":
            is_driven = self.statuses.get(task.instance) == "INACTIVE" or self.goes(task.instance)
            return None if is_driven else checkers.what_drains_runs_on(box.id, task)
        self._dead[task.id] = now, LOST_SECONDS if box.ended_by == "host" else DEAD_SECONDS
        return None

    # Schedulers.

    def leads(self, tables: Tables, now: float) -> checkers.Fault:
        """What a new leader has loaded: of some of it nobody was told."""
        self.tables, self.live, self._revision = tables, {}, max(self._revision, tables.revision)
        self.failed = {each.id: each.failed_tasks for each in tables.records.all(Deployment)}
        self._tripped = dict.fromkeys(self._tripped, now)
        self.failures.clear()  # it may have seen tasks that ran, of which nobody was told
        self._lacks = {name: (now, missing) for name, (_, missing) in self._lacks.items()}
        for deployment in tables.records.all(Deployment):
            fault = checkers.what_is_over_stays_so(deployment, self.deployments.get(deployment.id))
            if fault:
                return fault
        self.services = {each.name: each for each in tables.records.all(Service)}
        self.revisions = {each.id: each for each in tables.records.all(ServiceRevision)}
        self.deployments = {each.id: each for each in tables.records.all(Deployment)}
        known = tables.services.target_health
        self.targets = {key: {name: each.state for name, each in said.items()} for key, said in known.items()}
        self.scaling.leads(tables)
        self.going = {each.id for each in tables.instances.values() if each.interruption is not None}
        self.statuses = {each.id: each.status for each in tables.instances.values()}
        self.moving = frozenset().union(*map(moving, tables.records.all(Rebalance)))
        for task in tables.tasks():
            if task.launch.service is not None and not task.is_stopped:
                self.live.setdefault(task.launch.service.service, {})[task.id] = task
        self.launches |= set(tables.launches)
        return None

    def committed(self, tables: Tables, changes: Sequence[c.Change], wall: int, now: float) -> checkers.Fault:
        """`wall`: the step's own time, in milliseconds; `now` in seconds of the virtual clock."""
        if tables is not self.tables:  # the first step of a new leader, who has loaded more than was told
            return self.leads(tables, now) if tables.revision > self._revision else None
        self._revision = max(self._revision, tables.revision)
        before = dict(self.services)
        step = _Step(self, tables, before, wall)
        for change in changes:
            fault = next(filter(None, step.saw(change)), None)
            if fault:
                return fault
        self._note_what_lacks(wall, now)
        return next(filter(None, step.ended()), None)

    def _note_what_lacks(self, wall: int, now: float) -> None:
        for name, service in self.services.items():
            if (missing := self.missing(service, wall)) <= 0:
                self._lacks.pop(name, None)
            else:
                self._lacks[name] = self._lacks.get(name, (now, 0))[0], missing
        tripped = [each.deployment for each in self.services.values() if self._is_given_up(each)]
        self._tripped = {name: self._tripped.get(name, now) for name in tripped}

    def _is_given_up(self, service: Service) -> bool:
        deployment = self.deployments.get(service.deployment)
        return service.status == "ACTIVE" and deployment is not None and checkers.is_given_up(service, deployment)

    def missing(self, service: Service, wall: int) -> int:
        """Tasks that are to be started now. Of a DAEMON nobody counts."""
        deployment = self.deployments.get(service.deployment)
        revision = self.revisions.get(service.revision)
        if (
            service.status != "ACTIVE"
            or service.scheduling_strategy == DAEMON
            or deployment is None
            or revision is None
        ):
            return 0
        if deployment.is_halted or wall <= deployment.retry_at:
            return 0
        wanted = self.wanted(service.name)
        places = checkers.maximum(service, service.desired_count) - len(wanted)
        if revision.is_resolved:
            return min(places, service.desired_count - len(wanted))
        return min(places, min(1, service.desired_count) - len(self.current(service)))

    def goes(self, instance: str) -> bool:
        return instance in self.going or self.agent_knows(instance)

    def wanted(self, name: str) -> list[Task]:
        return [task for task in self.live.get(name, {}).values() if checkers.is_wanted(task)]

    def current(self, service: Service) -> list[Task]:
        """Those of the revision that it is to run."""
        tasks = self.wanted(service.name)
        return [task for task in tasks if task.launch.service and task.launch.service.revision == service.revision]

    def under_way(self, name: str) -> list[str]:
        """Ids of deployments that are not over."""
        return [each.id for each in self.deployments.values() if each.service == name and each.status not in OVER]

    # While time goes by.

    @property
    def waits(self) -> bool:
        """Whether anything is to come in time."""
        return bool(((self._lacks or self._tripped) and self.is_steady) or (self._dead and self.is_calm))

    def late(self, now: float) -> Faults:
        for deployment, since in self._tripped.items() if self.is_steady else ():
            yield checkers.who_failed_too_often_is_given_up(deployment, now - since, START_SECONDS)
        for name, (since, missing) in self._lacks.items() if self.is_steady else ():
            yield checkers.what_is_missing_starts_in_time(name, missing, now - since, START_SECONDS)
        for task_id, (since, bound) in list(self._dead.items()) if self.is_calm else ():
            if not checkers.is_wanted(self.recorded[task_id]):
                del self._dead[task_id]
            else:
                yield checkers.what_is_dead_is_told(task_id, now - since, bound)


def moving(rebalance: Rebalance) -> frozenset[str]:
    """Tasks that leave their instance for it now."""
    return frozenset(move.task for move in rebalance.moves) if rebalance.is_in_progress else frozenset()


class _Step:
    """What one step of the leader stores, change by change. `before`: the services as they were."""

    def __init__(self, witness: ServiceWitness, tables: Tables, before: Mapping[str, Service], wall: int) -> None:
        self.witness, self.tables, self.before, self.wall = witness, tables, before, wall
        self.started: dict[str, Launch] = {}
        self.moved: set[str] = set()

    def saw(self, change: object) -> Faults:
        witness = self.witness
        match change:
            case c.PutTask(task) if task.launch.service is not None:
                yield from self._saw_task(task, task.launch.service.service)
            case c.PutLaunch(launch) if launch.service is not None and launch.id not in witness.launches:
                witness.launches.add(launch.id)
                self.started[launch.service.service] = launch
                yield from self._saw_launch(launch, launch.service.service)
            case SetTargetHealth(key, group, said):
                witness.targets.setdefault(key, {})[group] = said.state if said is not None else ""
            case c.PutInstance(instance):
                witness.statuses[instance.id] = instance.status
                (witness.going.discard if instance.interruption is None else witness.going.add)(instance.id)
            case PutRecord(Service() as service):
                self._say(f"service {service.name} {service.status} {service.desired_count} {service.revision[-4:]}")
                witness.services[service.name] = service
            case PutRecord(ServiceRevision() as revision):
                self._say(f"revision {revision.id[-4:]} {revision.definition} {[d[-6:] for _, d in revision.images]}")
                witness.revisions[revision.id] = revision
            case PutRecord(Deployment() as deployment):
                yield from self._saw_deployment(deployment)
            case PutRecord(Rebalance() as rebalance):
                self._say(f"rebalance {rebalance.kind} {rebalance.status} {sorted(moving(rebalance))}")
                witness.moving = moving(rebalance)
            case PutRecord(record):
                yield from self._saw_scaling(record)
            case DeleteRecord(kind, key) if kind is ScalableTarget:
                witness.scaling.forget(key[-1])
            case DeleteRecord(kind, key) if kind is Service:
                witness.services.pop(key[-1], None)

    def _saw_scaling(self, record: object) -> Faults:
        service = self.witness.services.get(getattr(record, "service", ""))
        deployment = self.witness.deployments.get(service.deployment) if service is not None else None
        yield from self.witness.scaling.saw(record, is_deploying=deployment is not None and not deployment.is_over)

    def ended(self) -> Faults:
        """All of it is stored now."""
        for name in self.moved:
            yield checkers.one_deployment_is_under_way(name, self.witness.under_way(name))
            service = self.witness.services.get(name)
            deployment = self.witness.deployments.get(service.deployment) if service is not None else None
            if deployment is not None and deployment.status == "IN_PROGRESS":
                yield checkers.failures_are_counted(deployment, self.witness.failed[deployment.id])
        for name, launch in self.started.items():
            service, wanted = self.witness.services[name], self.witness.wanted(name)
            if service.scheduling_strategy != DAEMON:
                most = max(checkers.maximum(each, each.desired_count) for each in self._versions(name))
                yield checkers.the_maximum_holds(name, len(wanted), most)
            part = launch.service
            revision = self.witness.revisions.get(part.revision) if part else None
            current = self.witness.current(service)
            if revision is not None and service.scheduling_strategy != DAEMON:
                yield checkers.one_digest_at_the_time(launch, revision.is_resolved, len(current))

    def _say(self, words: str) -> None:
        self.witness.trace.say("services", words)

    def _versions(self, name: str) -> list[Service]:
        """The service before and after the step: what it decided, it decided of either."""
        return [each[name] for each in (self.before, self.witness.services) if name in each]

    def _saw_launch(self, launch: Launch, name: str) -> Faults:
        service = self.witness.services.get(name)
        deployment = self.witness.deployments.get(launch.service.deployment) if launch.service else None
        yield checkers.what_is_deleted_starts_nothing(launch, self.before.get(name, service))
        if service is not None:
            yield checkers.starts_what_is_wanted(launch, service, deployment)
        if service is not None and service.scheduling_strategy != DAEMON:
            kept = launch.count + sum(map(self._is_kept, self.witness.current(service)))
            yield checkers.no_more_start_than_are_missing(launch, name, kept, service.desired_count)
        if deployment is not None:
            yield checkers.who_fails_waits(launch, deployment.retry_at, self.wall)
            failures, failed_at = self.witness.failures.get(deployment.id, (0, 0))
            yield checkers.failures_slow_down(launch, failures, (self.wall - failed_at) / 1000)

    def _is_kept(self, task: Task) -> bool:
        is_away = "unhealthy" in self.witness.targets.get(task.key, {}).values()
        return not (is_away or checkers.is_sick(task) or self._is_to_leave(task))

    def _is_to_leave(self, task: Task) -> bool:
        return task.id in self.witness.moving or checkers.is_to_leave(task, self.witness.statuses)

    def _is_healthy(self, task: Task) -> bool:
        said = self.witness.targets.get(task.key, {})
        states = [said.get(each.target_group, "") for each in self._load_balancers(task)]
        return checkers.is_healthy(task, self._definition(task), states, self.wall)

    def _load_balancers(self, task: Task) -> Sequence[LoadBalancer]:
        part = task.launch.service
        revision = self.witness.revisions.get(part.revision) if part is not None else None
        return revision.load_balancers if revision is not None else ()

    def _saw_deployment(self, deployment: Deployment) -> Faults:
        witness, before = self.witness, self.witness.deployments.get(deployment.id)
        words = f"{deployment.status} {deployment.failed_tasks} failed, {deployment.start_failures} in a row"
        self._say(f"deployment {deployment.id[-4:]} of {deployment.service} {words} {deployment.reason}")
        yield checkers.what_is_over_stays_so(deployment, before)
        if before is None or before.status != deployment.status:
            witness.failures.pop(deployment.id, None)
        witness.deployments[deployment.id] = deployment
        if before is None or deployment.most_healthy > before.most_healthy:
            witness.failed[deployment.id] = deployment.failed_tasks
        self.moved.add(deployment.service)
        if deployment.is_over:
            witness.ends.setdefault(deployment.id, (deployment.status, self.wall - deployment.created_at))

    def _saw_task(self, task: Task, name: str) -> Faults:
        live = self.witness.live.setdefault(name, {})
        before = live.get(task.id)
        yield checkers.an_end_has_a_reason(task)
        if before is not None and self._load_balancers(task) and not self.witness.goes(task.instance):
            yield checkers.requests_are_answered_first(task, before, self._delay_millis(task), self.wall)
        if before is not None and not before.instance:
            yield checkers.nothing_comes_to_who_is_drained(task, self.witness.statuses)
        was_wanted = before is not None and checkers.is_wanted(before)
        healthy_before = before is not None and self._is_healthy(before)
        live[task.id] = task
        if task.is_stopped:
            del live[task.id]
        self._count_failures(task, before)
        is_its_doing = task.stop_code == checkers.SERVICE_SCHEDULER and not checkers.is_wanted(task)
        if before is not None and was_wanted and is_its_doing and name in self.witness.services:
            yield from self._stopped_by_the_scheduler(task, name, before, was_healthy=healthy_before)

    def _count_failures(self, task: Task, before: Task | None) -> None:
        """Tasks that start together count once."""
        part = task.launch.service
        if part is None or before is None:
            return
        self._count_failed(task, part)
        count, failed_at = self.witness.failures.get(part.deployment, (0, 0))
        if task.last_status == "RUNNING" and before.last_status != "RUNNING":
            self.witness.failures.pop(part.deployment, None)
        elif task.stop_code == "TaskFailedToStart" and task.is_stopped and task.launch.created_at > failed_at:
            self.witness.failures[part.deployment] = count + 1, self.wall

    def _count_failed(self, task: Task, part: ServicePart) -> None:
        service, deployment = (self.witness.services.get(part.service), self.witness.deployments.get(part.deployment))
        is_tried = service is not None and (service.deployment, service.revision) == (part.deployment, part.revision)
        is_open = deployment is not None and deployment.status not in (*OVER, "ROLLBACK_IN_PROGRESS")
        if is_tried and is_open and task.is_stopped and checkers.has_failed(task):
            self.witness.failed[part.deployment] = self.witness.failed.get(part.deployment, 0) + 1

    def _stopped_by_the_scheduler(self, task: Task, name: str, before: Task, *, was_healthy: bool) -> Faults:
        service, wanted = self.witness.services[name], self.witness.wanted(name)
        if service.status != "ACTIVE" or service.scheduling_strategy == DAEMON or not was_healthy:
            return
        is_leaving = self._is_to_leave(before)
        yield checkers.protected_is_not_stopped(before, name, self.wall)
        healthy = [each for each in wanted if self._is_healthy(each)]
        least = min(checkers.minimum(each, each.desired_count) for each in self._versions(name))
        yield checkers.the_scheduler_keeps_the_minimum(task, name, len(healthy), least)
        part = task.launch.service
        if part is not None and part.revision == service.revision and not is_leaving:
            left = self.witness.current(service)
            desired = min(each.desired_count for each in self._versions(name))
            yield checkers.what_is_good_is_not_stopped(task, name, len(left), desired)

    def _delay_millis(self, task: Task) -> int:
        names = [(task.launch.cluster, each.target_group) for each in self._load_balancers(task)]
        groups = [self.tables.records.get(TargetGroup, *name) for name in names]
        return 1000 * max(group.deregistration_delay for group in groups if group is not None)

    def _definition(self, task: Task) -> Definition:
        family, _, number = task.launch.definition.rpartition(":")
        return self.tables.definitions[family][int(number)]
