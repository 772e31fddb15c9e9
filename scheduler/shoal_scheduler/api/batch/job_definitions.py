"""Job definitions: register, deregister, describe."""

from collections.abc import Iterator
from typing import Any

from shoal import arn, awsjson
from shoal.rpc import Identity
from shoal.v1 import job_definition_pb2 as pb

from shoal_scheduler.api.batch.validate_job_definition import (
    DOCUMENT_BYTES_MAX,
    job_definition_problems,
    job_definition_warnings,
)
from shoal_scheduler.api.batch.validate_jobs import tag_map_problems
from shoal_scheduler.api.fields import bounded, refuse, required
from shoal_scheduler.api.pages import page
from shoal_scheduler.api.validate_values import one_of, size_problems
from shoal_scheduler.control.batch import inputs as i
from shoal_scheduler.control_plane import ControlPlane
from shoal_scheduler.model.job_definition import JobDefinition
from shoal_scheduler.model.refusal import invalid_field

# A definition and tags at their longest stay below; what is more is not looked into.
REQUEST_BYTES_MAX = 64 * 1024
NAMES_MAX = 100
STATUSES = ("ACTIVE", "INACTIVE")


async def register(
    plane: ControlPlane, request: pb.RegisterJobDefinitionRequest, caller: Identity
) -> pb.RegisterJobDefinitionResponse:
    document, tags = checked_document(request)
    name = document["jobDefinitionName"]
    definition = await plane.engine.submit(i.RegisterJobDefinition(name, document, tags, caller.uri))
    assert isinstance(definition, JobDefinition)
    response = pb.RegisterJobDefinitionResponse(
        job_definition_name=definition.name,
        job_definition_arn=arn.job_definition_arn(definition.name, definition.revision),
        revision=definition.revision,
    )
    for warning in job_definition_warnings(document):
        response.warnings.add(field=warning.field, message=warning.message)
    return response


def checked_document(request: pb.RegisterJobDefinitionRequest) -> tuple[dict[str, Any], dict[str, str]]:
    """The definition as AWS JSON, and its tags. Raises Refused for what cannot be registered."""
    if request.ByteSize() > REQUEST_BYTES_MAX:
        refuse(size_problems(request.ByteSize(), DOCUMENT_BYTES_MAX))
    document = awsjson.to_document(request)
    tags: dict[str, str] = document.pop("tags", {})
    refuse([*job_definition_problems(document), *tag_map_problems(tags)])
    return document, tags


async def deregister(
    plane: ControlPlane, request: pb.DeregisterJobDefinitionRequest, _caller: Identity
) -> pb.DeregisterJobDefinitionResponse:
    await plane.engine.submit(i.DeregisterJobDefinition(required(request, "job_definition", "jobDefinition")))
    return pb.DeregisterJobDefinitionResponse()


async def describe(
    plane: ControlPlane, request: pb.DescribeJobDefinitionsRequest, _caller: Identity
) -> pb.DescribeJobDefinitionsResponse:
    """By name, then revision. What is named and not there is not in the answer, as in AWS."""
    refuse(one_of("status", request.status or None, STATUSES))
    if request.job_definitions and (request.job_definition_name or request.status):
        raise invalid_field("jobDefinitions", "cannot stand beside jobDefinitionName or status; keep one of them.")
    found = (
        (f"{each.name} {each.revision:09d}", each)
        for each in _asked_for(plane, request)
        if request.status in ("", each.status)
    )
    definitions, token = page(found, request)
    return pb.DescribeJobDefinitionsResponse(job_definitions=map(message_of, definitions), next_token=token or None)


def _asked_for(plane: ControlPlane, request: pb.DescribeJobDefinitionsRequest) -> Iterator[JobDefinition]:
    known = plane.tables.batch.definitions
    if request.job_definitions:
        names = {arn.short(name) for name in bounded(request.job_definitions, "jobDefinitions", NAMES_MAX)}
        wanted = {name.partition(":")[0] for name in names}
        found = (each for name in wanted for each in known.get(name, {}).values())
        yield from (each for each in found if each.name in names or each.full_name in names)
    elif request.job_definition_name:
        yield from known.get(arn.short(request.job_definition_name), {}).values()
    else:
        yield from (each for revisions in known.values() for each in revisions.values())


def message_of(definition: JobDefinition) -> pb.JobDefinition:
    """The definition as it was registered, with the read-only fields."""
    message, _ = awsjson.to_message(definition.document, pb.JobDefinition)
    message.job_definition_arn = arn.job_definition_arn(definition.name, definition.revision)
    message.revision = definition.revision
    message.status = definition.status
    message.container_orchestration_type = "ECS"
    message.tags.update(definition.tags)
    return message
