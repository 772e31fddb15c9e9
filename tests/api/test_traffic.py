"""Target groups, rules, and what the ingress is told, over the scheduler's real server."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from shoal import awsjson
from shoal.v1 import metrics_pb2, metrics_pb2_grpc, resource_pb2, traffic_pb2_grpc
from shoal.v1 import traffic_pb2 as pb

from tests.api.refusals import INVALID, PARAMETER, refused_with
from tests.fakes.scheduler import Scheduler

ARN = "arn:shoal:ecs:local:000000000000:targetgroup/default/web"
PRECONDITION, CONFLICT = grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.ALREADY_EXISTS


@pytest.fixture
def traffic(scheduler: Scheduler) -> Any:
    return traffic_pb2_grpc.TrafficStub(scheduler.channel())


@pytest.fixture
def ingress(scheduler: Scheduler) -> Any:
    return traffic_pb2_grpc.IngressStub(scheduler.channel("ingress", "one"))


def group(**document: Any) -> pb.CreateTargetGroupRequest:
    message, unknown = awsjson.to_message({"Name": "web", **document}, pb.CreateTargetGroupRequest)
    assert not unknown
    return message


def rule(**document: Any) -> pb.CreateRuleRequest:
    known = {"name": "web", "port": 8080, "Actions": [{"Type": "forward", "TargetGroupArn": "web"}]}
    message, unknown = awsjson.to_message({**known, **document}, pb.CreateRuleRequest)
    assert not unknown
    return message


async def watching(ingress: Any) -> AsyncIterator[pb.WatchRoutesResponse]:
    call = ingress.WatchRoutes(pb.WatchRoutesRequest())
    try:
        async for routes in call:
            yield routes
    finally:
        call.cancel()


async def test_what_is_not_said_of_a_target_group_is_as_it_is_written_down(traffic: Any) -> None:
    (made,) = (await traffic.CreateTargetGroup(group())).target_groups
    document = awsjson.to_document(made)
    assert document.pop("createdAt") > 0
    assert document == {
        "TargetGroupArn": ARN,
        "TargetGroupName": "web",
        "Protocol": "HTTP",
        "ProtocolVersion": "HTTP1",
        "HealthCheckProtocol": "HTTP",
        "HealthCheckPort": "traffic-port",
        "HealthCheckPath": "/",
        "HealthCheckIntervalSeconds": 5,
        "HealthCheckTimeoutSeconds": 2,
        "HealthyThresholdCount": 2,
        "UnhealthyThresholdCount": 2,
        "Matcher": {"HttpCode": "200"},
        "cluster": "default",
        "deregistrationDelaySeconds": 10,
        "stickiness": {"Enabled": False, "DurationSeconds": 86400},
    }
    (described,) = (await traffic.DescribeTargetGroups(pb.DescribeTargetGroupsRequest(names=["web"]))).target_groups
    assert described == made
    assert (await traffic.CreateTargetGroup(group())).target_groups[0] == made  # the same again


async def test_what_is_modified_is_changed_and_the_rest_stays(traffic: Any) -> None:
    await traffic.CreateTargetGroup(group(HealthCheckPath="/up", Matcher={"HttpCode": "200-299"}))
    change = pb.ModifyTargetGroupRequest(
        target_group_arn=ARN, health_check_interval_seconds=30, deregistration_delay_seconds=0
    )
    (changed,) = (await traffic.ModifyTargetGroup(change)).target_groups
    assert (changed.health_check_interval_seconds, changed.deregistration_delay_seconds) == (30, 0)
    assert (changed.health_check_path, changed.matcher.http_code) == ("/up", "200-299")


async def test_a_group_of_grpc_is_checked_by_the_standard_health_service(traffic: Any) -> None:
    (made,) = (await traffic.CreateTargetGroup(group(ProtocolVersion="GRPC"))).target_groups
    assert (made.health_check_path, made.matcher.grpc_code) == ("/grpc.health.v1.Health/Check", "0")


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({"Name": "-web"}, "Name"),
        ({"Name": "a" * 33}, "Name"),
        ({"Protocol": "UDP"}, "Protocol"),
        ({"Protocol": "TCP", "ProtocolVersion": "GRPC"}, "ProtocolVersion"),
        ({"HealthCheckPath": "up"}, "HealthCheckPath"),
        ({"HealthCheckPath": "/up\nHost: other"}, "HealthCheckPath"),
        ({"HealthCheckPort": "70000"}, "HealthCheckPort"),
        ({"HealthCheckIntervalSeconds": 0}, "HealthCheckIntervalSeconds"),
        ({"Matcher": {"HttpCode": "2xx"}}, "Matcher.HttpCode"),
        ({"stickiness": {"CookieName": "a;b"}}, "stickiness.CookieName"),
        ({"Protocol": "TCP", "stickiness": {"Enabled": True}}, "stickiness"),
        ({"deregistrationDelaySeconds": 4000}, "deregistrationDelaySeconds"),
    ],
)
async def test_a_bad_target_group_is_refused(
    scheduler: Scheduler, traffic: Any, document: dict[str, Any], field: str
) -> None:
    before = scheduler.stored()
    await refused_with(traffic.CreateTargetGroup(group(**document)), INVALID, PARAMETER, field)
    assert scheduler.stored() == before


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({"name": "a.b"}, "name"),
        ({"port": 0}, "port"),
        ({"protocol": "TCP", "port": None}, "port"),
        ({"Priority": 0}, "Priority"),
        ({"Actions": []}, "Actions"),
        ({"Actions": [{"Type": "redirect", "TargetGroupArn": "web"}]}, "Actions[0].Type"),
        ({"Actions": [{"Type": "forward"}]}, "Actions[0]"),
        ({"Conditions": [{"Field": "http-header", "Values": ["a"]}]}, "Conditions[0].Field"),
        ({"Conditions": [{"Field": "host-header", "Values": ["a`) || Host(`b"]}]}, "Conditions[0].Values[0]"),
        ({"Conditions": [{"Field": "path-pattern", "Values": ["api"]}]}, "Conditions[0].Values[0]"),
        ({"certificate": "../key"}, "certificate"),
        ({"certificate": "web"}, "certificate"),
        ({"protocol": "HTTPS"}, "certificate"),
        ({"protocol": "TCP"}, "Actions[0].ForwardConfig.TargetGroups[0].TargetGroupArn"),
    ],
)
async def test_a_bad_rule_is_refused(scheduler: Scheduler, traffic: Any, document: dict[str, Any], field: str) -> None:
    await traffic.CreateTargetGroup(group())
    before = scheduler.stored()
    await refused_with(traffic.CreateRule(rule(**document)), INVALID, PARAMETER, field)
    assert scheduler.stored() == before


async def test_rules_of_a_port_agree(traffic: Any) -> None:
    await traffic.CreateTargetGroup(group())
    first = (await traffic.CreateRule(rule(name="one"))).rules[0]
    second = (await traffic.CreateRule(rule(name="two"))).rules[0]
    assert (first.priority, second.priority) == (1, 2)
    await refused_with(traffic.CreateRule(rule(name="three", Priority=2)), CONFLICT, "PriorityInUseException")
    secure = rule(name="three", protocol="HTTPS", certificate="web")
    await refused_with(traffic.CreateRule(secure), INVALID, PARAMETER, "protocol")
    missing = rule(name="four", Actions=[{"TargetGroupArn": "nobody"}])
    await refused_with(traffic.CreateRule(missing), grpc.StatusCode.NOT_FOUND, "TargetGroupNotFoundException")
    listed = (await traffic.DescribeRules(pb.DescribeRulesRequest())).rules
    assert [each.name for each in listed] == ["one", "two"]


async def test_what_a_rule_forwards_to_is_not_deleted(traffic: Any) -> None:
    await traffic.CreateTargetGroup(group())
    await traffic.CreateRule(rule())
    deleting = pb.DeleteTargetGroupRequest(target_group_arn="web")
    await refused_with(traffic.DeleteTargetGroup(deleting), PRECONDITION, "ResourceInUseException")
    await traffic.DeleteRule(pb.DeleteRuleRequest(rule_arn="web"))
    await traffic.DeleteTargetGroup(deleting)
    assert not (await traffic.DescribeTargetGroups(pb.DescribeTargetGroupsRequest())).target_groups


async def test_the_ingress_is_told_all_of_it_whenever_something_changes(traffic: Any, ingress: Any) -> None:
    routes = watching(ingress)
    async with asyncio.timeout(20):
        assert await anext(routes) == pb.WatchRoutesResponse()
        await traffic.CreateTargetGroup(group())
        assert [each.target_group_name for each in (await anext(routes)).target_groups] == ["web"]
        hosts = [{"Field": "host-header", "Values": ["web.example"]}]
        await traffic.CreateRule(rule(Conditions=hosts))
        told = await anext(routes)
        (said,) = told.rules
        (forward,) = said.actions[0].forward_config.target_groups
        assert (said.port, forward.target_group_arn, forward.weight) == (8080, "web", 1)
        assert [(each.field, list(each.values)) for each in said.conditions] == [("host-header", ["web.example"])]
        await traffic.DeleteRule(pb.DeleteRuleRequest(rule_arn="web"))
        assert not (await anext(routes)).rules
    await routes.aclose()  # type: ignore[attr-defined]


async def test_what_keeps_a_rule_from_being_served_is_shown_with_it(traffic: Any, ingress: Any) -> None:
    await traffic.CreateTargetGroup(group())
    await traffic.CreateRule(rule())
    problem = pb.ListenerProblem(rule="web", problem="listen tcp :80: bind: permission denied")
    await ingress.ReportTargets(pb.ReportTargetsRequest(problems=[problem]))
    (said,) = (await traffic.DescribeRules(pb.DescribeRulesRequest())).rules
    assert said.problem == problem.problem
    await ingress.ReportTargets(pb.ReportTargetsRequest())
    (said,) = (await traffic.DescribeRules(pb.DescribeRulesRequest())).rules
    assert not said.HasField("problem")


async def test_requests_become_a_metric_of_the_target_group(scheduler: Scheduler, traffic: Any, ingress: Any) -> None:
    await traffic.CreateTargetGroup(group())
    counts = [pb.RequestCount(target_group="web", requests=7), pb.RequestCount(target_group="nobody", requests=7)]
    await ingress.ReportTargets(pb.ReportTargetsRequest(counts=counts))
    metrics: Any = metrics_pb2_grpc.MetricsStub(scheduler.channel())
    now = scheduler.plane.engine.now()
    asked = metrics_pb2.GetMetricStatisticsRequest(
        namespace="AWS/ApplicationELB",
        metric_name="RequestCount",
        dimensions=[
            metrics_pb2.Dimension(name="TargetGroup", value="web"),
            metrics_pb2.Dimension(name="ClusterName", value="default"),
        ],
        start_time=now - 60_000,
        end_time=now + 10_000,
        period=10,
        statistics=["Sum"],
    )
    (point,) = (await metrics.GetMetricStatistics(asked)).datapoints
    assert (point.sum, point.unit) == (7.0, "Count")
    listed = (await metrics.ListMetrics(metrics_pb2.ListMetricsRequest(namespace="AWS/ApplicationELB"))).metrics
    assert {each.metric_name for each in listed} == {"RequestCount"}  # nobody knows how many each of no targets had


async def test_a_bad_report_is_refused(ingress: Any) -> None:
    bad = pb.TargetReport(target_group="web", task_id="x", health=pb.TargetHealth(state="healthy"))
    call = ingress.ReportTargets(pb.ReportTargetsRequest(targets=[bad]))
    await refused_with(call, INVALID, PARAMETER, "targets[0].taskId")
    bad = pb.TargetReport(target_group="web", task_id="0" * 32, health=pb.TargetHealth(state="fine"))
    call = ingress.ReportTargets(pb.ReportTargetsRequest(targets=[bad]))
    await refused_with(call, INVALID, PARAMETER, "targets[0].health.State")


async def test_names_that_nobody_has_are_not_found(traffic: Any) -> None:
    for namespace, reason in (("", "ServiceNotFound"), ("other.shoal.internal", "NamespaceNotFound")):
        asked = pb.DiscoverInstancesRequest(service_name="web", namespace_name=namespace)
        error = await refused_with(traffic.DiscoverInstances(asked), grpc.StatusCode.NOT_FOUND, reason)
        assert "shoal.internal" in error.message


async def test_groups_and_rules_have_tags(scheduler: Scheduler, traffic: Any) -> None:
    tags = [{"key": "team", "value": "blue"}]
    made = (await traffic.CreateTargetGroup(group(Tags=tags))).target_groups[0]
    said = (await traffic.CreateRule(rule())).rules[0]
    for name in (made.target_group_arn, said.rule_arn):
        tag = resource_pb2.Tag(key="cost", value="7")
        await scheduler.cluster.TagResource(resource_pb2.TagResourceRequest(resource_arn=name, tags=[tag]))
    described = (await traffic.DescribeTargetGroups(pb.DescribeTargetGroupsRequest())).target_groups[0]
    assert {each.key: each.value for each in described.tags} == {"team": "blue", "cost": "7"}
    described = (await traffic.DescribeRules(pb.DescribeRulesRequest())).rules[0]
    assert {each.key: each.value for each in described.tags} == {"cost": "7"}
