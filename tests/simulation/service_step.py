"""What one step of the leader stores of services, change by change: asked as it was when each was decided."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

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
from shoal_scheduler.model.task import Launch, Task
from shoal_scheduler.model.traffic import TargetGroup
from shoal_scheduler.state import changes as c
from shoal_scheduler.state.records import DeleteRecord, PutRecord
from shoal_scheduler.state.service_tables import SetTargetHealth
from shoal_scheduler.state.tables import Tables

from tests.simulation import service_checkers as checkers

if TYPE_CHECKING:
    from tests.simulation.service_witness import ServiceWitness

Faults = Iterator[checkers.Fault]


def moving(rebalance: Rebalance) -> frozenset[str]:
    """Tasks that leave their instance for it now."""
    return frozenset(move.task for move in rebalance.moves) if rebalance.is_in_progress else frozenset()


def halted_by(change: object) -> str:
    """The service; "" of all else."""
    record = change.record if isinstance(change, PutRecord) else None
    return record.service if isinstance(record, Deployment) and record.is_halted else ""


class Step:
    """What one step of the leader stores, change by change. `before`: the services as they were."""

    def __init__(self, witness: "ServiceWitness", tables: Tables, before: Mapping[str, Service], wall: int) -> None:
        self.witness, self.tables, self.before, self.wall = witness, tables, before, wall
        self.started: dict[str, Launch] = {}
        self.moved: set[str] = set()

        # Services whose last deployment was stopped where it was: whatever runs is what they are to run.
        self.halted = {name for name, each in before.items() if self._is_halted(each)}

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

    def _is_halted(self, service: Service) -> bool:
        deployment = self.witness.deployments.get(service.deployment)
        return deployment is not None and deployment.is_halted

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
        if service is not None and name not in self.halted:
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
            left = wanted if name in self.halted else self.witness.current(service)
            desired = min(each.desired_count for each in self._versions(name))
            yield checkers.what_is_good_is_not_stopped(task, name, len(left), desired)

    def _delay_millis(self, task: Task) -> int:
        names = [(task.launch.cluster, each.target_group) for each in self._load_balancers(task)]
        groups = [self.tables.records.get(TargetGroup, *name) for name in names]
        return 1000 * max(group.deregistration_delay for group in groups if group is not None)

    def _definition(self, task: Task) -> Definition:
        family, _, number = task.launch.definition.rpartition(":")
        return self.tables.definitions[family][int(number)]
