"""A control plane with a service, whose records are put there as they would be stored."""

from collections.abc import Sequence
from typing import Any

import msgspec
from shoal_scheduler.model.service import (
    PENDING,
    Deployment,
    DeploymentConfiguration,
    Service,
    ServiceRevision,
)
from shoal_scheduler.model.task import Task
from shoal_scheduler.state.records import PutRecord

from tests.unit.scheduler.plane import Plane, instance, report

WEB = ("default", "web")


class ServicePlane(Plane):
    """Cluster `default`, service `web`, its revisions `r1`, `r2`... and deployments `d1`, `d2`... by number."""

    def __init__(self, seed: int = 1) -> None:
        super().__init__(seed)
        self.number = 0

    async def open(self, desired: int = 4, hosts: int = 3, **configuration: Any) -> None:
        await self.prepare(*(instance(f"i{number}", cpu=8192, memory_mib=16384) for number in range(hosts)))
        self.desired = desired
        self.configuration = DeploymentConfiguration(**configuration)
        await self.deploy()

    async def deploy(self, to: str = "", **more: Any) -> Deployment:
        """To a new revision, or to one that there is. What was under way is superseded."""
        self.number += 1
        before = self.deployment if self.number > 1 else None
        revision = to or f"r{self.number}"
        records: list[msgspec.Struct] = []
        if not to:
            records.append(
                ServiceRevision(cluster="default", service="web", id=revision, created_at=self.now, definition="web:1")
            )
        if before is not None and not before.is_over:
            records.append(msgspec.structs.replace(before, status="STOPPED", stopped_at=self.now))
        records.append(
            Deployment(
                cluster="default",
                service="web",
                id=f"d{self.number}",
                revision=revision,
                status=PENDING,
                created_at=self.now,
                **more,
            )
        )
        wanted: dict[str, Any] = {"revision": revision, "deployment": f"d{self.number}"}
        known = self.tables.records.get(Service, *WEB)
        records.append(
            msgspec.structs.replace(known, **wanted)
            if known is not None
            else Service(
                cluster="default",
                name="web",
                created_at=self.now,
                desired_count=self.desired,
                configuration=self.configuration,
                **wanted,
            )
        )
        await self.run([], [PutRecord(record) for record in records])
        return self.deployment

    @property
    def service(self) -> Service:
        found = self.tables.records.get(Service, *WEB)
        assert found is not None
        return found

    @property
    def deployment(self) -> Deployment:
        """The latest."""
        return self.deployment_of(self.service.deployment)

    def deployment_of(self, name: str) -> Deployment:
        found = self.tables.records.get(Deployment, *WEB, name)
        assert found is not None
        return found

    def revision(self, name: str) -> ServiceRevision:
        found = self.tables.records.get(ServiceRevision, *WEB, name)
        assert found is not None
        return found

    def live(self, revision: str = "") -> list[Task]:
        """Not STOPPED, the oldest first."""
        found = (self.tables.task(key) for key in self.tables.services.live.get(WEB, ()))
        tasks = [task for task in found if task is not None and revision in ("", revision_of(task))]
        return sorted(tasks, key=lambda task: (task.launch.created_at, task.key))

    async def tell(self, tasks: Sequence[Task], status: str, **more: Any) -> None:
        """Their agents report."""
        if status == "RUNNING":
            more.setdefault("started_at", self.now)
        await self.run([report(task, status, **more) for task in tasks])

    async def settle(self) -> None:
        """Steps until there is nothing to do at this time."""
        for _ in range(50):
            due_at = self.tables.services.next_due()
            if not self.tables.is_unsettled and (due_at is None or due_at > self.now):
                return
            await self.run([])
        raise AssertionError("the service does not come to rest")


def revision_of(task: Task) -> str:
    assert task.launch.service is not None
    return task.launch.service.revision
