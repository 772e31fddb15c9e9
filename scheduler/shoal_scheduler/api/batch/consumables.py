"""Consumable resources: create, update, delete, describe, list; and which jobs take of them."""

from collections.abc import Callable, Sequence
from typing import Any

from shoal import arn, awsjson
from shoal.rpc import Identity
from shoal.v1 import job_definition_pb2
from shoal.v1 import job_queue_pb2 as pb

from shoal_scheduler.api.batch import job_messages
from shoal_scheduler.api.batch.validate_jobs import tag_map_problems
from shoal_scheduler.api.batch.validate_queues import consumable_problems, consumable_update_problems
from shoal_scheduler.api.fields import refuse, required
from shoal_scheduler.api.pages import page
from shoal_scheduler.api.validate_values import one_of
from shoal_scheduler.control.batch import inputs as i
from shoal_scheduler.control.batch.bounds import taken
from shoal_scheduler.control.batch.children import status
from shoal_scheduler.control.batch.consumables import find
from shoal_scheduler.control_plane import ControlPlane
from shoal_scheduler.model.job import Job
from shoal_scheduler.model.job_queue import REPLENISHABLE, ConsumableResource
from shoal_scheduler.state.batch_overlay import BatchOverlay
from shoal_scheduler.state.tables import Tables

_NAME_FILTER = "CONSUMABLE_RESOURCE_NAME"
_JOB_FILTERS = ("JOB_NAME", "JOB_STATUS")


async def create(
    plane: ControlPlane, request: pb.CreateConsumableResourceRequest, _caller: Identity
) -> pb.CreateConsumableResourceResponse:
    document = awsjson.to_document(request)
    refuse([*consumable_problems(document), *tag_map_problems(document.get("tags", {}))])
    resource = ConsumableResource(
        name=request.consumable_resource_name,
        created_at=0,
        type=request.resource_type or REPLENISHABLE,
        total=request.total_quantity,
        tags=dict(request.tags),
    )
    await plane.engine.submit(i.CreateConsumableResource(resource))
    return pb.CreateConsumableResourceResponse(
        consumable_resource_name=resource.name, consumable_resource_arn=arn.consumable_resource_arn(resource.name)
    )


async def update(
    plane: ControlPlane, request: pb.UpdateConsumableResourceRequest, _caller: Identity
) -> pb.UpdateConsumableResourceResponse:
    document = awsjson.to_document(request)
    refuse(consumable_update_problems(document))
    change = i.UpdateConsumableResource(
        request.consumable_resource, request.operation.upper(), request.quantity, request.client_token
    )
    resource = await plane.engine.submit(change)
    assert isinstance(resource, ConsumableResource)
    return pb.UpdateConsumableResourceResponse(
        consumable_resource_name=resource.name,
        consumable_resource_arn=arn.consumable_resource_arn(resource.name),
        total_quantity=resource.total,
    )


async def delete(
    plane: ControlPlane, request: pb.DeleteConsumableResourceRequest, _caller: Identity
) -> pb.DeleteConsumableResourceResponse:
    name = required(request, "consumable_resource", "consumableResource")
    await plane.engine.submit(i.DeleteConsumableResource(name))
    return pb.DeleteConsumableResourceResponse()


async def describe(
    plane: ControlPlane, request: pb.DescribeConsumableResourceRequest, _caller: Identity
) -> pb.DescribeConsumableResourceResponse:
    resource = find(BatchOverlay(plane.tables.batch), required(request, "consumable_resource", "consumableResource"))
    in_use = taken(BatchOverlay(plane.tables.batch), resource)
    return pb.DescribeConsumableResourceResponse(
        consumable_resource_name=resource.name,
        consumable_resource_arn=arn.consumable_resource_arn(resource.name),
        total_quantity=resource.total,
        in_use_quantity=in_use,
        available_quantity=max(resource.total - in_use, 0),
        resource_type=resource.type,
        created_at=resource.created_at,
        tags=resource.tags,
    )


async def list_all(
    plane: ControlPlane, request: pb.ListConsumableResourcesRequest, _caller: Identity
) -> pb.ListConsumableResourcesResponse:
    """By name."""
    wanted = filter_of(request.filters, (_NAME_FILTER,))
    found = ((name, each) for name, each in plane.tables.batch.consumables.items() if wanted({_NAME_FILTER: name}))
    resources, token = page(found, request)
    return pb.ListConsumableResourcesResponse(
        consumable_resources=[_summary(plane.tables, each) for each in resources], next_token=token or None
    )


async def list_jobs(
    plane: ControlPlane, request: pb.ListJobsByConsumableResourceRequest, _caller: Identity
) -> pb.ListJobsByConsumableResourceResponse:
    """Jobs that take of it, of any status, the newest first."""
    resource = find(BatchOverlay(plane.tables.batch), required(request, "consumable_resource", "consumableResource"))
    wanted = filter_of(request.filters, _JOB_FILTERS)
    jobs = [entry.job for entry in plane.tables.batch.jobs.values() if resource.name in dict(entry.job.consumables)]
    found = (
        (f"{job.created_at:016d}/{job.id}", job)
        for job in jobs
        if wanted({"JOB_NAME": job.name, "JOB_STATUS": status(plane.tables.batch, job.id)})
    )
    taking, token = page(found, request, descending=True)
    return pb.ListJobsByConsumableResourceResponse(
        jobs=[_taker(plane.tables, resource, job) for job in taking], next_token=token or None
    )


def _taker(tables: Tables, resource: ConsumableResource, job: Job) -> pb.ListJobsByConsumableResourceSummary:
    it = job_messages.summary(tables, job.id)
    return pb.ListJobsByConsumableResourceSummary(
        job_arn=it.job_arn,
        job_queue_arn=arn.job_queue_arn(job.queue),
        job_name=job.name,
        job_definition_arn=it.job_definition,
        share_identifier=job.share_identifier or None,
        job_status=it.status,
        quantity=dict(job.consumables)[resource.name],
        status_reason=it.status_reason or None,
        started_at=it.started_at or None,
        created_at=job.created_at,
        consumable_resource_properties=job_definition_pb2.ConsumableResourceProperties(
            consumable_resource_list=[
                job_definition_pb2.ConsumableResourceRequirement(
                    consumable_resource=arn.consumable_resource_arn(each), quantity=quantity
                )
                for each, quantity in job.consumables
            ]
        ),
    )


def filter_of(filters: Sequence[Any], names: Sequence[str]) -> Callable[[dict[str, str]], bool]:
    """Whether a thing with these values is wanted: of each filter one value must be its own, or what it begins with
    before an asterisk. Raises Refused for filters of other names."""
    for number, each in enumerate(filters):
        refuse(one_of(f"filters[{number}].name", each.name, names))
    asked = [(each.name, list(each.values)) for each in filters]

    def matches(value: str, pattern: str) -> bool:
        return value.startswith(pattern[:-1]) if pattern.endswith("*") else value == pattern

    def wanted(values: dict[str, str]) -> bool:
        return all(any(matches(values[name], pattern) for pattern in patterns) for name, patterns in asked)

    return wanted


def _summary(tables: Tables, resource: ConsumableResource) -> pb.ConsumableResourceSummary:
    return pb.ConsumableResourceSummary(
        consumable_resource_arn=arn.consumable_resource_arn(resource.name),
        consumable_resource_name=resource.name,
        total_quantity=resource.total,
        in_use_quantity=taken(BatchOverlay(tables.batch), resource),
        resource_type=resource.type,
    )
