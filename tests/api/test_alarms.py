"""Alarms through the running server: made, described, changed by hand, seen as events; bad ones leave nothing."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from shoal import awsjson
from shoal.v1 import alarms_pb2 as pb
from shoal.v1 import alarms_pb2_grpc, event_pb2

from tests.api.refusals import INVALID, PARAMETER, refused_with
from tests.fakes.scheduler import Scheduler

DOCUMENT: dict[str, Any] = {
    "AlarmName": "busy",
    "Namespace": "AWS/ECS",
    "MetricName": "CPUUtilization",
    "Dimensions": [{"Name": "ClusterName", "Value": "default"}],
    "Statistic": "Average",
    "Period": 60,
    "EvaluationPeriods": 3,
    "Threshold": 80,
    "ComparisonOperator": "GreaterThanThreshold",
    "AlarmActions": ["https://example.org/hook"],
}


@pytest.fixture
async def alarms(scheduler: Scheduler) -> AsyncIterator[Any]:
    async with scheduler.channel() as channel:
        yield alarms_pb2_grpc.AlarmsStub(channel)


def request(**more: Any) -> pb.PutMetricAlarmRequest:
    message, unknown = awsjson.to_message({**DOCUMENT, **more}, pb.PutMetricAlarmRequest)
    assert not unknown
    return message


async def test_what_was_put_is_described_in_cloudwatchs_words(alarms: Any) -> None:
    await alarms.PutMetricAlarm(request())
    (found,) = (await alarms.DescribeAlarms(pb.DescribeAlarmsRequest())).metric_alarms
    described = awsjson.to_document(found)
    assert {**described, **DOCUMENT} == described
    assert (described["StateValue"], described["DatapointsToAlarm"]) == ("INSUFFICIENT_DATA", 3)
    assert described["ActionsEnabled"] is True and described["AlarmArn"].endswith(":alarm:busy")


async def test_a_state_set_by_hand_is_an_event_and_history(scheduler: Scheduler, alarms: Any) -> None:
    await alarms.PutMetricAlarm(request(AlarmActions=[]))
    await alarms.SetAlarmState(pb.SetAlarmStateRequest(alarm_name="busy", state_value="ALARM", state_reason="a try"))
    events = (await scheduler.cluster.ListEvents(event_pb2.ListEventsRequest())).events
    (event,) = [each for each in events if each.WhichOneof("detail") == "alarm"]
    assert (event.detail_type, event.alarm.state_value) == ("CloudWatch Alarm State Change", "ALARM")
    assert "busy ALARM: a try" in event.message
    items = (await alarms.DescribeAlarmHistory(pb.DescribeAlarmHistoryRequest())).alarm_history_items
    assert [(each.old_state_value, each.new_state_value) for each in items] == [("INSUFFICIENT_DATA", "ALARM")]


async def test_filters_and_deletion(alarms: Any) -> None:
    for name in ("web-a", "web-b", "db"):
        await alarms.PutMetricAlarm(request(AlarmName=name))

    async def names(**how: Any) -> list[str]:
        answer = await alarms.DescribeAlarms(pb.DescribeAlarmsRequest(**how))
        return [each.alarm_name for each in answer.metric_alarms]

    assert await names() == ["db", "web-a", "web-b"]
    assert await names(alarm_name_prefix="web") == ["web-a", "web-b"]
    assert await names(alarm_names=["db", "nobody"]) == ["db"]
    assert await names(state_value="ALARM") == []
    await alarms.DisableAlarmActions(pb.DisableAlarmActionsRequest(alarm_names=["db"]))
    (db,) = (await alarms.DescribeAlarms(pb.DescribeAlarmsRequest(alarm_names=["db"]))).metric_alarms
    assert not db.actions_enabled
    await alarms.EnableAlarmActions(pb.EnableAlarmActionsRequest(alarm_names=["db"]))
    await alarms.DeleteAlarms(pb.DeleteAlarmsRequest(alarm_names=["db", "web-b"]))
    assert await names() == ["web-a"]


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"AlarmName": ""}, "AlarmName"),
        ({"AlarmName": "a\nb"}, "AlarmName"),
        ({"AlarmName": "x" * 256}, "AlarmName"),
        ({"Namespace": ""}, "Namespace"),
        ({"MetricName": ""}, "MetricName"),
        ({"Statistic": "Median"}, "Statistic"),
        ({"Period": 0}, "Period"),
        ({"Period": 61}, "Period"),
        ({"Period": -60}, "Period"),
        ({"EvaluationPeriods": 0}, "EvaluationPeriods"),
        ({"EvaluationPeriods": 1441}, "EvaluationPeriods"),
        ({"DatapointsToAlarm": 4}, "DatapointsToAlarm"),
        ({"DatapointsToAlarm": 0}, "DatapointsToAlarm"),
        ({"ComparisonOperator": "=="}, "ComparisonOperator"),
        ({"TreatMissingData": "zero"}, "TreatMissingData"),
        ({"AlarmActions": ["arn:aws:sns:x"]}, "AlarmActions[0]"),
        ({"OKActions": ["https://e.org"] * 6}, "OKActions"),
        ({"AlarmDescription": "x" * 1025}, "AlarmDescription"),
        ({"Dimensions": [{"Name": "A", "Value": ""}]}, "Dimensions[0].Value"),
    ],
)
async def test_bad_alarms(scheduler: Scheduler, alarms: Any, wrong: dict[str, Any], field: str) -> None:
    before = scheduler.stored()
    await refused_with(alarms.PutMetricAlarm(request(**wrong)), INVALID, PARAMETER, field)
    assert scheduler.stored() == before


@pytest.mark.parametrize("threshold", [float("nan"), float("inf"), None])
async def test_bad_thresholds(alarms: Any, threshold: float | None) -> None:
    message = request()
    message.ClearField("threshold")
    if threshold is not None:
        message.threshold = threshold
    await refused_with(alarms.PutMetricAlarm(message), INVALID, PARAMETER, "Threshold")


async def test_what_is_not_there(alarms: Any) -> None:
    unknown = pb.SetAlarmStateRequest(alarm_name="nobody", state_value="OK", state_reason="x")
    await refused_with(alarms.SetAlarmState(unknown), grpc.StatusCode.NOT_FOUND, "ResourceNotFound")
    history = alarms.DescribeAlarmHistory(pb.DescribeAlarmHistoryRequest(alarm_name="nobody"))
    await refused_with(history, grpc.StatusCode.NOT_FOUND, "ResourceNotFound")
    bad = pb.SetAlarmStateRequest(alarm_name="nobody", state_value="FINE", state_reason="x")
    await refused_with(alarms.SetAlarmState(bad), INVALID, PARAMETER, "StateValue")
    await refused_with(alarms.DeleteAlarms(pb.DeleteAlarmsRequest()), INVALID, PARAMETER, "AlarmNames")
