"""A control plane with services: made, changed, and their tasks reported as agents would."""

from typing import Any

import msgspec
from shoal_scheduler.control import inputs as i
from shoal_scheduler.model.service import Deployment, DeploymentConfiguration, Service, ServiceEvents, ServiceRevision
from shoal_scheduler.model.task import ContainerState, Task
from shoal_scheduler.model.traffic import TargetHealth
from shoal_scheduler.state.records import PutRecord
from shoal_scheduler.state.service_tables import SetTargetHealth

from tests.unit.scheduler.plane import DEFINITION, Plane, report

KEY = ("default", "web")


def percents(minimum: int, maximum: int) -> DeploymentConfiguration:
    return DeploymentConfiguration(minimum_healthy_percent=minimum, maximum_percent=maximum)


class Stage(Plane):
    """A service `web` of the definition `web:1` in cluster `default`."""

    async def open(self, *hosts: i.AgentHello, document: dict[str, Any] | None = None) -> None:
        await self.prepare(*hosts, document=document)

    async def create(self, desired: int = 0, *, revision: dict[str, Any] | None = None, **more: Any) -> None:
        """Its first deployment has begun, and what can start has."""
        service = Service(
            cluster="default",
            name="web",
            created_at=self.now,
            desired_count=desired,
            revision="r1",
            deployment="d1",
            **more,
        )
        await self.run([], self._deployment(service, "r1", "d1", **(revision or {})))
        await self.settle()

    async def deploy(self, number: int, *, revision: dict[str, Any] | None = None, **changes: Any) -> None:
        """A new deployment, of a new revision."""
        service = msgspec.structs.replace(self.service, revision=f"r{number}", deployment=f"d{number}", **changes)
        await self.run([], self._deployment(service, service.revision, service.deployment, **(revision or {})))
        await self.settle()

    def _deployment(self, service: Service, revision: str, deployment: str, **more: Any) -> list[PutRecord]:
        fields: dict[str, Any] = {"definition": "web:1", "is_resolved": True, **more}
        return [
            PutRecord(service),
            PutRecord(ServiceRevision(cluster="default", service="web", id=revision, created_at=self.now, **fields)),
            PutRecord(
                Deployment(cluster="default", service="web", id=deployment, revision=revision, created_at=self.now)
            ),
        ]

    async def change(self, **fields: Any) -> None:
        await self.run([], [PutRecord(msgspec.structs.replace(self.service, **fields))])
        await self.settle()

    async def settle(self) -> int:
        """Steps until nothing is left to do; how many."""
        steps = 0
        while self.tables.is_unsettled or (self.tables.services.next_due() or self.now + 1) <= self.now:
            steps += 1
            assert steps < 200, "the scheduler does not come to rest"
            await self.run([])
        return steps

    async def wait(self, seconds: float) -> None:
        """Each moment at which time asks for a look has its own."""
        ends_at = self.now + round(seconds * 1000)
        while (due_at := self.tables.services.next_due()) is not None and due_at <= ends_at:
            self.now = max(self.now, due_at)
            await self.settle()
        self.now = ends_at
        await self.settle()

    async def start(self, *tasks: Task) -> None:
        """Those, or all that an agent has and that do not run yet, are RUNNING."""
        chosen = tasks or [task for task in self.tasks if task.last_status == "PENDING"]
        for task in chosen:
            containers = tuple(ContainerState(state.name, "RUNNING") for state in task.containers)
            await self.one(report(task, "RUNNING", started_at=self.now, containers=containers))
        await self.settle()

    async def tell_health(self, task: Task, status: str) -> None:
        """Of its only container."""
        containers = (ContainerState(task.containers[0].name, "RUNNING", health_status=status),)
        await self.one(report(task, "RUNNING", containers=containers))
        await self.settle()

    async def tell_target(self, task: Task, state: str, group: str = "web") -> None:
        await self.run([], [SetTargetHealth(task.key, group, TargetHealth(state))])
        await self.settle()

    async def end(self, *tasks: Task, stop_code: str = "EssentialContainerExited") -> None:
        """Those, or all that are to stop and whose agents know it, are STOPPED."""
        chosen = tasks or [
            task for task in self.tasks if task.desired_status == "STOPPED" and task.last_status != "DEACTIVATING"
        ]
        for task in chosen:
            await self.one(report(task, "STOPPED", stop_code=stop_code))
        await self.settle()

    @property
    def service(self) -> Service:
        found = self.tables.records.get(Service, *KEY)
        assert found is not None
        return found

    @property
    def deployment(self) -> Deployment:
        found = self.tables.records.get(Deployment, *KEY, self.service.deployment)
        assert found is not None
        return found

    @property
    def tasks(self) -> list[Task]:
        """Not STOPPED, the oldest first."""
        found = [self.tables.task(key) for key in self.tables.services.live.get(KEY, ())]
        live = [task for task in found if task is not None]
        return sorted(live, key=lambda task: (task.launch.created_at, task.key))

    @property
    def wanted(self) -> list[Task]:
        return [task for task in self.tasks if task.desired_status == "RUNNING"]

    def revisions(self) -> dict[str, int]:
        """How many of the wanted tasks are of each."""
        found: dict[str, int] = {}
        for task in self.wanted:
            assert task.launch.service is not None
            found[task.launch.service.revision] = found.get(task.launch.service.revision, 0) + 1
        return found

    def statuses(self) -> list[str]:
        return [task.last_status for task in self.tasks]

    @property
    def events(self) -> list[str]:
        known = self.tables.records.get(ServiceEvents, *KEY)
        return [event.message for event in known.events] if known is not None else []


CHECKED: dict[str, Any] = {
    **DEFINITION,
    "containerDefinitions": [{**DEFINITION["containerDefinitions"][0], "healthCheck": {"command": ["CMD", "true"]}}],
}
