"""A service on agents that do as they are told, second by second; what its tasks do is said by revision."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from shoal_scheduler.control.context import Context
from shoal_scheduler.control.services.health import is_healthy
from shoal_scheduler.control.services.view import ServiceView, view_of
from shoal_scheduler.model.service import ServiceRevision
from shoal_scheduler.model.task import ContainerState, Task
from shoal_scheduler.state.overlay import Overlay

from tests.unit.scheduler.plane import instance, report
from tests.unit.scheduler.services.stage import KEY, Stage

CANNOT_PULL = {"stop_code": "TaskFailedToStart", "stopped_reason": "CannotPullContainerError: no such image"}
EXITED = {"stop_code": "EssentialContainerExited", "stopped_reason": "Essential container in task exited"}


@dataclass(frozen=True, slots=True)
class Behaviour:
    """`starts`: of the how-manieth try to start a task of the revision, whether it does. `lives`: seconds until it ends
    by itself. `health`: what its check says after `checked_after` seconds, if it has one."""

    starts: Callable[[int], bool] = lambda _: True
    lives: int = 1_000_000
    health: str = ""
    checked_after: int = 10


GOOD = Behaviour(health="HEALTHY")


class Fleet(Stage):
    def __init__(self, seed: int = 1) -> None:
        super().__init__(seed)
        self.behaviours: dict[str, Behaviour] = {}
        self.tries: dict[str, int] = {}

        # What its seconds saw: the fewest that were healthy, the most that were wanted, by revision how many healthy
        # ones were told to stop.
        self.healthy_least = 1_000_000
        self.wanted_most = 0
        self.stopped_healthy: dict[str, int] = {}

    async def begin(self, desired: int, behaviour: Behaviour = GOOD, **more: Any) -> None:
        """The service and its first deployment."""
        self.behaviours["r1"] = behaviour
        await self.open(*(instance(name, cpu=8192, memory_mib=16384) for name in "abc"), document=more.pop("document"))
        await self.create(desired, revision={"is_resolved": False}, **more)

    async def move(self, number: int, behaviour: Behaviour) -> None:
        """To a new revision; from now on is counted."""
        self.behaviours[f"r{number}"] = behaviour
        self.healthy_least, self.wanted_most, self.stopped_healthy = len(self.healthy()), 0, {}
        await self.deploy(number, revision={"is_resolved": False})

    async def until(self, is_over: Callable[[], bool], seconds: int) -> int:
        """Seconds until then."""
        for passed in range(seconds):
            if is_over():
                return passed
            await self.second()
        raise AssertionError(f"not within {seconds} s: {self.deployment}")

    async def second(self) -> None:
        self.now += 1_000
        for task in self.tasks:
            await self._act(task)
        healthy = self.healthy()
        before = {task.key: task for task in healthy}
        await self.settle()
        self.healthy_least = min(self.healthy_least, len(self.healthy()))
        self.wanted_most = max(self.wanted_most, len(self.wanted))
        for task in self.tasks:
            if task.desired_status == "STOPPED" and task.key in before:
                name = revision_of(task)
                self.stopped_healthy[name] = self.stopped_healthy.get(name, 0) + 1

    async def _act(self, task: Task) -> None:
        does = self.behaviours[revision_of(task)]
        if task.desired_status == "STOPPED":
            if task.last_status != "DEACTIVATING":
                await self.run([report(task, "STOPPED")])
        elif task.last_status == "PENDING":
            await self._start(task, does)
        elif task.last_status == "RUNNING":
            ran = (self.now - task.started_at) // 1000
            if ran >= does.lives:
                await self.run([report(task, "STOPPED", **EXITED)])
            elif ran >= does.checked_after and any(state.health_status != does.health for state in task.containers):
                containers = tuple(_container(task, state, does.health) for state in task.containers)
                await self.run([report(task, "RUNNING", containers=containers)])

    async def _start(self, task: Task, does: Behaviour) -> None:
        name = revision_of(task)
        self.tries[name] = self.tries.get(name, 0) + 1
        if not does.starts(self.tries[name]):
            await self.run([report(task, "STOPPED", **CANNOT_PULL)])
            return
        containers = tuple(_container(task, state, "") for state in task.containers)
        await self.run([report(task, "RUNNING", started_at=self.now, containers=containers)])

    def seen(self) -> ServiceView:
        context = Context(self.now, self._ids, self._rng, self.limits)
        found = view_of(Overlay(self.tables), KEY, context)
        assert found is not None
        return found

    def healthy(self) -> list[Task]:
        seen = self.seen()
        return [task for task in seen.wanted if is_healthy(seen, task)]

    def revision(self, name: str) -> ServiceRevision:
        found = self.tables.records.get(ServiceRevision, *KEY, name)
        assert found is not None
        return found


def _container(task: Task, state: ContainerState, health: str) -> ContainerState:
    digest = f"sha256:{revision_of(task)}"
    return ContainerState(state.name, "RUNNING", f"id-{task.id}", image_digest=digest, health_status=health)


def revision_of(task: Task) -> str:
    assert task.launch.service is not None
    return task.launch.service.revision
