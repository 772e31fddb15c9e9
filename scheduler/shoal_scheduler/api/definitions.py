"""Task definitions: register, deregister, delete, describe, list."""

from collections.abc import Iterable
from typing import Any

from shoal import arn, awsjson
from shoal.rpc import Identity
from shoal.v1 import task_definition_pb2 as pb

from shoal_scheduler.api import convert
from shoal_scheduler.api.fields import bounded, check_expression, refuse, required, tags_of
from shoal_scheduler.api.pages import page
from shoal_scheduler.api.validate_task_definition import (
    DOCUMENT_BYTES_MAX,
    task_definition_problems,
    task_definition_warnings,
)
from shoal_scheduler.api.validate_values import one_of, size_problems
from shoal_scheduler.control import inputs as i
from shoal_scheduler.control.definitions import find
from shoal_scheduler.control_plane import ControlPlane
from shoal_scheduler.model.definition import Definition
from shoal_scheduler.model.job_definition import FAMILY_PREFIX

_READ_ONLY = (
    "taskDefinitionArn",
    "revision",
    "status",
    "requiresAttributes",
    "compatibilities",
    "registeredAt",
    "deregisteredAt",
    "deleteRequestedAt",
    "registeredBy",
    "tags",
)


async def register(
    plane: ControlPlane, request: pb.RegisterTaskDefinitionRequest, caller: Identity
) -> pb.RegisterTaskDefinitionResponse:
    document, tags = checked_document(request)
    definition = await plane.engine.submit(i.RegisterTaskDefinition(document, tags, caller.uri))
    assert isinstance(definition, Definition)
    response = pb.RegisterTaskDefinitionResponse(
        task_definition=convert.definition_message(definition), tags=convert.tag_messages(definition.tags)
    )
    for warning in task_definition_warnings(document):
        response.warnings.add(field=warning.field, message=warning.message)
    return response


def checked_document(request: pb.RegisterTaskDefinitionRequest) -> tuple[dict[str, Any], dict[str, str]]:
    """The definition as AWS JSON, and its tags. Raises Refused for what cannot be registered."""
    refuse(size_problems(request.ByteSize(), DOCUMENT_BYTES_MAX))
    tags = tags_of(request.tags)
    document = {key: value for key, value in awsjson.to_document(request).items() if key not in _READ_ONLY}
    refuse(task_definition_problems(document))
    for number, constraint in enumerate(document.get("placementConstraints", ())):
        check_expression(f"placementConstraints[{number}].expression", constraint["expression"], "ClientException")
    return document, tags


async def deregister(
    plane: ControlPlane, request: pb.DeregisterTaskDefinitionRequest, _caller: Identity
) -> pb.DeregisterTaskDefinitionResponse:
    name = required(request, "task_definition", "taskDefinition")
    definition = await plane.engine.submit(i.DeregisterTaskDefinition(name))
    assert isinstance(definition, Definition)
    return pb.DeregisterTaskDefinitionResponse(task_definition=convert.definition_message(definition))


async def delete(
    plane: ControlPlane, request: pb.DeleteTaskDefinitionsRequest, _caller: Identity
) -> pb.DeleteTaskDefinitionsResponse:
    names = bounded(request.task_definitions, "taskDefinitions", most=10)
    deleted = await plane.engine.submit(i.DeleteTaskDefinitions(tuple(names)))
    assert isinstance(deleted, i.DeletedDefinitions)
    return pb.DeleteTaskDefinitionsResponse(
        task_definitions=map(convert.definition_message, deleted.definitions),
        failures=convert.failure_messages(deleted.failures),
    )


async def describe(
    plane: ControlPlane, request: pb.DescribeTaskDefinitionRequest, _caller: Identity
) -> pb.DescribeTaskDefinitionResponse:
    definition = find(plane.tables, required(request, "task_definition", "taskDefinition"))
    return pb.DescribeTaskDefinitionResponse(
        task_definition=convert.definition_message(definition),
        tags=convert.tag_messages(definition.tags) if "TAGS" in request.include else (),
    )


async def list_all(
    plane: ControlPlane, request: pb.ListTaskDefinitionsRequest, _caller: Identity
) -> pb.ListTaskDefinitionsResponse:
    """By family, then revision. `familyPrefix` is the full name of a family, as in ECS."""
    refuse(one_of("sort", request.sort or None, ("ASC", "DESC")), "InvalidParameterException")
    families = [request.family_prefix] if request.family_prefix else _families(plane)
    wanted = _status(request.status)
    found = (
        (f"{definition.family} {definition.revision:09d}", arn.task_definition_arn(family, definition.revision))
        for family in families
        for definition in plane.tables.revisions(family).values()
        if definition.status == wanted
    )
    arns, token = page(found, request, descending=request.sort == "DESC")
    return pb.ListTaskDefinitionsResponse(task_definition_arns=arns, next_token=token or None)


async def list_families(
    plane: ControlPlane, request: pb.ListTaskDefinitionFamiliesRequest, _caller: Identity
) -> pb.ListTaskDefinitionFamiliesResponse:
    wanted = request.status or "ALL"
    refuse(one_of("status", wanted, ("ACTIVE", "INACTIVE", "ALL")), "InvalidParameterException")
    found = (
        (family, family)
        for family in _families(plane, of_jobs=request.family_prefix.startswith(FAMILY_PREFIX))
        if family.startswith(request.family_prefix) and _family_is(wanted, plane.tables.definitions[family].values())
    )
    families, token = page(found, request)
    return pb.ListTaskDefinitionFamiliesResponse(families=families, next_token=token or None)


def _families(plane: ControlPlane, *, of_jobs: bool = False) -> list[str]:
    """Those that were registered; or those derived from job definitions, which are shown only when asked for."""
    return [family for family in plane.tables.definitions if family.startswith(FAMILY_PREFIX) == of_jobs]


def _status(status: str) -> str:
    wanted = status or "ACTIVE"
    refuse(one_of("status", wanted, ("ACTIVE", "INACTIVE", "DELETE_IN_PROGRESS")), "InvalidParameterException")
    return wanted


def _family_is(wanted: str, revisions: Iterable[Definition]) -> bool:
    """A family is ACTIVE while any revision of it is."""
    active = any(definition.status == "ACTIVE" for definition in revisions)
    return wanted == "ALL" or active == (wanted == "ACTIVE")
