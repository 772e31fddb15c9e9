"""Every method of the service Batch with its handler."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from google.protobuf.message import Message
from shoal.rpc import Identity

from shoal_scheduler.api.batch import consumables, environments, job_definitions, jobs, queues
from shoal_scheduler.api.calls import Handler
from shoal_scheduler.model.refusal import Refused

_HANDLERS: Mapping[str, Callable[[Any, Any, Identity], Awaitable[Message]]] = {
    "RegisterJobDefinition": job_definitions.register,
    "DeregisterJobDefinition": job_definitions.deregister,
    "DescribeJobDefinitions": job_definitions.describe,
    "CreateComputeEnvironment": environments.create,
    "UpdateComputeEnvironment": environments.update,
    "DeleteComputeEnvironment": environments.delete,
    "DescribeComputeEnvironments": environments.describe,
    "CreateJobQueue": queues.create,
    "UpdateJobQueue": queues.update,
    "DeleteJobQueue": queues.delete,
    "DescribeJobQueues": queues.describe,
    "GetJobQueueSnapshot": jobs.snapshot,
    "CreateConsumableResource": consumables.create,
    "UpdateConsumableResource": consumables.update,
    "DeleteConsumableResource": consumables.delete,
    "DescribeConsumableResource": consumables.describe,
    "ListConsumableResources": consumables.list_all,
    "ListJobsByConsumableResource": consumables.list_jobs,
    "SubmitJob": jobs.submit,
    "DescribeJobs": jobs.describe,
    "ListJobs": jobs.list_all,
    "CancelJob": jobs.cancel,
    "CancelJobs": jobs.cancel_many,
    "TerminateJob": jobs.terminate,
    "TerminateJobs": jobs.terminate_many,
}


def _told_as_batch_does(handler: Callable[[Any, Any, Identity], Awaitable[Message]]) -> Handler:
    """AWS Batch has one exception for what a caller did wrong."""

    async def call(plane: Any, request: Any, caller: Identity) -> Message:
        try:
            return await handler(plane, request, caller)
        except Refused as refused:
            raise Refused(refused.kind, refused.message, problems=refused.problems) from None

    return call


BATCH_METHODS: Mapping[str, Handler] = {name: _told_as_batch_does(handler) for name, handler in _HANDLERS.items()}
