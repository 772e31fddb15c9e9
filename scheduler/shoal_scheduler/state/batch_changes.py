"""Changes of what belongs to batch: see `state.changes`."""

from dataclasses import dataclass

from shoal_scheduler.model.job import Job, JobChunk, JobState
from shoal_scheduler.model.job_definition import JobDefinition
from shoal_scheduler.model.job_queue import ComputeEnvironment, ConsumableResource, JobQueue
from shoal_scheduler.state.waiting_jobs import Looked


@dataclass(frozen=True, slots=True)
class PutJobDefinition:
    definition: JobDefinition


@dataclass(frozen=True, slots=True)
class PutJobQueue:
    queue: JobQueue


@dataclass(frozen=True, slots=True)
class DeleteJobQueue:
    name: str


@dataclass(frozen=True, slots=True)
class PutComputeEnvironment:
    environment: ComputeEnvironment


@dataclass(frozen=True, slots=True)
class DeleteComputeEnvironment:
    name: str


@dataclass(frozen=True, slots=True)
class PutConsumableResource:
    resource: ConsumableResource


@dataclass(frozen=True, slots=True)
class DeleteConsumableResource:
    name: str


@dataclass(frozen=True, slots=True)
class PutJob:
    job: Job


@dataclass(frozen=True, slots=True)
class PutJobState:
    state: JobState


@dataclass(frozen=True, slots=True)
class PutJobChunk:
    chunk: JobChunk


@dataclass(frozen=True, slots=True)
class DeleteJob:
    """The job, its state and its chunks. It is over, and nothing that is not over depends on it."""

    job: str


@dataclass(frozen=True, slots=True)
class SetAside:
    """What follows for this job could not be worked out, or how it starts: it is looked at again once something of it
    changes. Volatile."""

    job: str

    # It leaves its queue until then.
    waits: bool = False


@dataclass(frozen=True, slots=True)
class SetLooked:
    """A step has looked at what waits in the queue: see `state.waiting_jobs`. Volatile."""

    queue: str
    looked: Looked


BatchChange = (
    PutJobDefinition
    | PutJobQueue
    | DeleteJobQueue
    | PutComputeEnvironment
    | DeleteComputeEnvironment
    | PutConsumableResource
    | DeleteConsumableResource
    | PutJob
    | PutJobState
    | PutJobChunk
    | DeleteJob
    | SetAside
    | SetLooked
)
