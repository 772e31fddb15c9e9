"""An alarm's record as its message."""

from shoal import arn
from shoal.v1 import alarms_pb2 as pb
from shoal.v1 import metrics_pb2

from shoal_scheduler.model.alarm import ALARM, INSUFFICIENT_DATA, OK, Alarm


def alarm_message(alarm: Alarm) -> pb.MetricAlarm:
    return pb.MetricAlarm(
        alarm_name=alarm.name,
        alarm_arn=arn.alarm_arn(alarm.name),
        alarm_description=alarm.description or None,
        actions_enabled=alarm.actions_enabled,
        ok_actions=alarm.actions.get(OK, ()),
        alarm_actions=alarm.actions.get(ALARM, ()),
        insufficient_data_actions=alarm.actions.get(INSUFFICIENT_DATA, ()),
        state_value=alarm.state,
        state_reason=alarm.reason,
        state_updated_timestamp=alarm.changed_at,
        metric_name=alarm.metric,
        namespace=alarm.namespace,
        statistic=alarm.statistic,
        dimensions=[metrics_pb2.Dimension(name=name, value=value) for name, value in alarm.dimensions],
        period=alarm.period,
        evaluation_periods=alarm.evaluation_periods,
        datapoints_to_alarm=alarm.datapoints_to_alarm,
        threshold=alarm.threshold,
        comparison_operator=alarm.comparison,
        treat_missing_data=alarm.missing,
        undelivered=alarm.undelivered,
    )
