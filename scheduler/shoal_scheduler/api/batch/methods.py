"""Every method of the service Batch with its handler."""

from collections.abc import Mapping
from typing import Any

from google.protobuf.message import Message
from shoal.rpc import Identity
from shoal.v1 import job_definition_pb2, job_queue_pb2

from shoal_scheduler.api.batch import jobs
from shoal_scheduler.api.calls import Handler
from shoal_scheduler.api.fields import required
from shoal_scheduler.control_plane import ControlPlane
from shoal_scheduler.model.refusal import Refused


def _not_yet(field: str, json_name: str) -> Handler:
    async def handler(_plane: ControlPlane, request: Any, _caller: Identity) -> Message:
        required(request, field, json_name)
        raise Refused("unimplemented", "This is not implemented yet.")

    return handler


def _none(answer: type[Message]) -> Handler:
    async def handler(_plane: ControlPlane, _request: Any, _caller: Identity) -> Message:
        return answer()

    return handler


BATCH_METHODS: Mapping[str, Handler] = {
    "RegisterJobDefinition": _not_yet("job_definition_name", "jobDefinitionName"),
    "DeregisterJobDefinition": _not_yet("job_definition", "jobDefinition"),
    "DescribeJobDefinitions": _none(job_definition_pb2.DescribeJobDefinitionsResponse),
    "CreateComputeEnvironment": _not_yet("compute_environment_name", "computeEnvironmentName"),
    "UpdateComputeEnvironment": _not_yet("compute_environment", "computeEnvironment"),
    "DeleteComputeEnvironment": _not_yet("compute_environment", "computeEnvironment"),
    "DescribeComputeEnvironments": _none(job_queue_pb2.DescribeComputeEnvironmentsResponse),
    "CreateJobQueue": _not_yet("job_queue_name", "jobQueueName"),
    "UpdateJobQueue": _not_yet("job_queue", "jobQueue"),
    "DeleteJobQueue": _not_yet("job_queue", "jobQueue"),
    "DescribeJobQueues": _none(job_queue_pb2.DescribeJobQueuesResponse),
    "GetJobQueueSnapshot": jobs.snapshot,
    "CreateConsumableResource": _not_yet("consumable_resource_name", "consumableResourceName"),
    "UpdateConsumableResource": _not_yet("consumable_resource", "consumableResource"),
    "DeleteConsumableResource": _not_yet("consumable_resource", "consumableResource"),
    "DescribeConsumableResource": _not_yet("consumable_resource", "consumableResource"),
    "ListConsumableResources": _none(job_queue_pb2.ListConsumableResourcesResponse),
    "ListJobsByConsumableResource": _not_yet("consumable_resource", "consumableResource"),
    "SubmitJob": jobs.submit,
    "DescribeJobs": jobs.describe,
    "ListJobs": jobs.list_all,
    "CancelJob": jobs.cancel,
    "CancelJobs": jobs.cancel_many,
    "TerminateJob": jobs.terminate,
    "TerminateJobs": jobs.terminate_many,
}
