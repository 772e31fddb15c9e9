"""A control plane without a network: tables, a memory store and a step at a time."""

from collections.abc import Sequence
from random import Random
from typing import Any
from uuid import UUID

from shoal_scheduler.control import inputs as i
from shoal_scheduler.control.context import Context, Limits
from shoal_scheduler.control.step import Fault, step
from shoal_scheduler.model.refusal import Refused
from shoal_scheduler.model.task import Task
from shoal_scheduler.state.changes import Change
from shoal_scheduler.state.memory import MemoryCluster, MemoryStore
from shoal_scheduler.state.tables import Tables
from shoal_scheduler.state.writes import loaded, write_of

DEFINITION: dict[str, Any] = {
    "family": "web",
    "containerDefinitions": [{"name": "app", "image": "busybox", "cpu": 256, "memory": 512}],
}


class CountedIds:
    def __init__(self) -> None:
        self._given = 0

    def launch_id(self) -> str:
        self._given += 1
        return f"{self._given:024x}"

    def job_id(self) -> str:
        self._given += 1
        return str(UUID(int=self._given))


class Plane:
    """`now` moves only when told to."""

    def __init__(self, seed: int = 1, limits: Limits | None = None) -> None:
        self.cluster = MemoryCluster()
        self.store = MemoryStore(self.cluster, self.cluster.elect())
        self.tables = Tables()
        self.now = 1_000_000
        self.limits = limits or Limits()
        self._ids = CountedIds()
        self._rng = Random(seed)
        self._steps = 0

    @property
    def context(self) -> Context:
        return Context(self.now, self._ids, self._rng, self.limits)

    async def run(self, inputs: Sequence[i.Input], due: Sequence[Change] = ()) -> list[Any]:
        """One step, committed and applied. Its replies; a fault of a rule is raised."""
        result = step(self.tables, inputs, self.context, due)
        self._steps += 1
        write = write_of(self.tables, result.changes, f"step-{self._steps}")
        revision = await self.store.commit(write) if write else self.tables.revision
        self.tables.apply(result.changes, revision)
        for reply in result.replies:
            if isinstance(reply, Fault):
                raise reply.error
        return list(result.replies)

    async def one(self, request: i.Input) -> Any:
        (reply,) = await self.run([request])
        if isinstance(reply, Refused):
            raise reply
        return reply

    async def prepare(self, *instances: i.AgentHello, document: dict[str, Any] | None = None) -> None:
        await self.one(i.PutClusterDocument("default", {}, create=True))
        await self.one(i.RegisterTaskDefinition(document or DEFINITION, {}, "test"))
        for instance in instances:
            await self.one(instance)

    async def reloaded(self) -> Tables:
        """What a new leader would read."""
        store = MemoryStore(self.cluster, self.cluster.epoch)
        return loaded([record async for record in store.load()], store.revision)


def instance(name: str, cpu: int = 1024, memory_mib: int = 4096, **more: Any) -> i.AgentHello:
    return i.AgentHello(
        cluster="default",
        instance=name,
        incarnation=more.pop("incarnation", 1),
        hostname=f"host-{name}",
        cpu=cpu,
        memory_mib=memory_mib,
        **more,
    )


def report(task: Task, status: str, **more: Any) -> i.TaskReport:
    return i.TaskReport(instance=task.instance, incarnation=1, task=task.id, last_status=status, **more)
