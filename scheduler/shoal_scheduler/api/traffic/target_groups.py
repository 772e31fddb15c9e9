"""Target groups: create, modify, delete, describe; and the health of their targets."""

from collections.abc import Iterator
from typing import Any

from shoal import arn, awsjson
from shoal.rpc import Identity
from shoal.v1 import traffic_pb2 as pb

from shoal_scheduler.api.fields import existing_cluster, refuse, required, tags_of
from shoal_scheduler.api.pages import page
from shoal_scheduler.api.traffic.messages import TRAFFIC_PORT, target_group_message
from shoal_scheduler.api.traffic.validate import target_group_problems
from shoal_scheduler.control.traffic import inputs as i
from shoal_scheduler.control.traffic import routes
from shoal_scheduler.control.traffic.target_groups import find
from shoal_scheduler.control_plane import ControlPlane
from shoal_scheduler.model.service import Service
from shoal_scheduler.model.task import Task
from shoal_scheduler.model.traffic import (
    DRAINING,
    GRPC,
    HTTP,
    HTTP1,
    TCP,
    UNUSED,
    HealthCheck,
    ListenerRule,
    Stickiness,
    TargetGroup,
    TargetHealth,
)
from shoal_scheduler.state.overlay import Overlay

_GRPC_CHECK = "/grpc.health.v1.Health/Check"

# A task that stops, or has: nothing more is sent to it.
_ENDING = ("DEACTIVATING", "STOPPING", "DEPROVISIONING")


async def create(
    plane: ControlPlane, request: pb.CreateTargetGroupRequest, _caller: Identity
) -> pb.CreateTargetGroupResponse:
    cluster = existing_cluster(plane, request)
    document = awsjson.to_document(request)
    refuse(target_group_problems(document, create=True), "InvalidParameterException")
    protocol = document.get("Protocol", HTTP)
    version = "" if protocol == TCP else document.get("ProtocolVersion", HTTP1)
    is_grpc = version == GRPC
    check: dict[str, Any] = {"protocol": TCP if protocol == TCP else HTTP if is_grpc else protocol}
    check |= {"path": _GRPC_CHECK, "matcher": "0"} if is_grpc else {}
    group = TargetGroup(
        name=request.name,
        cluster=cluster.name,
        created_at=0,
        protocol=protocol,
        protocol_version=version,
        health_check=HealthCheck(**(check | _health_check(document))),
        tags=tags_of(request.tags),
        **_fields(document),
    )
    made = await plane.engine.submit(i.CreateTargetGroup(group))
    assert isinstance(made, TargetGroup)
    return pb.CreateTargetGroupResponse(target_groups=[target_group_message(made)])


def _health_check(document: dict[str, Any]) -> dict[str, Any]:
    """Of the record, those that are given."""
    names = {
        "HealthCheckProtocol": "protocol",
        "HealthCheckPath": "path",
        "HealthCheckIntervalSeconds": "interval",
        "HealthCheckTimeoutSeconds": "timeout",
        "HealthyThresholdCount": "healthy_threshold",
        "UnhealthyThresholdCount": "unhealthy_threshold",
    }
    fields = {field: document[name] for name, field in names.items() if name in document}
    if "HealthCheckPort" in document:
        said = document["HealthCheckPort"]
        fields["port"] = 0 if said == TRAFFIC_PORT else int(said)
    matcher = document.get("Matcher", {})
    if code := matcher.get("HttpCode") or matcher.get("GrpcCode"):
        fields["matcher"] = code
    return fields


def _fields(document: dict[str, Any]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    if "deregistrationDelaySeconds" in document:
        fields["deregistration_delay"] = document["deregistrationDelaySeconds"]
    if "stickiness" in document:
        said = document["stickiness"]
        defaults = Stickiness()
        fields["stickiness"] = Stickiness(
            enabled=said.get("Enabled", defaults.enabled),
            duration=said.get("DurationSeconds", defaults.duration),
            cookie=said.get("CookieName", defaults.cookie),
        )
    return fields


async def modify(
    plane: ControlPlane, request: pb.ModifyTargetGroupRequest, _caller: Identity
) -> pb.ModifyTargetGroupResponse:
    cluster, name = existing_cluster(plane, request), required(request, "target_group_arn", "TargetGroupArn")
    document = awsjson.to_document(request)
    refuse(target_group_problems(document, create=False), "InvalidParameterException")
    changes = i.ModifyTargetGroup(cluster.name, name, _fields(document), _health_check(document))
    group = await plane.engine.submit(changes)
    assert isinstance(group, TargetGroup)
    return pb.ModifyTargetGroupResponse(target_groups=[target_group_message(group)])


async def delete(
    plane: ControlPlane, request: pb.DeleteTargetGroupRequest, _caller: Identity
) -> pb.DeleteTargetGroupResponse:
    cluster, name = existing_cluster(plane, request), required(request, "target_group_arn", "TargetGroupArn")
    await plane.engine.submit(i.DeleteTargetGroup(cluster.name, name))
    return pb.DeleteTargetGroupResponse()


async def describe(
    plane: ControlPlane, request: pb.DescribeTargetGroupsRequest, _caller: Identity
) -> pb.DescribeTargetGroupsResponse:
    """By name. One that is named and not there is refused, as in ELB."""
    cluster, view = existing_cluster(plane, request), Overlay(plane.tables)
    if request.names or request.target_group_arns:
        said = [*((name, "Names") for name in request.names)]
        said += [(name, "TargetGroupArns") for name in request.target_group_arns]
        found = [find(view, cluster.name, name, field) for name, field in said]
    else:
        found = plane.tables.records.of(TargetGroup, cluster.name)
    groups, token = page(((each.name, each) for each in found), request)
    return pb.DescribeTargetGroupsResponse(target_groups=map(target_group_message, groups), next_token=token or None)


async def describe_health(
    plane: ControlPlane, request: pb.DescribeTargetHealthRequest, _caller: Identity
) -> pb.DescribeTargetHealthResponse:
    cluster, name = existing_cluster(plane, request), required(request, "target_group_arn", "TargetGroupArn")
    group = find(Overlay(plane.tables), cluster.name, name)
    return pb.DescribeTargetHealthResponse(target_health_descriptions=_targets(plane, group))


def _targets(plane: ControlPlane, group: TargetGroup) -> Iterator[pb.TargetHealthDescription]:
    rules = plane.tables.records.of(ListenerRule, group.cluster)
    is_used = any(each.target_group == group.name for rule in rules for each in rule.forwards)
    for service in sorted(plane.tables.records.of(Service, group.cluster), key=lambda each: each.name):
        for key in sorted(plane.tables.services.live.get((service.cluster, service.name), {})):
            task = plane.tables.task(key)
            for target in routes.targets_of(plane.tables, task) if task is not None else ():
                if target.target_group == group.name:
                    yield _target_message(plane, group, target, service.name, is_used)


def _target_message(
    plane: ControlPlane, group: TargetGroup, target: routes.Target, service: str, is_used: bool
) -> pb.TargetHealthDescription:
    task, place = target.task, target.place
    instance = plane.tables.instances[task.instance]
    health = _health(plane, group, task, is_used)
    return pb.TargetHealthDescription(
        target=pb.TargetDescription(
            id=place.host,
            port=place.port,
            availability_zone=instance.attribute("ecs.availability-zone"),
            task_arn=arn.task_arn(task.launch.cluster, task.id),
            container_instance_arn=arn.container_instance_arn(instance.cluster, instance.id),
            service_name=service,
        ),
        health_check_port=str(group.health_check.port or place.port),
        target_health=pb.TargetHealth(
            state=health.state,
            reason=health.reason or None,
            description=health.description or None,
            since=health.since or None,
        ),
    )


def _health(plane: ControlPlane, group: TargetGroup, task: Task, is_used: bool) -> TargetHealth:
    if task.last_status in _ENDING or task.desired_status == "STOPPED":
        return TargetHealth(
            DRAINING, "Target.DeregistrationInProgress", "Target deregistration is in progress", task.stopping_at
        )
    if not is_used:
        return TargetHealth(UNUSED, "Target.NotInUse", "No rule forwards to the target group")
    known = plane.tables.services.target_health.get(task.key, {}).get(group.name)
    return known or TargetHealth("initial", "Elb.RegistrationInProgress", "Target registration is in progress")
