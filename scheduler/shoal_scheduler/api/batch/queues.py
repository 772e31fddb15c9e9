"""Job queues: create, update, delete, describe."""

from typing import Any

from shoal import arn, awsjson
from shoal.rpc import Identity
from shoal.v1 import job_queue_pb2 as pb

from shoal_scheduler.api.batch.validate_jobs import tag_map_problems
from shoal_scheduler.api.batch.validate_queues import queue_problems
from shoal_scheduler.api.fields import bounded, refuse, required
from shoal_scheduler.api.pages import page
from shoal_scheduler.control.batch import inputs as i
from shoal_scheduler.control_plane import ControlPlane
from shoal_scheduler.model.job_queue import JobQueue, TimeLimit
from shoal_scheduler.state.tables import Tables

NAMES_MAX = 100


async def create(
    plane: ControlPlane, request: pb.CreateJobQueueRequest, _caller: Identity
) -> pb.CreateJobQueueResponse:
    document = awsjson.to_document(request)
    refuse([*queue_problems(document, create=True), *tag_map_problems(document.get("tags", {}))])
    queue = JobQueue(name=request.job_queue_name, created_at=0, tags=dict(request.tags), **_fields(document))
    await plane.engine.submit(i.CreateJobQueue(queue))
    return pb.CreateJobQueueResponse(job_queue_name=queue.name, job_queue_arn=arn.job_queue_arn(queue.name))


async def update(
    plane: ControlPlane, request: pb.UpdateJobQueueRequest, _caller: Identity
) -> pb.UpdateJobQueueResponse:
    """What is not given stays."""
    name = required(request, "job_queue", "jobQueue")
    document = awsjson.to_document(request)
    refuse(queue_problems(document, create=False))
    queue = await plane.engine.submit(i.UpdateJobQueue(name, _fields(document)))
    assert isinstance(queue, JobQueue)
    return pb.UpdateJobQueueResponse(job_queue_name=queue.name, job_queue_arn=arn.job_queue_arn(queue.name))


async def delete(
    plane: ControlPlane, request: pb.DeleteJobQueueRequest, _caller: Identity
) -> pb.DeleteJobQueueResponse:
    await plane.engine.submit(i.DeleteJobQueue(required(request, "job_queue", "jobQueue")))
    return pb.DeleteJobQueueResponse()


async def describe(
    plane: ControlPlane, request: pb.DescribeJobQueuesRequest, _caller: Identity
) -> pb.DescribeJobQueuesResponse:
    """By name. What is named and not there is not in the answer, as in AWS."""
    known = plane.tables.batch.queues
    names = list(known)
    if request.job_queues:
        names = [*map(arn.short, bounded(request.job_queues, "jobQueues", NAMES_MAX))]
    found = {name: known[name] for name in names if name in known}
    queues, token = page(found.items(), request)
    return pb.DescribeJobQueuesResponse(
        job_queues=[message_of(plane.tables, each) for each in queues], next_token=token or None
    )


def message_of(tables: Tables, queue: JobQueue) -> pb.JobQueueDetail:
    return pb.JobQueueDetail(
        job_queue_name=queue.name,
        job_queue_arn=arn.job_queue_arn(queue.name),
        state=queue.state,
        status="VALID",
        status_reason="JobQueue Healthy",
        priority=queue.priority,
        compute_environment_order=[
            pb.ComputeEnvironmentOrder(order=number, compute_environment=arn.compute_environment_arn(name))
            for number, name in enumerate(queue.environments, start=1)
        ],
        job_queue_type="ECS",
        tags=queue.tags,
        job_state_time_limit_actions=[
            pb.JobStateTimeLimitAction(
                reason=limit.reason, state=limit.state, max_time_seconds=limit.max_seconds, action=limit.action
            )
            for limit in queue.time_limits
        ],
        max_concurrent=queue.max_concurrent,
        overtaking_max=queue.overtaking_max,
        unfinished_jobs=tables.batch.open_in[queue.name],
        running_tasks=tables.batch.running[queue.name],
        created_at=queue.created_at,
    )


def _fields(document: dict[str, Any]) -> dict[str, Any]:
    """Of the record, those that are given."""
    names = {
        "state": "state",
        "priority": "priority",
        "maxConcurrent": "max_concurrent",
        "overtakingMax": "overtaking_max",
    }
    fields = {field: document[name] for name, field in names.items() if name in document}
    if "computeEnvironmentOrder" in document:
        order = sorted(document["computeEnvironmentOrder"], key=lambda entry: entry["order"])
        fields["environments"] = tuple(arn.short(entry["computeEnvironment"]) for entry in order)
    if "jobStateTimeLimitActions" in document:
        fields["time_limits"] = tuple(
            TimeLimit(limit["reason"], limit["maxTimeSeconds"], limit["state"], limit["action"])
            for limit in document["jobStateTimeLimitActions"]
        )
    elif document.get("removeTimeLimits"):
        fields["time_limits"] = ()
    return fields
