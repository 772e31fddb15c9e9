"""Rules: create, modify, delete, describe."""

from typing import Any

from shoal import arn, awsjson
from shoal.rpc import Identity
from shoal.v1 import traffic_pb2 as pb

from shoal_scheduler.api.fields import existing_cluster, refuse, required, tags_of
from shoal_scheduler.api.pages import page
from shoal_scheduler.api.traffic.messages import rule_message
from shoal_scheduler.api.traffic.validate import rule_problems
from shoal_scheduler.control.traffic import inputs as i
from shoal_scheduler.control.traffic.listener_rules import find
from shoal_scheduler.control_plane import ControlPlane
from shoal_scheduler.model.traffic import HTTP, HTTPS, TLS, Forward, ListenerRule
from shoal_scheduler.state.overlay import Overlay


async def create(plane: ControlPlane, request: pb.CreateRuleRequest, _caller: Identity) -> pb.CreateRuleResponse:
    cluster = existing_cluster(plane, request)
    document = awsjson.to_document(request)
    refuse(rule_problems(document, create=True), "InvalidParameterException")
    protocol = document.get("protocol", HTTP)
    rule = ListenerRule(
        name=request.name,
        cluster=cluster.name,
        created_at=0,
        protocol=protocol,
        port=document.get("port", 443 if protocol in (HTTPS, TLS) else 80),
        tags=tags_of(request.tags),
        **({"priority": 0} | _fields(document)),
    )
    made = await plane.engine.submit(i.CreateRule(rule))
    assert isinstance(made, ListenerRule)
    return pb.CreateRuleResponse(rules=[rule_message(made)])


def _fields(document: dict[str, Any]) -> dict[str, Any]:
    """Of the record, those that are given. Conditions that are given are all there are."""
    fields: dict[str, Any] = {}
    if "Priority" in document:
        fields["priority"] = document["Priority"]
    if "certificate" in document:
        fields["certificate"] = document["certificate"]
    if "Actions" in document:
        (action,) = document["Actions"]
        tuples = action.get("ForwardConfig", {}).get("TargetGroups") or [action]
        fields["forwards"] = tuple(Forward(arn.short(each["TargetGroupArn"]), each.get("Weight", 1)) for each in tuples)
    if "Conditions" in document:
        said = {each["Field"]: tuple(each["Values"]) for each in document["Conditions"]}
        fields |= {"hosts": said.get("host-header", ()), "paths": said.get("path-pattern", ())}
    return fields


async def modify(plane: ControlPlane, request: pb.ModifyRuleRequest, _caller: Identity) -> pb.ModifyRuleResponse:
    cluster, name = existing_cluster(plane, request), required(request, "rule_arn", "RuleArn")
    document = awsjson.to_document(request)
    refuse(rule_problems(document, create=False), "InvalidParameterException")
    rule = await plane.engine.submit(i.ModifyRule(cluster.name, name, _fields(document)))
    assert isinstance(rule, ListenerRule)
    return pb.ModifyRuleResponse(rules=[rule_message(rule)])


async def delete(plane: ControlPlane, request: pb.DeleteRuleRequest, _caller: Identity) -> pb.DeleteRuleResponse:
    cluster, name = existing_cluster(plane, request), required(request, "rule_arn", "RuleArn")
    await plane.engine.submit(i.DeleteRule(cluster.name, name))
    return pb.DeleteRuleResponse()


async def describe(
    plane: ControlPlane, request: pb.DescribeRulesRequest, _caller: Identity
) -> pb.DescribeRulesResponse:
    """By port and priority."""
    cluster, view = existing_cluster(plane, request), Overlay(plane.tables)
    if request.rule_arns:
        found = [find(view, cluster.name, name) for name in request.rule_arns]
    else:
        found = plane.tables.records.of(ListenerRule, cluster.name)
    keyed = ((f"{each.port:05d}/{each.priority:05d}/{each.name}", each) for each in found)
    rules, token = page(keyed, request)
    now = plane.engine.now()
    return pb.DescribeRulesResponse(
        rules=[rule_message(each, plane.routing.problem(each, now)) for each in rules], next_token=token or None
    )
