"""A service whose tasks are moved: the steps of the control plane with what time asks of rebalances."""

from typing import Any

import msgspec
from shoal_scheduler.control import inputs as i
from shoal_scheduler.control.rebalance.inputs import StartRebalance, StopRebalance, Wanted
from shoal_scheduler.control.rebalance.look import look
from shoal_scheduler.model.rebalance import Budget, Rebalance
from shoal_scheduler.model.task import Task
from shoal_scheduler.state.changes import PutTask

from tests.unit.scheduler.plane import instance
from tests.unit.scheduler.services.stage import Stage

ZONE = "ecs.availability-zone"


def host(name: str, zone: str = "") -> i.AgentHello:
    attributes = {"attributes": {ZONE: zone}} if zone else {}
    return instance(name, cpu=10_000, memory_mib=100_000, **attributes)


class Moving(Stage):
    """After `opened` the service `web` is steady; each `look` is one of the engine's, a second later."""

    @classmethod
    async def opened(cls, desired: int, *hosts: i.AgentHello, **more: Any) -> "Moving":
        stage = cls()
        await stage.open(*hosts)
        await stage.create(desired, **more)
        await stage.start()
        await stage.wait(40)
        assert stage.deployment.status == "SUCCESSFUL"
        return stage

    async def join(self, *hosts: i.AgentHello) -> None:
        for each in hosts:
            await self.one(each)
        await self.settle()

    async def rebalance(self, kind: str = "SPREAD", *instances: str, **budget: int) -> Rebalance:
        wanted = Wanted(kind, instances=instances, budget=Budget(**budget))
        started = await self.one(StartRebalance("default", wanted, "alice"))
        assert isinstance(started, Rebalance)
        await self.look()
        return started

    async def halt(self, reason: str = "") -> Rebalance:
        stopped = await self.one(StopRebalance("default", "", reason))
        assert isinstance(stopped, Rebalance)
        await self.settle()
        return stopped

    async def drain(self, name: str, *, back: bool = False) -> None:
        """Or it takes tasks again."""
        await self.one(i.UpdateInstances("default", (name,), "ACTIVE" if back else "DRAINING"))
        await self.settle()

    async def protect(self, *tasks: Task) -> None:
        """For longer than a test takes."""
        self.now += 1
        put = [PutTask(msgspec.structs.replace(task, protected_until=self.now + 10**9)) for task in tasks]
        await self.run([], put)

    async def look(self, *, starts: bool = False) -> None:
        self.now += 1000
        await self.run([], look(self.tables, self.context, starts=starts).changes)
        await self.settle()

    async def until_over(self) -> Rebalance:
        """Agents do as they are told, and what runs becomes healthy."""
        for _ in range(200):
            if not self.last.is_in_progress:
                return self.last
            await self.start()
            await self.wait(40)
            await self.end()
            await self.look()
        raise AssertionError(self.last)

    @property
    def rebalances(self) -> list[Rebalance]:
        return sorted(self.tables.records.all(Rebalance), key=lambda each: each.created_at)

    @property
    def last(self) -> Rebalance:
        return self.rebalances[-1]

    def hosts(self, tasks: list[Task] | None = None) -> list[str]:
        """Of the tasks that nobody has asked to stop."""
        return sorted(task.instance for task in (self.wanted if tasks is None else tasks))
