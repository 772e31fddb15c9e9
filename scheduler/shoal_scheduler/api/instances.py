"""Container instances and their attributes."""

from collections.abc import Iterator
from typing import Any

from shoal import arn
from shoal.rpc import Identity
from shoal.v1 import container_instance_pb2 as pb
from shoal.v1 import resource_pb2

from shoal_scheduler.api import convert, image_reports
from shoal_scheduler.api.fields import bounded, check_expression, cluster_name, existing_cluster, refuse, required
from shoal_scheduler.api.pages import page
from shoal_scheduler.api.validate_names import INSTANCE_STATUSES, attributes_problems, instance_state_problems
from shoal_scheduler.api.validate_values import one_of
from shoal_scheduler.control import host_loss
from shoal_scheduler.control import inputs as i
from shoal_scheduler.control.instances import look_up
from shoal_scheduler.control_plane import ControlPlane
from shoal_scheduler.model.candidate import Candidate
from shoal_scheduler.model.instance import Instance
from shoal_scheduler.model.refusal import invalid_field
from shoal_scheduler.state.overlay import Overlay

# As in ECS; each is a key of one transaction.
UPDATES_MAX = 10


async def list_all(
    plane: ControlPlane, request: pb.ListContainerInstancesRequest, _caller: Identity
) -> pb.ListContainerInstancesResponse:
    """All but deregistered ones, or of one status; `filter` is an expression of the cluster query language."""
    cluster = existing_cluster(plane, request)
    refuse(one_of("status", request.status or None, INSTANCE_STATUSES), "InvalidParameterException")
    room = plane.tables.room(cluster.name)
    passes = check_expression("filter", request.filter).mask(room).tolist() if request.filter else [True] * len(room)
    found = (
        (instance.id, arn.container_instance_arn(cluster.name, instance.id))
        for instance, passed in zip(room.instances, passes, strict=True)
        if instance is not None and passed and request.status in ("", instance.status)
    )
    arns, token = page(found, request)
    return pb.ListContainerInstancesResponse(container_instance_arns=arns, next_token=token or None)


async def describe(
    plane: ControlPlane, request: pb.DescribeContainerInstancesRequest, _caller: Identity
) -> pb.DescribeContainerInstancesResponse:
    cluster = existing_cluster(plane, request)
    response = pb.DescribeContainerInstancesResponse()
    with_tags, with_health = "TAGS" in request.include, "CONTAINER_INSTANCE_HEALTH" in request.include
    with_images = "IMAGES" in request.include
    for name in bounded(request.container_instances, "containerInstances"):
        instance = plane.tables.instances.get(arn.short(name))
        if instance is None or instance.cluster != cluster.name:
            response.failures.append(resource_pb2.Failure(arn=name, reason="MISSING"))
        else:
            candidate = plane.tables.candidate(instance)
            message = convert.instance_message(candidate, with_tags=with_tags)
            if (end := plane.dispatch.certificate_ends.get(instance.id)) is not None:
                message.certificate_expires_at = int(end * 1000)
            if with_health:
                message.health_status.CopyFrom(convert.health_message(candidate.health))
            if with_images:
                message.images.extend(map(image_reports.held_message, plane.tables.images_on(instance)))
            if reasons := list(_reasons(plane, candidate)):
                message.status_reason = "; ".join(reasons)
            response.container_instances.append(message)
    return response


def _reasons(plane: ControlPlane, candidate: Candidate) -> Iterator[str]:
    """Why nothing new comes there, beside what an operator says by its status alone."""
    instance = candidate.instance
    if instance.interruption is not None:
        yield instance.interruption.words(host_loss.name_of(instance))
    if not candidate.connected and instance.status != "INACTIVE":
        yield _silence(plane, instance)


def _silence(plane: ControlPlane, instance: Instance) -> str:
    engine = plane.engine
    seconds = engine.clock() - engine.heard.silent_since(instance.id)
    return host_loss.silence(instance, engine.now() - round(seconds * 1000))


async def update_state(
    plane: ControlPlane, request: pb.UpdateContainerInstancesStateRequest, _caller: Identity
) -> pb.UpdateContainerInstancesStateResponse:
    cluster = cluster_name(request)
    names = bounded(request.container_instances, "containerInstances", most=UPDATES_MAX)
    seconds = request.interruption_seconds if request.HasField("interruption_seconds") else None
    said = {"status": request.status, "interruptionSeconds": seconds, "reason": request.reason or None}
    refuse(instance_state_problems(said), "InvalidParameterException")
    change = i.UpdateInstances(cluster, tuple(names), request.status, seconds, request.reason)
    updated = await plane.engine.submit(change)
    assert isinstance(updated, i.InstancesUpdated)
    candidates = map(plane.tables.candidate, updated.instances)
    return pb.UpdateContainerInstancesStateResponse(
        container_instances=map(convert.instance_message, candidates),
        failures=convert.failure_messages(updated.failures),
    )


async def deregister(
    plane: ControlPlane, request: pb.DeregisterContainerInstanceRequest, _caller: Identity
) -> pb.DeregisterContainerInstanceResponse:
    name = required(request, "container_instance", "containerInstance")
    change = i.DeregisterInstance(cluster_name(request), name, request.force)
    while True:
        instance = await plane.engine.submit(change)
        assert isinstance(instance, Instance)
        if instance.status == "INACTIVE":
            break
    candidate = plane.tables.candidate(instance)
    return pb.DeregisterContainerInstanceResponse(container_instance=convert.instance_message(candidate))


async def put_attributes(
    plane: ControlPlane, request: pb.PutAttributesRequest, _caller: Identity
) -> pb.PutAttributesResponse:
    return pb.PutAttributesResponse(attributes=await _change_attributes(plane, request, delete=False))


async def delete_attributes(
    plane: ControlPlane, request: pb.DeleteAttributesRequest, _caller: Identity
) -> pb.DeleteAttributesResponse:
    return pb.DeleteAttributesResponse(attributes=await _change_attributes(plane, request, delete=True))


async def _change_attributes(plane: ControlPlane, request: Any, *, delete: bool) -> list[resource_pb2.Attribute]:
    documents = [{"name": a.name, "value": a.value} if a.value else {"name": a.name} for a in request.attributes]
    refuse(attributes_problems("attributes", documents), "InvalidParameterException")
    changes = []
    for number, attribute in enumerate(request.attributes):
        if not attribute.target_id:
            raise invalid_field(f"attributes[{number}].targetId", "is required: the id or ARN of an instance.")
        changes.append((attribute.target_id, attribute.name, None if delete else attribute.value))
    changed = await plane.engine.submit(i.ChangeAttributes(cluster_name(request), tuple(changes)))
    assert isinstance(changed, tuple)
    return [_attribute(*each) for each in changed]


def _attribute(instance: str, name: str, value: str) -> resource_pb2.Attribute:
    return resource_pb2.Attribute(name=name, value=value or None, target_type="container-instance", target_id=instance)


async def list_attributes(
    plane: ControlPlane, request: pb.ListAttributesRequest, _caller: Identity
) -> pb.ListAttributesResponse:
    cluster = existing_cluster(plane, request)
    refuse(
        one_of("targetType", request.target_type or "container-instance", ("container-instance",)),
        "InvalidParameterException",
    )
    found = (
        (f"{instance.id} {name}", _attribute(instance.id, name, value))
        for instance, name, value in _attributes(plane, cluster.name)
        if request.attribute_name in ("", name) and request.attribute_value in ("", value)
    )
    attributes, token = page(found, request)
    return pb.ListAttributesResponse(attributes=attributes, next_token=token or None)


def _attributes(plane: ControlPlane, cluster: str) -> Iterator[tuple[Instance, str, str]]:
    for instance in plane.tables.instances_of(cluster):
        for name, value in instance.attributes.items():
            yield instance, name, value


def instance_id(plane: ControlPlane, cluster: str, name: str) -> str:
    """Of an id or ARN. Raises Refused."""
    instance = look_up(Overlay(plane.tables), cluster, name)
    if instance is None:
        raise invalid_field("containerInstance", f"there is no instance {name!r} in cluster {cluster!r}.")
    return instance.id
