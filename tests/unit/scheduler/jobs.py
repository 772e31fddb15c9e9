"""Jobs on a plane: a queue and a definition for them, and their tasks started without placement."""

from collections.abc import Sequence
from random import Random
from typing import Any

from shoal_scheduler.control.batch.children import counts
from shoal_scheduler.control.batch.job_inputs import CancelJob, SubmitJob, TerminateJob
from shoal_scheduler.control.context import Limits
from shoal_scheduler.model.definition import Definition
from shoal_scheduler.model.job import Job, JobPart, ranges
from shoal_scheduler.model.job_definition import JobDefinition
from shoal_scheduler.model.job_queue import DISABLED, ComputeEnvironment, JobQueue
from shoal_scheduler.model.task import ContainerState, Launch, Task, TaskKey
from shoal_scheduler.state import batch_changes as b
from shoal_scheduler.state import changes as c
from shoal_scheduler.state.startable import startable
from shoal_scheduler.state.tables import Tables

from tests.unit.scheduler.plane import Plane, instance, report

CONTAINERS: list[dict[str, Any]] = [
    {"name": "default", "image": "busybox", "cpu": 10, "memory": 10, "command": ["flip", "Ref::in", "Ref::out"]}
]


def prepared(document: dict[str, Any] | None = None, state: str = DISABLED, **queue: Any) -> list[c.Change]:
    """Job definition `flip`, queue `q`. Its environment is DISABLED: nothing starts but what `started` starts."""
    definition = Definition(
        family="batch:flip", revision=1, registered_at=0, document={"containerDefinitions": CONTAINERS}
    )
    return [
        c.PutDefinition(definition),
        b.PutJobDefinition(JobDefinition(name="flip", revision=1, registered_at=0, document=document or {})),
        b.PutComputeEnvironment(ComputeEnvironment(name="ce", created_at=0, state=state)),
        b.PutJobQueue(JobQueue(name="q", created_at=0, environments=("ce",), **queue)),
    ]


async def prepare(plane: Plane, **more: Any) -> None:
    await plane.run([], prepared(**more))


def submit(size: int = 0, after: Sequence[tuple[str, str]] = (), **more: Any) -> SubmitJob:
    """`after`: ids of jobs ("" for SEQUENTIAL) and the type of each dependency ("" for the whole job)."""
    token, digest = more.pop("client_token", ""), more.pop("request_digest", "")
    document = {"jobName": "job", "jobQueue": "q", "jobDefinition": "flip", **more}
    if size:
        document["arrayProperties"] = {"size": size}
    if after:
        named = [{"jobId": job, "type": kind} for job, kind in after]
        document["dependsOn"] = [{key: value for key, value in each.items() if value} for each in named]
    return SubmitJob(document, client_token=token, request_digest=digest)


def any_inputs(rng: Random, tables: Tables) -> list[SubmitJob | CancelJob | TerminateJob]:
    """One that submits, and perhaps some that end what is there."""
    known = list(tables.batch.jobs)
    after = [(rng.choice(known), "")] if known and rng.random() < 0.5 else []
    wishes = [wish(rng.choice(known), "why") for wish in (CancelJob, TerminateJob) if known and rng.random() < 0.5]
    return [submit(rng.choice((0, 3, 300)), after, retryStrategy={"attempts": 2}), *wishes]


def started(plane: Plane, job: Job, limit: int, host: str = "x", ordinal: int = 0) -> list[c.Change]:
    """The changes that start up to `limit` of the children that may."""
    changes: list[c.Change] = []
    for attempt, children in startable(plane.tables.batch, job.id, limit):
        launch = Launch(
            id=plane.context.ids.launch_id(),
            cluster="default",
            definition=f"batch:{job.definition}",
            created_at=plane.now,
            count=len(children),
            group=f"job-queue:{job.queue}",
            started_by=job.id,
            on_disconnect="keep",
            job=JobPart(job.id, job.queue, "ce", attempt, job.array_size, ranges(children)),
        )
        changes.append(c.PutLaunch(launch))
        for index in range(len(children)):
            task = Task(launch=launch, index=index, instance=host, containers=(ContainerState("default"),))
            changes.append(c.PutTask(task))
    return changes


def live(tables: Tables, job: Job) -> list[Task]:
    found = map(tables.task, tables.batch.jobs[job.id].live.values())
    return [task for task in found if task is not None]


def task_of(tables: Tables, job: Job, child: int = 0) -> Task:
    """The one that is not STOPPED."""
    task = tables.task(tables.batch.jobs[job.id].live[child])
    assert task is not None
    return task


def exited(code: int | None) -> dict[str, Any]:
    """What the agent says of a task whose container ended with this."""
    state = ContainerState("default", "STOPPED", exit_code=code)
    reason = "Essential container in task exited"
    return {"stop_code": "EssentialContainerExited", "stopped_reason": reason, "containers": (state,)}


def key_of(task_id: str) -> TaskKey:
    key = TaskKey.parse(task_id)
    assert key is not None
    return key


async def plane_with(limits: Limits | None = None, **queue: Any) -> Plane:
    plane = Plane(limits=limits)
    await plane.prepare(instance("x", cpu=10_000, memory_mib=10_000))
    await prepare(plane, **queue)
    return plane


async def submitted(plane: Plane, size: int = 0, **more: Any) -> Job:
    job = await plane.one(submit(size, **more))
    assert isinstance(job, Job)
    return job


async def start(plane: Plane, job: Job, limit: int = 1) -> list[Task]:
    before = set(plane.tables.batch.jobs[job.id].live.values())
    await plane.run([], started(plane, job, limit))
    return [task for task in live(plane.tables, job) if task.key not in before]


async def end(plane: Plane, job: Job, child: int = 0, **how: Any) -> None:
    await plane.one(report(task_of(plane.tables, job, child), "STOPPED", **(how or exited(0))))


async def settle(plane: Plane) -> int:
    """How many steps it takes until nothing is left to do."""
    for number in range(10_000):
        if not plane.tables.batch.unsettled:
            return number
        await plane.run([])
    raise AssertionError("it never ends")


def outcome(plane: Plane, job: Job) -> tuple[str, str]:
    state = plane.tables.batch.jobs[job.id].state
    return state.outcome, state.status_reason


def some(plane: Plane, job: Job) -> dict[str, int]:
    """Statuses that a child is in."""
    return {name: number for name, number in counts(plane.tables.batch, job.id).items() if number}
