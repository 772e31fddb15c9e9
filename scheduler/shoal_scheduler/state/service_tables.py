"""What the tables derive for services: see `state.tables`. Changed through `put`, `delete` and `put_task` alone.

A service is looked at (control.services.reconcile) in the step after something of it changed, and when a look has said
that time will ask for it: `unsettled` and `due`. After a load all are.
"""

import heapq
from dataclasses import dataclass, field
from itertools import chain, islice

import msgspec

from shoal_scheduler.model.instance import Instance
from shoal_scheduler.model.rebalance import Rebalance
from shoal_scheduler.model.service import Deployment, Service, ServiceRevision
from shoal_scheduler.model.task import Task, TaskKey
from shoal_scheduler.model.traffic import TargetHealth
from shoal_scheduler.state.records import Records

# Cluster and name.
ServiceKey = tuple[str, str]


@dataclass(frozen=True, slots=True)
class SetServiceLooked:
    """A step has looked at the service; the next look is at `due_at` (milliseconds), unless something of it changes
    before. With `again` it is in the next step, after all others that wait for theirs. Volatile."""

    service: ServiceKey
    due_at: int | None = None
    again: bool = False


@dataclass(frozen=True, slots=True)
class SetTargetHealth:
    """What the ingress says of a task as a target of a group; None if it says nothing any more. Volatile."""

    task: TaskKey
    target_group: str
    health: TargetHealth | None


@dataclass(slots=True)
class ServiceTables:
    # Derived: tasks of each service that are not STOPPED.
    live: dict[ServiceKey, dict[TaskKey, None]] = field(default_factory=dict)

    # Derived: by cluster, DAEMON services.
    daemons: dict[str, dict[ServiceKey, None]] = field(default_factory=dict)

    # Derived: services to be looked at in the next step, and when time asks for a look; with a heap of those times, in
    # which those stand as well that are not true any more.
    unsettled: dict[ServiceKey, None] = field(default_factory=dict)
    due: dict[ServiceKey, int] = field(default_factory=dict)
    _next_due: list[tuple[int, ServiceKey]] = field(default_factory=list)

    # Volatile: by task and target group.
    target_health: dict[TaskKey, dict[str, TargetHealth]] = field(default_factory=dict)

    # -- reading -------------------------------------------------------------------------------------------

    def next_due(self) -> int | None:
        """In milliseconds; None if time will ask for no look."""
        while self._next_due and self.due.get(self._next_due[0][1]) != self._next_due[0][0]:
            heapq.heappop(self._next_due)
        return self._next_due[0][0] if self._next_due else None

    def to_look_at(self, now: int, limit: int) -> list[ServiceKey]:
        """The first ones: those for which it is time, then the others in the order in which they came to it."""
        overdue: list[ServiceKey] = []
        if (self.next_due() or now + 1) <= now:
            overdue = [key for at, key in sorted(self._next_due) if at <= now and self.due.get(key) == at]
        return list(islice(dict.fromkeys(chain(overdue, self.unsettled)), limit))

    # -- changing ------------------------------------------------------------------------------------------

    def put(self, record: msgspec.Struct) -> None:
        match record:
            case Service():
                key = (record.cluster, record.name)
                if record.is_daemon:
                    self.daemons.setdefault(record.cluster, {})[key] = None
                else:
                    self.daemons.get(record.cluster, {}).pop(key, None)
                self.stir(key)
            case ServiceRevision() | Deployment():
                self.stir((record.cluster, record.service))
            case Rebalance():
                for service in dict.fromkeys(move.service for move in (*record.moves, *record.over)):
                    self.stir((record.cluster, service))
            case _:
                return

    def delete(self, kind: type[msgspec.Struct], key: tuple[str, ...]) -> None:
        if kind is Service:
            cluster, name = key
            self.unsettled.pop((cluster, name), None)
            self.due.pop((cluster, name), None)
            self.daemons.get(cluster, {}).pop((cluster, name), None)

    def put_task(self, task: Task) -> None:
        """Of a launch that is a service's."""
        key = service_of(task)
        if key is None:
            return
        tasks = self.live.setdefault(key, {})
        if task.is_stopped:
            tasks.pop(task.key, None)
            self.target_health.pop(task.key, None)
        else:
            tasks[task.key] = None
        if not tasks:
            self.live.pop(key, None)
        self.stir(key)

    def put_instance(self, before: Instance | None, instance: Instance, tasks: list[Task]) -> None:
        """`tasks`: those that it has."""
        if before is not None and _is_alike(before, instance):
            return
        for task in tasks:
            key = service_of(task)
            if key is not None:
                self.stir(key)
        self.stir_daemons(instance.cluster)

    def stir_daemons(self, cluster: str) -> None:
        """An instance came, or is another."""
        for key in self.daemons.get(cluster, ()):
            self.stir(key)

    def stir_alarm(self, name: str, records: Records) -> None:
        for service in records.all(Service):
            if name in service.configuration.alarms.names:
                self.stir((service.cluster, service.name))

    def stir(self, key: ServiceKey) -> None:
        self.unsettled[key] = None

    def set_looked(self, change: SetServiceLooked) -> None:
        self.unsettled.pop(change.service, None)
        if change.again:
            self.stir(change.service)
        before = self.due.pop(change.service, None)
        if change.due_at is not None:
            self.due[change.service] = change.due_at
            if change.due_at != before:
                heapq.heappush(self._next_due, (change.due_at, change.service))

    def set_target_health(self, change: SetTargetHealth, task: Task | None) -> None:
        if task is None or task.is_stopped:
            return
        known = self.target_health.setdefault(change.task, {})
        before = known.pop(change.target_group, None)
        if change.health is not None:
            known[change.target_group] = change.health
        if not known:
            self.target_health.pop(change.task, None)
        key = service_of(task)
        if key is not None and before != change.health:
            self.stir(key)


def service_of(task: Task) -> ServiceKey | None:
    part = task.launch.service
    return None if part is None else (task.launch.cluster, part.service)


def _is_alike(before: Instance, after: Instance) -> bool:
    """In what matters to services."""
    return (before.status, before.interruption, before.attributes) == (
        after.status,
        after.interruption,
        after.attributes,
    )
