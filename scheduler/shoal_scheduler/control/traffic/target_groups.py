"""Target groups: create, modify, delete."""

import msgspec
from shoal import arn
from shoal.problems import quoted

from shoal_scheduler.control.context import Context, Outcome
from shoal_scheduler.control.traffic import inputs as i
from shoal_scheduler.model.refusal import Refused, invalid_field
from shoal_scheduler.model.service import INACTIVE, Service, ServiceRevision
from shoal_scheduler.model.traffic import GRPC, HTTP, HTTPS, TCP, ListenerRule, TargetGroup
from shoal_scheduler.state.overlay import Overlay
from shoal_scheduler.state.records import DeleteRecord, PutRecord

# Of each in a cluster. Every change of one has all routes told anew.
TARGET_GROUPS_MAX = 1_000


def create(view: Overlay, request: i.CreateTargetGroup, context: Context) -> Outcome:
    """The same again is answered with what is there."""
    wanted = msgspec.structs.replace(request.group, created_at=context.now)
    known = view.records.get(TargetGroup, wanted.cluster, wanted.name)
    if known is not None:
        if msgspec.structs.replace(wanted, created_at=known.created_at) == known:
            return Outcome(known)
        raise Refused(
            "conflict",
            f"Name: there is a target group {known.name!r} already, and it is another one: change it with"
            " ModifyTargetGroup, or take another name.",
            reason="DuplicateTargetGroupNameException",
        )
    if len(view.records.of(TargetGroup, wanted.cluster)) >= TARGET_GROUPS_MAX:
        raise Refused(
            "exhausted",
            f"A cluster has at most {TARGET_GROUPS_MAX} target groups: delete some first.",
            reason="TooManyTargetGroupsException",
        )
    check(wanted)
    return Outcome(wanted, [PutRecord(wanted)])


def modify(view: Overlay, request: i.ModifyTargetGroup, _context: Context) -> Outcome:
    before = find(view, request.cluster, request.name)
    health_check = msgspec.structs.replace(before.health_check, **request.health_check)
    group = msgspec.structs.replace(before, **request.fields, health_check=health_check)
    check(group)
    return Outcome(group, [PutRecord(group)] if group != before else [])


def delete(view: Overlay, request: i.DeleteTargetGroup, _context: Context) -> Outcome:
    group = find(view, request.cluster, request.name)
    for rule in view.records.of(ListenerRule, group.cluster):
        if any(each.target_group == group.name for each in rule.forwards):
            raise _in_use(group, f"rule {rule.name!r} forwards to it: delete that, or have it forward elsewhere")
    for service in view.records.of(Service, group.cluster):
        if service.status != INACTIVE and _names(view, service, group.name):
            raise _in_use(group, f"service {service.name!r} names it: delete that, or take it out there")
    return Outcome(None, [DeleteRecord(TargetGroup, (group.cluster, group.name))])


def _in_use(group: TargetGroup, why: str) -> Refused:
    return Refused(
        "failed_precondition", f"TargetGroupArn: {group.name!r} is in use: {why}.", reason="ResourceInUseException"
    )


def _names(view: Overlay, service: Service, group: str) -> bool:
    """In any of its revisions: tasks of an old one may still run."""
    revisions = view.records.of(ServiceRevision, service.cluster, service.name)
    return any(each.target_group == group for revision in revisions for each in revision.load_balancers)


def find(view: Overlay, cluster: str, name: str, field: str = "TargetGroupArn") -> TargetGroup:
    """By name or ARN. Raises Refused."""
    group = view.records.get(TargetGroup, cluster, arn.short(name))
    if group is None:
        raise Refused(
            "not_found",
            f"{field}: there is no target group {quoted(name[:300])} in cluster {cluster}. List them with"
            " DescribeTargetGroups.",
            reason="TargetGroupNotFoundException",
        )
    return group


def check(group: TargetGroup) -> None:
    """What its fields must be to each other. Raises Refused."""
    test = group.health_check
    if group.protocol == TCP and group.stickiness.enabled:
        raise invalid_field("stickiness", "is by a cookie, which TCP does not have: use HTTP, or leave it out.")
    if group.protocol_version == GRPC and test.protocol not in (HTTP, HTTPS, TCP):
        raise invalid_field("HealthCheckProtocol", "must be HTTP or TCP of gRPC.")
    if group.protocol_version == GRPC and test.protocol == HTTPS:
        raise invalid_field("HealthCheckProtocol", "of gRPC cannot be HTTPS yet: use HTTP or TCP.")
    if test.timeout > test.interval * 10:
        raise invalid_field(
            "HealthCheckTimeoutSeconds", f"is {test.timeout}: at most ten times the interval of {test.interval}."
        )
