"""Alarms on metrics, in the words of CloudWatch."""

import math
import re
from collections.abc import Container, Iterable
from typing import Any

from shoal import arn
from shoal.problems import quoted
from shoal.rpc import Identity
from shoal.v1 import alarms_pb2 as pb

from shoal_scheduler.api.alarm_convert import alarm_message
from shoal_scheduler.api.fields import bounded, required
from shoal_scheduler.api.metrics import metric_of
from shoal_scheduler.api.pages import page
from shoal_scheduler.control import alarm_inputs as i
from shoal_scheduler.control.alarms import COMPARISONS, MISSING
from shoal_scheduler.control_plane import ControlPlane
from shoal_scheduler.metrics.statistics import STATISTICS
from shoal_scheduler.model.alarm import ALARM, INSUFFICIENT_DATA, OK, STATES, Alarm
from shoal_scheduler.model.refusal import Refused, invalid_field
from shoal_scheduler.model.scaling import ScalingPolicy
from shoal_scheduler.webhooks import check

# CloudWatch's limits.
ACTIONS_MAX = 5
NAMES_MAX = 100
DESCRIPTION_MAX, REASON_MAX = 1024, 1023
PERIODS_SECONDS_MAX = 86_400
_NAME = re.compile(r"[!-~]([ -~]{0,253}[!-~])?")


async def put(plane: ControlPlane, request: pb.PutMetricAlarmRequest, _caller: Identity) -> pb.PutMetricAlarmResponse:
    metric = metric_of(request.namespace, request)
    periods, period = request.evaluation_periods, request.period
    if period not in (10, 30) and (period < 60 or period % 60):
        raise invalid_field("Period", f"is {period}: must be 10, 30 or a multiple of 60 seconds.")
    if periods < 1 or periods * period > PERIODS_SECONDS_MAX:
        most = PERIODS_SECONDS_MAX // period
        raise invalid_field("EvaluationPeriods", f"is {periods}: must be 1 to {most}, which are a day of {period} s.")
    datapoints = request.datapoints_to_alarm if request.HasField("datapoints_to_alarm") else periods
    if not 1 <= datapoints <= periods:
        raise invalid_field("DatapointsToAlarm", f"is {datapoints}: must be 1 to EvaluationPeriods, {periods}.")
    if not request.HasField("threshold") or not math.isfinite(request.threshold):
        raise invalid_field("Threshold", "is required, as a finite number.")
    if len(request.alarm_description) > DESCRIPTION_MAX:
        raise invalid_field("AlarmDescription", f"has more than {DESCRIPTION_MAX} characters.")
    alarm = Alarm(
        name=_name(request.alarm_name),
        namespace=metric.namespace,
        metric=metric.name,
        dimensions=metric.dimensions,
        statistic=_one_of("Statistic", request.statistic, STATISTICS),
        period=period,
        evaluation_periods=periods,
        datapoints_to_alarm=datapoints,
        threshold=request.threshold,
        comparison=_one_of("ComparisonOperator", request.comparison_operator, COMPARISONS),
        missing=_one_of("TreatMissingData", request.treat_missing_data or MISSING[0], MISSING),
        description=request.alarm_description,
        actions_enabled=request.actions_enabled if request.HasField("actions_enabled") else True,
        actions={
            OK: _actions("OKActions", request.ok_actions),
            ALARM: _actions("AlarmActions", request.alarm_actions, _policy_arns(plane)),
            INSUFFICIENT_DATA: _actions("InsufficientDataActions", request.insufficient_data_actions),
        },
    )
    await plane.engine.submit(i.PutAlarm(alarm))
    return pb.PutMetricAlarmResponse()


def _name(name: str) -> str:
    if not name:
        raise invalid_field("AlarmName", "is required.")
    if not _NAME.fullmatch(name):
        raise invalid_field("AlarmName", f"{quoted(name[:300])} is not 1 to 255 ASCII characters, no space at an end.")
    return name


def _one_of(field: str, value: str, names: Iterable[str]) -> str:
    if value not in names:
        said = f"{quoted(value[:100])} is" if value else "is required:"
        raise invalid_field(field, f"{said} {'none' if value else 'one'} of {', '.join(names)}.")
    return value


def _policy_arns(plane: ControlPlane) -> frozenset[str]:
    """What an alarm may name beside addresses: step scaling policies, which are looked at while it is in ALARM."""
    return frozenset(
        arn.scaling_policy_arn(policy.cluster, policy.service, policy.name)
        for policy in plane.tables.records.all(ScalingPolicy)
        if policy.stepping is not None
    )


def _actions(field: str, addresses: Any, policies: Container[str] = ()) -> tuple[str, ...]:
    if len(addresses) > ACTIONS_MAX:
        raise invalid_field(field, f"has {len(addresses)} items; at most {ACTIONS_MAX} are allowed.")
    for index, address in enumerate(addresses):
        if address.startswith(arn.SCALING_PREFIX) and address not in policies:
            raise invalid_field(f"{field}[{index}]", f"{quoted(address[:200])} is no step scaling policy.")
        if address not in policies and (wrong := check(address)):
            raise invalid_field(f"{field}[{index}]", f"{quoted(address[:200])} {wrong}.")
    return tuple(dict.fromkeys(addresses))


async def describe(
    plane: ControlPlane, request: pb.DescribeAlarmsRequest, _caller: Identity
) -> pb.DescribeAlarmsResponse:
    if request.state_value:
        _one_of("StateValue", request.state_value, STATES)
    names = set(bounded(request.alarm_names, "AlarmNames", NAMES_MAX)) if request.alarm_names else None
    found = (
        (name, alarm)
        for name, alarm in plane.tables.alarms.items()
        if (names is None or name in names)
        and name.startswith(request.alarm_name_prefix)
        and request.state_value in ("", alarm.state)
    )
    alarms, token = page(found, request)
    return pb.DescribeAlarmsResponse(metric_alarms=map(alarm_message, alarms), next_token=token or None)


async def delete(plane: ControlPlane, request: pb.DeleteAlarmsRequest, _caller: Identity) -> pb.DeleteAlarmsResponse:
    await plane.engine.submit(i.DeleteAlarms(tuple(bounded(request.alarm_names, "AlarmNames", NAMES_MAX))))
    return pb.DeleteAlarmsResponse()


async def set_state(
    plane: ControlPlane, request: pb.SetAlarmStateRequest, _caller: Identity
) -> pb.SetAlarmStateResponse:
    state = _one_of("StateValue", request.state_value, STATES)
    reason = required(request, "state_reason", "StateReason")
    if len(reason) > REASON_MAX:
        raise invalid_field("StateReason", f"has more than {REASON_MAX} characters.")
    await plane.engine.submit(i.SetAlarmState(_name(request.alarm_name), state, reason))
    return pb.SetAlarmStateResponse()


async def enable(
    plane: ControlPlane, request: pb.EnableAlarmActionsRequest, _caller: Identity
) -> pb.EnableAlarmActionsResponse:
    names = tuple(bounded(request.alarm_names, "AlarmNames", NAMES_MAX))
    await plane.engine.submit(i.EnableAlarmActions(names, enabled=True))
    return pb.EnableAlarmActionsResponse()


async def disable(
    plane: ControlPlane, request: pb.DisableAlarmActionsRequest, _caller: Identity
) -> pb.DisableAlarmActionsResponse:
    names = tuple(bounded(request.alarm_names, "AlarmNames", NAMES_MAX))
    await plane.engine.submit(i.EnableAlarmActions(names, enabled=False))
    return pb.DisableAlarmActionsResponse()


async def history(
    plane: ControlPlane, request: pb.DescribeAlarmHistoryRequest, _caller: Identity
) -> pb.DescribeAlarmHistoryResponse:
    wanted = request.alarm_name
    if wanted and wanted not in plane.tables.alarms:
        raise Refused("not_found", f"AlarmName: there is no alarm {quoted(wanted[:300])}.", reason="ResourceNotFound")
    found = [
        (at.at, alarm.name, at)
        for alarm in plane.tables.alarms.values()
        if wanted in ("", alarm.name)
        for at in alarm.history
    ]
    found.sort(key=lambda each: each[:2], reverse=True)
    items = [
        pb.AlarmHistoryItem(
            alarm_name=name,
            timestamp=at.at,
            old_state_value=at.before,
            new_state_value=at.after,
            history_summary=at.reason,
        )
        for _, name, at in found[:1000]
    ]
    return pb.DescribeAlarmHistoryResponse(alarm_history_items=items)
