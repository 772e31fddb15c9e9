"""What can move job definitions, queues, compute environments and consumable resources, and how each is answered."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shoal_scheduler.model.job_definition import JobDefinition
from shoal_scheduler.model.job_queue import ComputeEnvironment, ConsumableResource, JobQueue


@dataclass(frozen=True, slots=True)
class RegisterJobDefinition:
    """Answered with a JobDefinition. `document` was checked at the door, and the task definition derived from it."""

    name: str
    document: dict[str, Any]
    tags: dict[str, str]
    registered_by: str


@dataclass(frozen=True, slots=True)
class DeregisterJobDefinition:
    """Answered with a JobDefinition."""

    name: str


@dataclass(frozen=True, slots=True)
class CreateJobQueue:
    """Answered with the JobQueue; its `created_at` is the step's to say. So with the other things that are created."""

    queue: JobQueue


@dataclass(frozen=True, slots=True)
class UpdateJobQueue:
    """`fields`: those of JobQueue that change. Answered with the JobQueue."""

    name: str
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class DeleteJobQueue:
    name: str


@dataclass(frozen=True, slots=True)
class CreateComputeEnvironment:
    environment: ComputeEnvironment


@dataclass(frozen=True, slots=True)
class UpdateComputeEnvironment:
    """`fields`: those of ComputeEnvironment that change. Answered with the ComputeEnvironment."""

    name: str
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class DeleteComputeEnvironment:
    name: str


@dataclass(frozen=True, slots=True)
class CreateConsumableResource:
    resource: ConsumableResource


@dataclass(frozen=True, slots=True)
class UpdateConsumableResource:
    """`operation`: SET, ADD or REMOVE. Answered with the ConsumableResource."""

    name: str
    operation: str
    quantity: int
    client_token: str = ""


@dataclass(frozen=True, slots=True)
class DeleteConsumableResource:
    name: str


BatchInput = (
    RegisterJobDefinition
    | DeregisterJobDefinition
    | CreateJobQueue
    | UpdateJobQueue
    | DeleteJobQueue
    | CreateComputeEnvironment
    | UpdateComputeEnvironment
    | DeleteComputeEnvironment
    | CreateConsumableResource
    | UpdateConsumableResource
    | DeleteConsumableResource
)
BatchReply = JobDefinition | JobQueue | ComputeEnvironment | ConsumableResource
