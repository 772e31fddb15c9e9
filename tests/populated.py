"""A cluster of services as tables, put together at will: for plans of rebalancing, which are carried out by a simple
model here: the replacement runs where it was planned, and the task is over."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

import msgspec
from shoal_scheduler.control.rebalance.candidates import ask_of_service
from shoal_scheduler.model.cluster import Cluster
from shoal_scheduler.model.definition import Definition
from shoal_scheduler.model.instance import Instance
from shoal_scheduler.model.rebalance import Move
from shoal_scheduler.model.service import SUCCESSFUL, Deployment, Service, ServicePart, ServiceRevision
from shoal_scheduler.model.task import Launch, Task, TaskKey
from shoal_scheduler.placement.place import Spot, Unplaceable, place_on
from shoal_scheduler.state.changes import Change, PutCluster, PutDefinition, PutInstance, PutLaunch, PutTask, SetSession
from shoal_scheduler.state.overlay import Overlay
from shoal_scheduler.state.records import PutRecord
from shoal_scheduler.state.tables import Tables

CLUSTER = "default"
ZONE = "ecs.availability-zone"
NOW = 1_000_000


class Populated:
    def __init__(self, tables: Tables | None = None) -> None:
        """`tables`: those of a scheduler that runs, which stores none of it."""
        self.tables = Tables() if tables is None else tables
        self._launches = 0
        self.apply(PutCluster(Cluster(name=CLUSTER, created_at=1)))

    def apply(self, *changes: Change) -> None:
        self.tables.apply(changes, self.tables.revision + 1)

    @property
    def view(self) -> Overlay:
        return Overlay(self.tables)

    def instance(self, name: str, zone: str = "", *, connected: bool = True, **more: Any) -> None:
        attributes = {ZONE: zone} if zone else {}
        size = {"cpu": 4096, "memory_mib": 8192} | more
        found = Instance(id=name, cluster=CLUSTER, registered_at=1, hostname=name, agent_attributes=attributes, **size)
        self.apply(PutInstance(found), SetSession(name, int(connected)))

    def service(self, name: str, cpu: int = 256, memory_mib: int = 512, **more: Any) -> None:
        """Its last deployment is over."""
        container = {"name": "app", "image": "busybox", "cpu": cpu, "memory": memory_mib} | more.pop("container", {})
        document = {"family": name, "containerDefinitions": [container]}
        ids: dict[str, Any] = {"cluster": CLUSTER, "service": name, "created_at": 1}
        status = more.pop("deployment_status", SUCCESSFUL)
        self.apply(
            PutDefinition(Definition(family=name, revision=1, registered_at=1, document=document)),
            PutRecord(Service(cluster=CLUSTER, name=name, created_at=1, revision="r1", deployment="d1", **more)),
            PutRecord(ServiceRevision(id="r1", definition=f"{name}:1", is_resolved=True, **ids)),
            PutRecord(Deployment(id="d1", revision="r1", status=status, **ids)),
        )

    def task(self, service: str, instance: str, **more: Any) -> Task:
        """RUNNING there, wherever it would fit."""
        self._launches += 1
        of = self.service_of(service)
        launch = Launch(
            id=f"{self._launches:024x}",
            cluster=CLUSTER,
            definition=f"{service}:1",
            created_at=1,
            count=1,
            group=of.group,
            queue=True,
            expressions=of.expressions,
            distinct_instance=of.distinct_instance,
            service=ServicePart(service, "r1", "d1"),
        )
        fields = {"last_status": "RUNNING", "started_at": self._launches, **more}
        task = Task(launch=launch, index=0, instance=instance, **fields)
        self.apply(PutLaunch(launch), PutTask(task))
        return task

    def service_of(self, name: str) -> Service:
        found = self.tables.records.get(Service, CLUSTER, name)
        assert found is not None
        return found

    def services(self) -> list[Service]:
        return sorted(self.tables.records.all(Service), key=lambda each: each.name)

    def desire(self, service: str, count: int) -> None:
        self.apply(PutRecord(msgspec.structs.replace(self.service_of(service), desired_count=count)))

    def tasks_of(self, service: str) -> list[Task]:
        return self.view.tasks_of_service((CLUSTER, service))

    def end(self, task: Task) -> None:
        self.apply(PutTask(_with(task, last_status="STOPPED", desired_status="STOPPED")))

    def carry_out(self, moves: Iterable[Move]) -> None:
        """Replacement first, one after another. Each must fit where it goes while the task is still there."""
        for move in moves:
            task = self.task_of(move)
            assert (task.instance, task.last_status) == (move.source, "RUNNING")
            where = self.place_on(move.service, move.target)
            assert isinstance(where, Spot), where
            self.task(move.service, move.target)
            self.end(task)

    def task_of(self, move: Move) -> Task:
        key = TaskKey.parse(move.task)
        task = None if key is None else self.tables.task(key)
        assert task is not None
        return task

    def place_on(self, service: str, instance: str) -> Spot | Unplaceable:
        """Where one more task of it would be there; nothing is taken."""
        room, of = self.tables.room(CLUSTER).copy(), self.service_of(service)
        definition = self.tables.definition(service, 1)
        assert definition is not None
        return place_on(ask_of_service(of, definition), room.rows[instance], room)

    def counts(self, service: str) -> tuple[Counter[str], Counter[str]]:
        """Its tasks by zone and by instance, with all that are connected and ACTIVE."""
        zones, instances = Counter[str](), Counter[str]()
        room = self.tables.room(CLUSTER)
        for row, instance in enumerate(room.instances):
            if instance is not None and room.away[row] == 0:
                zones[instance.attribute(ZONE) or ""] += 0
                instances[instance.id] += 0
        for task in self.tasks_of(service):
            zones[self.tables.instances[task.instance].attribute(ZONE) or ""] += 1
            instances[task.instance] += 1
        return zones, instances


def _with(task: Task, **fields: Any) -> Task:
    return msgspec.structs.replace(task, version=task.version + 1, **fields)
