"""Services: create, update, delete, describe, list."""

from typing import Any

import msgspec
from shoal import arn, awsjson
from shoal.problems import Problem
from shoal.rpc import Identity
from shoal.v1 import resource_pb2, task_definition_pb2
from shoal.v1 import service_pb2 as pb

from shoal_scheduler.api.fields import bounded, existing_cluster, refuse, required
from shoal_scheduler.api.pages import page
from shoal_scheduler.api.remembered import Remembered
from shoal_scheduler.api.services.service_messages import service_message
from shoal_scheduler.api.services.service_records import create_input, update_input
from shoal_scheduler.api.services.validate_service import (
    REQUEST_BYTES_MAX,
    create_problems,
    service_warnings,
    update_problems,
)
from shoal_scheduler.api.validate_runnable import runnable_problems
from shoal_scheduler.api.validate_task_definition import COMPATIBILITIES
from shoal_scheduler.api.validate_values import one_of, size_problems
from shoal_scheduler.control.definitions import find as find_definition
from shoal_scheduler.control.services import find
from shoal_scheduler.control.services import inputs as i
from shoal_scheduler.control_plane import ControlPlane
from shoal_scheduler.engine import now_millis
from shoal_scheduler.model.definition import Definition
from shoal_scheduler.model.service import ACTIVE, DAEMON, REPLICA, Service, ServiceRevision

DESCRIBED_MAX = 100
_INVALID = "InvalidParameterException"


async def create(plane: ControlPlane, request: pb.CreateServiceRequest, caller: Identity) -> pb.CreateServiceResponse:
    document = _document(request)
    definition = _runnable(plane, required(request, "task_definition", "taskDefinition"))
    refuse(create_problems(document, definition.document), _INVALID)
    change = create_input(request, document, definition.name)
    created = msgspec.structs.replace(change.service, created_by=caller.name)
    service = await plane.engine.submit(i.CreateService(created, change.revision))
    assert isinstance(service, Service)
    message = service_message(plane.tables, service, now_millis(), with_tags=True)
    return pb.CreateServiceResponse(service=message, warnings=_warnings(document))


async def update(plane: ControlPlane, request: pb.UpdateServiceRequest, _caller: Identity) -> pb.UpdateServiceResponse:
    """What is not given stays."""
    document = _document(request)
    required(request, "service", "service")
    cluster = existing_cluster(plane, request)
    definition = None
    if request.task_definition:
        definition = _runnable(plane, request.task_definition).document
    elif request.load_balancers or request.service_registries:
        definition = _definition_of(plane, find.service(plane.tables.records, cluster.name, request.service))
    refuse(update_problems(document, definition), _INVALID)
    service = await plane.engine.submit(update_input(request, document))
    assert isinstance(service, Service)
    message = service_message(plane.tables, service, now_millis(), with_tags=True)
    return pb.UpdateServiceResponse(service=message, warnings=_warnings(document))


async def delete(plane: ControlPlane, request: pb.DeleteServiceRequest, _caller: Identity) -> pb.DeleteServiceResponse:
    name = required(request, "service", "service")
    cluster = existing_cluster(plane, request)
    service = await plane.engine.submit(i.DeleteService(cluster.name, arn.short(name), request.force))
    assert isinstance(service, Service)
    return pb.DeleteServiceResponse(service=service_message(plane.tables, service, now_millis(), with_tags=True))


async def describe(
    plane: ControlPlane, request: pb.DescribeServicesRequest, _caller: Identity
) -> pb.DescribeServicesResponse:
    cluster, response = existing_cluster(plane, request), pb.DescribeServicesResponse()
    refuse((problem for each in request.include for problem in one_of("include", each, ("TAGS",))), _INVALID)
    for name in bounded(request.services, "services", DESCRIBED_MAX):
        service = plane.tables.records.get(Service, cluster.name, arn.short(name))
        if service is None:
            missing = name if name.startswith("arn:") else arn.service_arn(cluster.name, name)
            response.failures.append(resource_pb2.Failure(arn=missing, reason="MISSING"))
        else:
            with_tags = "TAGS" in request.include
            response.services.append(service_message(plane.tables, service, now_millis(), with_tags=with_tags))
    return response


async def list_all(plane: ControlPlane, request: pb.ListServicesRequest, _caller: Identity) -> pb.ListServicesResponse:
    """Those that are ACTIVE, as in ECS, by name."""
    cluster = existing_cluster(plane, request)
    refuse(one_of("schedulingStrategy", request.scheduling_strategy or None, (REPLICA, DAEMON)), _INVALID)
    refuse(one_of("launchType", request.launch_type or None, COMPATIBILITIES), _INVALID)
    refuse(one_of("resourceManagementType", request.resource_management_type or None, ("CUSTOMER",)), _INVALID)
    found = (
        (service.name, arn.service_arn(cluster.name, service.name))
        for service in plane.tables.records.of(Service, cluster.name)
        if service.status == ACTIVE
        and request.scheduling_strategy in ("", service.scheduling_strategy)
        and request.launch_type in ("", _launch_type(plane, service))
    )
    arns, token = page(found, request)
    return pb.ListServicesResponse(service_arns=arns, next_token=token or None)


def _document(request: pb.CreateServiceRequest | pb.UpdateServiceRequest) -> dict[str, Any]:
    refuse(size_problems(request.ByteSize(), REQUEST_BYTES_MAX), _INVALID)
    return awsjson.to_document(request)


def _runnable(plane: ControlPlane, name: str) -> Definition:
    """Raises Refused for one that no task could run."""
    definition = find_definition(plane.tables, name)
    refuse(_problems.of(definition.name, definition))
    return definition


def _problems_of(definition: Definition) -> list[Problem]:
    return runnable_problems(definition.document)


_problems = Remembered(_problems_of)


def _definition_of(plane: ControlPlane, service: Service) -> dict[str, Any] | None:
    revision = plane.tables.records.get(ServiceRevision, service.cluster, service.name, service.revision)
    return find_definition(plane.tables, revision.definition).document if revision is not None else None


def _launch_type(plane: ControlPlane, service: Service) -> str:
    revision = plane.tables.records.get(ServiceRevision, service.cluster, service.name, service.revision)
    return revision.launch_type if revision is not None else ""


def _warnings(document: dict[str, Any]) -> list[task_definition_pb2.Warning]:
    return [task_definition_pb2.Warning(field=each.field, message=each.message) for each in service_warnings(document)]
