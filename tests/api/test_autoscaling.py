"""Autoscaling through the running server: what is put is described in AWS's words; what is wrong leaves nothing."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shoal import arn, awsjson
from shoal.errors import from_rpc
from shoal.v1 import alarms_pb2, alarms_pb2_grpc, autoscaling_pb2_grpc
from shoal.v1 import autoscaling_pb2 as pb
from shoal_scheduler.control.autoscaling.inputs import EvaluateScaling
from shoal_scheduler.control.autoscaling.votes import Datapoint, Readings
from shoal_scheduler.model.service import Service

from tests.api.generated import Words
from tests.api.refusals import INVALID, PARAMETER, refused_with
from tests.fakes.scheduler import Scheduler
from tests.fakes.web_service import make_web_service

MODEL = {
    line.split()[0]: set(line.split()[1:])
    for line in (Path(__file__).parents[1] / "fixtures" / "autoscaling_model.txt").read_text().splitlines()
    if not line.startswith("#")
}
CALLED = {"Alarm": "ScalingAlarm", "TargetTrackingMetricDimension": "Dimension", "MetricDimension": "Dimension"}

# Predictive scaling, which is refused by the type of a policy.
LEFT_OUT = {"PredictiveScalingPolicyConfiguration", "PredictedCapacity", "Details"}

WEB = "service/default/web"
KIND = {"ServiceNamespace": "ecs", "ScalableDimension": "ecs:service:DesiredCount", "ResourceId": WEB}
TARGET = {**KIND, "MinCapacity": 1, "MaxCapacity": 10}
CPU = {
    **KIND,
    "PolicyName": "cpu",
    "PolicyType": "TargetTrackingScaling",
    "TargetTrackingScalingPolicyConfiguration": {
        "TargetValue": 50.0,
        "PredefinedMetricSpecification": {"PredefinedMetricType": "ECSServiceAverageCPUUtilization"},
        "ScaleOutCooldown": 60,
        "ScaleInCooldown": 120,
        "DisableScaleIn": False,
    },
}
BACKLOG = {
    "TargetValue": 100.0,
    "CustomizedMetricSpecification": {
        "Metrics": [
            {
                "Id": "m1",
                "MetricStat": {"Metric": {"Namespace": "Queue", "MetricName": "Messages"}, "Stat": "Average"},
                "ReturnData": False,
            },
            {
                "Id": "m2",
                "MetricStat": {
                    "Metric": {
                        "Namespace": "ECS/ContainerInsights",
                        "MetricName": "RunningTaskCount",
                        "Dimensions": [
                            {"Name": "ClusterName", "Value": "default"},
                            {"Name": "ServiceName", "Value": "web"},
                        ],
                    },
                    "Stat": "Average",
                },
                "ReturnData": False,
            },
            {"Id": "each", "Expression": "m1 / MAX([m2, 1])", "Label": "backlog", "ReturnData": True},
        ]
    },
}
PUSHED = {
    "TargetValue": 5.0,
    "CustomizedMetricSpecification": {
        "Namespace": "Mine",
        "MetricName": "Waiting",
        "Dimensions": [{"Name": "Queue", "Value": "a"}],
        "Statistic": "Average",
    },
}
REQUESTS = {
    "TargetValue": 600.0,
    "PredefinedMetricSpecification": {"PredefinedMetricType": "ALBRequestCountPerTarget", "ResourceLabel": "web"},
}
PROMETHEUS = {
    "TargetValue": 5.0,
    "prometheusMetricSpecification": {"address": "https://prometheus.example.org", "query": "sum(up)"},
    "periodSeconds": 30,
}
STEPS = {
    **KIND,
    "PolicyName": "steps",
    "PolicyType": "StepScaling",
    "StepScalingPolicyConfiguration": {
        "AdjustmentType": "PercentChangeInCapacity",
        "StepAdjustments": [
            {"MetricIntervalLowerBound": 0.0, "MetricIntervalUpperBound": 10.0, "ScalingAdjustment": 20},
            {"MetricIntervalLowerBound": 10.0, "ScalingAdjustment": 50},
        ],
        "MinAdjustmentMagnitude": 2,
        "Cooldown": 60,
        "MetricAggregationType": "Maximum",
    },
}
MORNING = {
    **KIND,
    "ScheduledActionName": "morning",
    "Schedule": "cron(0 8 ? * MON-FRI *)",
    "Timezone": "Europe/Vienna",
    "ScalableTargetAction": {"MinCapacity": 4, "MaxCapacity": 20},
}


def make(kind: type[Any], document: Any) -> Any:
    message, unknown = awsjson.to_message(document, kind)
    assert not unknown
    return message


@pytest.fixture
async def scaling(scheduler: Scheduler) -> AsyncIterator[Any]:
    await make_web_service(scheduler)
    async with scheduler.channel() as channel:
        yield autoscaling_pb2_grpc.AutoscalingStub(channel)


@pytest.fixture
async def target(scaling: Any) -> Any:
    """A scalable target, with what speaks to it."""
    await scaling.RegisterScalableTarget(make(pb.RegisterScalableTargetRequest, TARGET))
    return scaling


def test_the_contract_has_what_the_published_model_has() -> None:
    known: dict[str, Descriptor] = dict(pb.DESCRIPTOR.message_types_by_name)
    for name, members in MODEL.items():
        if (called := CALLED.get(name, name)) == "Dimension":
            continue
        ours = {field.json_name for field in known[called].fields}
        assert members - LEFT_OUT <= ours, name
        assert all(field.number >= 740 for field in known[called].fields if field.json_name not in members), name


async def test_a_target_is_described_and_changed(target: Any) -> None:
    request = {**KIND, "MaxCapacity": 12, "SuspendedState": {"DynamicScalingInSuspended": True}, "Tags": {"a": "b"}}
    answer = await target.RegisterScalableTarget(make(pb.RegisterScalableTargetRequest, request))
    (found,) = (await target.DescribeScalableTargets(pb.DescribeScalableTargetsRequest())).scalable_targets
    described = awsjson.to_document(found)
    assert {**described, **TARGET, "MaxCapacity": 12} == described
    assert described["SuspendedState"]["DynamicScalingInSuspended"] is True
    assert described["SuspendedState"]["ScheduledScalingSuspended"] is False
    assert described["tags"] == {"a": "b"}
    assert answer.scalable_target_arn == found.scalable_target_arn


@pytest.mark.parametrize("configuration", [BACKLOG, PUSHED, REQUESTS, PROMETHEUS], ids=lambda each: str(each)[:60])
async def test_a_tracking_policy_is_described_as_it_was_put(target: Any, configuration: Any) -> None:
    document = {**CPU, "TargetTrackingScalingPolicyConfiguration": configuration}
    await target.PutScalingPolicy(make(pb.PutScalingPolicyRequest, document))
    (found,) = (await target.DescribeScalingPolicies(pb.DescribeScalingPoliciesRequest())).scaling_policies
    described = awsjson.to_document(found)["TargetTrackingScalingPolicyConfiguration"]
    assert {**described, **configuration} == described
    assert (described["ScaleOutCooldown"], described["ScaleInCooldown"]) == (300, 300)


async def test_policies_of_both_types(target: Any) -> None:
    for document in (CPU, STEPS):
        await target.PutScalingPolicy(make(pb.PutScalingPolicyRequest, document))
    answer = await target.DescribeScalingPolicies(make(pb.DescribeScalingPoliciesRequest, KIND))
    described = [awsjson.to_document(each) for each in answer.scaling_policies]
    assert [{**each, **put} for each, put in zip(described, (CPU, STEPS), strict=True)] == described
    named = pb.DescribeScalingPoliciesRequest(policy_names=["steps"])
    assert len((await target.DescribeScalingPolicies(named)).scaling_policies) == 1
    await target.DeleteScalingPolicy(make(pb.DeleteScalingPolicyRequest, {**KIND, "PolicyName": "cpu"}))
    left = await target.DescribeScalingPolicies(pb.DescribeScalingPoliciesRequest())
    assert [each.policy_name for each in left.scaling_policies] == ["steps"]


async def test_an_alarm_names_a_step_policy_by_its_arn(scheduler: Scheduler, target: Any) -> None:
    answer = await target.PutScalingPolicy(make(pb.PutScalingPolicyRequest, STEPS))
    assert not answer.alarms
    alarms = alarms_pb2_grpc.AlarmsStub(scheduler.channel())
    await alarms.PutMetricAlarm(_alarm([answer.policy_arn, "https://example.org/hook"]))
    (found,) = (await target.DescribeScalingPolicies(pb.DescribeScalingPoliciesRequest())).scaling_policies
    assert [each.alarm_name for each in found.alarms] == ["busy"]
    state = alarms_pb2.SetAlarmStateRequest(alarm_name="busy", state_value="ALARM", state_reason="a try")
    await alarms.SetAlarmState(state)
    (alarm,) = (await alarms.DescribeAlarms(alarms_pb2.DescribeAlarmsRequest())).metric_alarms
    assert list(alarm.undelivered) == ["https://example.org/hook"], "a policy is not told by POST"


def _alarm(actions: list[str]) -> alarms_pb2.PutMetricAlarmRequest:
    return alarms_pb2.PutMetricAlarmRequest(
        alarm_name="busy",
        namespace="AWS/ECS",
        metric_name="CPUUtilization",
        statistic="Average",
        period=60,
        evaluation_periods=1,
        threshold=60,
        comparison_operator="GreaterThanThreshold",
        alarm_actions=actions,
    )


async def test_an_alarm_that_names_no_policy_is_refused(scheduler: Scheduler, target: Any) -> None:
    await target.PutScalingPolicy(make(pb.PutScalingPolicyRequest, CPU))
    alarms = alarms_pb2_grpc.AlarmsStub(scheduler.channel())
    for name in ("nobody", "cpu"):
        policy = arn.scaling_policy_arn("default", "web", name)
        await refused_with(alarms.PutMetricAlarm(_alarm([policy])), INVALID, PARAMETER, "AlarmActions[0]")


async def test_scheduled_actions(target: Any) -> None:
    await target.PutScheduledAction(make(pb.PutScheduledActionRequest, MORNING))
    (found,) = (await target.DescribeScheduledActions(pb.DescribeScheduledActionsRequest())).scheduled_actions
    described = awsjson.to_document(found)
    assert {**described, **MORNING} == described
    assert described["nextTime"] > described["CreationTime"]
    request = {**KIND, "ScheduledActionName": "morning"}
    await target.DeleteScheduledAction(make(pb.DeleteScheduledActionRequest, request))
    assert not (await target.DescribeScheduledActions(pb.DescribeScheduledActionsRequest())).scheduled_actions


async def test_activities_the_newest_first(scheduler: Scheduler, target: Any) -> None:
    await target.PutScalingPolicy(make(pb.PutScalingPolicyRequest, CPU))
    for value in (75.0, 300.0, 300.0):
        service = scheduler.plane.tables.records.get(Service, "default", "web")
        assert service is not None
        readings = Readings({"cpu": (Datapoint(value, service.desired_count),) * 2})
        await scheduler.plane.engine.submit(EvaluateScaling("default", "web", readings))
    request = pb.DescribeScalingActivitiesRequest(resource_id=WEB)
    answer = await target.DescribeScalingActivities(request)
    assert [each.description for each in answer.scaling_activities] == [
        "Setting desired count to 10.",
        "Setting desired count to 3.",
    ]
    assert {each.status_code for each in answer.scaling_activities} == {"Successful"}
    request.include_not_scaled_activities = True
    answer = await target.DescribeScalingActivities(request)
    (reason,) = answer.scaling_activities[0].not_scaled_reasons
    assert (reason.code, reason.max_capacity, reason.current_capacity) == ("AlreadyAtMaxCapacity", 10, 10)


def _tracking(**more: Any) -> tuple[type[Message], dict[str, Any]]:
    configuration = {**CPU["TargetTrackingScalingPolicyConfiguration"], **more}  # type: ignore[dict-item]
    return pb.PutScalingPolicyRequest, {**CPU, "TargetTrackingScalingPolicyConfiguration": configuration}


def _customized(*metrics: Any) -> tuple[type[Message], dict[str, Any]]:
    specification = {"TargetValue": 1.0, "CustomizedMetricSpecification": {"Metrics": list(metrics)}}
    return pb.PutScalingPolicyRequest, {**CPU, "TargetTrackingScalingPolicyConfiguration": specification}


def _stepping(*steps: Any, **more: Any) -> tuple[type[Message], dict[str, Any]]:
    configuration = {"AdjustmentType": "ChangeInCapacity", "StepAdjustments": list(steps), **more}
    return pb.PutScalingPolicyRequest, {**STEPS, "StepScalingPolicyConfiguration": configuration}


TRACK, STEP = "TargetTrackingScalingPolicyConfiguration", "StepScalingPolicyConfiguration"
METRICS = f"{TRACK}.CustomizedMetricSpecification.Metrics"
ONE = {"ScalingAdjustment": 1}
BAD: list[tuple[tuple[type[Message], dict[str, Any]], str]] = [
    ((pb.RegisterScalableTargetRequest, {**TARGET, "ServiceNamespace": "ec2"}), "ServiceNamespace"),
    ((pb.RegisterScalableTargetRequest, {**TARGET, "ScalableDimension": "ecs:service:Size"}), "ScalableDimension"),
    ((pb.RegisterScalableTargetRequest, {**TARGET, "ResourceId": "web"}), "ResourceId"),
    ((pb.RegisterScalableTargetRequest, {**TARGET, "ResourceId": ""}), "ResourceId"),
    ((pb.RegisterScalableTargetRequest, {**TARGET, "ResourceId": "service/default/nobody"}), "ResourceId"),
    ((pb.RegisterScalableTargetRequest, {**TARGET, "MinCapacity": -1}), "MinCapacity"),
    ((pb.RegisterScalableTargetRequest, {**TARGET, "MaxCapacity": 10_001}), "MaxCapacity"),
    ((pb.RegisterScalableTargetRequest, {**TARGET, "MinCapacity": 11}), "MaxCapacity"),
    ((pb.PutScalingPolicyRequest, {**CPU, "PolicyName": ""}), "PolicyName"),
    ((pb.PutScalingPolicyRequest, {**CPU, "PolicyType": "Guessing"}), "PolicyType"),
    ((pb.PutScalingPolicyRequest, {**CPU, "PolicyType": "StepScaling"}), STEP),
    ((pb.PutScalingPolicyRequest, {**CPU, STEP: {}}), STEP),
    (_tracking(TargetValue=0), f"{TRACK}.TargetValue"),
    (_tracking(PredefinedMetricSpecification={"PredefinedMetricType": "x"}),
     f"{TRACK}.PredefinedMetricSpecification.PredefinedMetricType"),
    (_tracking(CustomizedMetricSpecification={}), TRACK),
    (_tracking(ScaleOutCooldown=-1), f"{TRACK}.ScaleOutCooldown"),
    (_tracking(ScaleInCooldown=86_401), f"{TRACK}.ScaleInCooldown"),
    (_tracking(periodSeconds=7), f"{TRACK}.periodSeconds"),
    (_customized({"Id": "M1", "Expression": "1"}), f"{METRICS}[0].Id"),
    (_customized({"Id": "m1", "Expression": "1 +"}), f"{METRICS}[0].Expression"),
    (_customized({"Id": "m1", "Expression": "FILL(m1, 0)"}), f"{METRICS}[0].Expression"),
    (_customized({"Id": "m1", "Expression": "m2"}), f"{METRICS}[0].Expression"),
    (_customized({"Id": "m1"}), f"{METRICS}[0]"),
    (_customized({"Id": "m1", "Expression": "1"}, {"Id": "m1", "Expression": "1"}), f"{METRICS}[1].Id"),
    (_customized({"Id": "m1", "Expression": "1"}, {"Id": "m2", "Expression": "1"}), METRICS),
    (_customized({"Id": "m1", "MetricStat": {"Metric": {"MetricName": "x"}, "Stat": "Sum"}}),
     f"{METRICS}[0].MetricStat.Metric.Namespace"),
    (_customized({"Id": "m1", "MetricStat": {"Metric": {"Namespace": "n", "MetricName": "x"}, "Stat": "p99"}}),
     f"{METRICS}[0].MetricStat.Stat"),
    (_stepping(), f"{STEP}.StepAdjustments"),
    (_stepping({}), f"{STEP}.StepAdjustments[0].ScalingAdjustment"),
    (_stepping(ONE, AdjustmentType="Some"), f"{STEP}.AdjustmentType"),
    (_stepping(ONE, Cooldown=-1), f"{STEP}.Cooldown"),
    (_stepping(ONE, MinAdjustmentMagnitude=1), f"{STEP}.MinAdjustmentMagnitude"),
    (_stepping(ONE, MetricAggregationType="Sum"), f"{STEP}.MetricAggregationType"),
    (_stepping(ONE, ONE), f"{STEP}.StepAdjustments"),
    (_stepping({**ONE, "MetricIntervalLowerBound": 5, "MetricIntervalUpperBound": 5}),
     f"{STEP}.StepAdjustments[0].MetricIntervalUpperBound"),
    (_stepping({**ONE, "MetricIntervalLowerBound": 0, "MetricIntervalUpperBound": 5}), f"{STEP}.StepAdjustments"),
    (_stepping({**ONE, "MetricIntervalLowerBound": -5}), f"{STEP}.StepAdjustments"),
    (_stepping({**ONE, "MetricIntervalUpperBound": 5}, {**ONE, "MetricIntervalLowerBound": 6}),
     f"{STEP}.StepAdjustments"),
    (_stepping({"ScalingAdjustment": -1}, AdjustmentType="ExactCapacity"),
     f"{STEP}.StepAdjustments[0].ScalingAdjustment"),
    ((pb.PutScheduledActionRequest, {**MORNING, "Schedule": "daily"}), "Schedule"),
    ((pb.PutScheduledActionRequest, {**MORNING, "Schedule": ""}), "Schedule"),
    ((pb.PutScheduledActionRequest, {**MORNING, "Schedule": "at(2020-01-01T00:00:00)"}), "Schedule"),
    ((pb.PutScheduledActionRequest, {**MORNING, "Timezone": "Mars/Olympus"}), "Timezone"),
    ((pb.PutScheduledActionRequest, {**MORNING, "ScheduledActionName": "a/b"}), "ScheduledActionName"),
    ((pb.PutScheduledActionRequest, {**MORNING, "ScalableTargetAction": {}}), "ScalableTargetAction"),
    ((pb.PutScheduledActionRequest, {**MORNING, "ScalableTargetAction": {"MinCapacity": -1}}),
     "ScalableTargetAction.MinCapacity"),
    ((pb.PutScheduledActionRequest, {**MORNING, "StartTime": 4e9, "EndTime": 3e9}), "EndTime"),
]  # fmt: skip


@pytest.mark.parametrize(("request_", "field"), BAD, ids=[f"{number}-{field}" for number, (_, field) in enumerate(BAD)])
async def test_what_is_wrong_is_refused_with_its_field(
    scheduler: Scheduler, target: Any, request_: tuple[type[Message], dict[str, Any]], field: str
) -> None:
    before = scheduler.stored()
    kind, document = request_
    method = getattr(target, kind.DESCRIPTOR.name.removesuffix("Request"))
    await refused_with(method(make(kind, document)), INVALID, PARAMETER, field)
    assert scheduler.stored() == before


async def test_what_has_no_effect_is_told(target: Any) -> None:
    answer = await target.RegisterScalableTarget(make(pb.RegisterScalableTargetRequest, {**TARGET, "RoleARN": "arn:x"}))
    assert [warning.field for warning in answer.warnings] == ["RoleARN"]
    specification = {**PUSHED["CustomizedMetricSpecification"], "Unit": "Count"}  # type: ignore[dict-item]
    configuration = {**PUSHED, "CustomizedMetricSpecification": specification}
    document = {**CPU, "TargetTrackingScalingPolicyConfiguration": configuration}
    answer = await target.PutScalingPolicy(make(pb.PutScalingPolicyRequest, document))
    assert [warning.field for warning in answer.warnings] == [f"{TRACK}.CustomizedMetricSpecification.Unit"]


async def test_predictive_scaling_is_not_there_yet(target: Any) -> None:
    request = make(pb.PutScalingPolicyRequest, {**CPU, "PolicyType": "PredictiveScaling"})
    with pytest.raises(grpc.aio.AioRpcError, match="PredictiveScaling is not there yet"):
        await target.PutScalingPolicy(request)


WORDS = Words(
    {
        "resource_id": (WEB, "service/default/x", "service/a/b/c"),
        "resource_ids": (WEB,),
        "service_namespace": ("", "ecs"),
        "scalable_dimension": ("", "ecs:service:DesiredCount"),
        "policy_type": ("StepScaling", "TargetTrackingScaling"),
        "schedule": ("rate(5 minutes)", "cron(0 8 * * ? *)", "at(2030-01-01T00:00:00)", "cron(* * ? * 2#6 *)"),
        "timezone": ("Europe/Vienna", ""),
        "expression": ("m1", "m1 / m2", "IF(m1, m2)"),
    }
)
METHODS = list(pb.DESCRIPTOR.services_by_name["Autoscaling"].methods)
CALLS = st.sampled_from(METHODS).flatmap(
    lambda method: st.tuples(st.just(method.name), WORDS.messages(method.input_type))
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(CALLS, min_size=1, max_size=4))
async def test_operators_may_say_anything(target: Any, calls: list[tuple[str, Message]]) -> None:
    for method, request in calls:
        try:
            await getattr(target, method)(request)
        except grpc.aio.AioRpcError as error:
            assert error.code().name not in ("INTERNAL", "UNKNOWN"), (method, request, from_rpc(error))
