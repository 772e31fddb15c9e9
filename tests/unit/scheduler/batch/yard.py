"""A control plane with queues, environments and job definitions of sizes: jobs are submitted, started and ended."""

from collections.abc import Sequence
from typing import Any

from shoal_scheduler.control import inputs as i
from shoal_scheduler.control.batch.job_inputs import SubmitJob
from shoal_scheduler.model.definition import Definition
from shoal_scheduler.model.job import Job
from shoal_scheduler.model.job_definition import JobDefinition
from shoal_scheduler.model.job_queue import ComputeEnvironment, ConsumableResource, JobQueue
from shoal_scheduler.model.task import ContainerState, Task
from shoal_scheduler.state import batch_changes as b
from shoal_scheduler.state.changes import Change, PutDefinition

from tests.unit.scheduler.plane import Plane, report


def definition(name: str, cpu: int, memory_mib: int = 1, **more: Any) -> list[Change]:
    """A job definition `name:1`; `cpu` in units."""
    container = {"name": "default", "image": "busybox", "cpu": cpu, "memory": memory_mib, "essential": True}
    document = {"family": f"batch:{name}", "containerDefinitions": [container], **more}
    registered = JobDefinition(name=name, revision=1, registered_at=0)
    return [
        b.PutJobDefinition(registered),
        PutDefinition(Definition(family=f"batch:{name}", revision=1, registered_at=0, document=document)),
    ]


def queue(name: str = "q", **more: Any) -> JobQueue:
    """Over the environment `ce`."""
    return JobQueue(name=name, created_at=0, environments=("ce",), **more)


def environment(name: str, **more: Any) -> ComputeEnvironment:
    return ComputeEnvironment(name=name, created_at=0, **more)


def document(size: str, queue: str = "q", **more: Any) -> dict[str, Any]:
    """SubmitJob of a job of this size."""
    return {"jobName": size, "jobQueue": queue, "jobDefinition": f"{size}:1", **more}


def taking(resource: str, quantity: int) -> dict[str, Any]:
    """What of SubmitJob says so."""
    listed = [{"consumableResource": resource, "quantity": quantity}]
    return {"consumableResourcePropertiesOverride": {"consumableResourceList": listed}}


class Yard(Plane):
    """Jobs of cluster `default`. Time moves a millisecond a step."""

    async def run(self, inputs: Sequence[i.Input], due: Sequence[Change] = ()) -> list[Any]:
        self.now += 1
        return await super().run(inputs, due)

    async def open(
        self,
        *hosts: i.AgentHello,
        queues: Sequence[JobQueue] = (),
        environments: Sequence[ComputeEnvironment] = (),
        consumables: Sequence[ConsumableResource] = (),
        sizes: dict[str, int] | None = None,
    ) -> None:
        await self.one(i.PutClusterDocument("default", {}, create=True))
        for host in hosts:
            await self.one(host)
        sizes = sizes or {"small": 1024, "big": 4096}
        changes = [change for name, cpu in sizes.items() for change in definition(name, cpu)]
        environments = environments or [environment("ce")]
        queues = queues or [queue()]
        changes += [b.PutComputeEnvironment(each) for each in environments]
        changes += [b.PutConsumableResource(each) for each in consumables]
        changes += [b.PutJobQueue(each) for each in queues]
        await self.run([], changes)

    async def submit(self, size: str, queue: str = "q", *, array: int = 0, **more: Any) -> Job:
        """Submitted, and what can start has started."""
        asked = document(size, queue, **more)
        if array:
            asked["arrayProperties"] = {"size": array, **more.get("arrayProperties", {})}
        job: Job = await self.one(SubmitJob(asked))
        await self.settle()
        return job

    async def settle(self) -> int:
        """Steps until nothing is left to do; how many."""
        steps = 0
        while self.tables.is_unsettled:
            steps += 1
            assert steps < 1000, "the scheduler does not come to rest"
            await self.run([])
        return steps

    def live(self, job: Job) -> list[Task]:
        found = (self.tables.task(key) for _, key in sorted(self.tables.batch.jobs[job.id].live.items()))
        return [task for task in found if task is not None]

    def runs(self, *jobs: Job) -> list[int]:
        """How many tasks each of them has."""
        return [len(self.live(job)) for job in jobs]

    async def end(self, *tasks: Task, exit_code: int = 0) -> None:
        over = (ContainerState("default", "STOPPED", exit_code=exit_code),)
        told = {"containers": over, "stop_code": "EssentialContainerExited"}
        await self.run([report(task, "STOPPED", **told) for task in tasks])
        await self.settle()

    def overtaken(self, job: Job) -> int:
        return self.tables.batch.waiting[job.queue].overtaken(job.id)
