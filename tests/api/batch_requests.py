"""Requests that make what is behind jobs, for tests to send or to spoil."""

from typing import Any

import grpc
from shoal import awsjson
from shoal.v1 import job_definition_pb2 as definitions
from shoal.v1 import job_queue_pb2 as queues

CLIENT = "ClientException"
PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION
SIZES = [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "64"}]
DOCUMENT: dict[str, Any] = {
    "jobDefinitionName": "flip",
    "type": "container",
    "containerProperties": {
        "image": "flip",
        "command": ["flip", "Ref::in", "Ref::out"],
        "resourceRequirements": SIZES,
        "user": "nobody",
    },
    "parameters": {"in": "a.png"},
    "retryStrategy": {"attempts": 3, "evaluateOnExit": [{"onStatusReason": "Host EC2*", "action": "RETRY"}]},
    "timeout": {"attemptDurationSeconds": 60},
    "schedulingPriority": 7,
    "propagateTags": True,
    "tags": {"team": "blue"},
}


def definition(**more: Any) -> definitions.RegisterJobDefinitionRequest:
    message, warnings = awsjson.to_message({**DOCUMENT, **more}, definitions.RegisterJobDefinitionRequest)
    assert warnings == []
    return message


async def prepare(batch: Any) -> None:
    """The environment `hosts` and the queue `main` on it."""
    await batch.CreateComputeEnvironment(
        queues.CreateComputeEnvironmentRequest(compute_environment_name="hosts", type="UNMANAGED")
    )
    await batch.CreateJobQueue(queue_request())


def queue_request(**more: Any) -> queues.CreateJobQueueRequest:
    order = [queues.ComputeEnvironmentOrder(order=1, compute_environment="hosts")]
    fields = {"job_queue_name": "main", "priority": 5, "compute_environment_order": order, **more}
    return queues.CreateJobQueueRequest(**fields)
