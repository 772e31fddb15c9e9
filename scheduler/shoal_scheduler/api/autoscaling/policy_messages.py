"""A policy's record as its message."""

from collections.abc import Iterable

from shoal import arn
from shoal.v1 import autoscaling_pb2 as pb
from shoal.v1 import metrics_pb2

from shoal_scheduler.api.autoscaling.resource import DIMENSION, NAMESPACE, resource_id
from shoal_scheduler.model.alarm import ALARM, Alarm
from shoal_scheduler.model.scaling import (
    PERIOD_SECONDS,
    MetricQuery,
    MetricStat,
    ScalingPolicy,
    StepScaling,
    TargetTracking,
)


def policy_message(policy: ScalingPolicy, alarms: Iterable[Alarm]) -> pb.ScalingPolicy:
    name = arn.scaling_policy_arn(policy.cluster, policy.service, policy.name)
    message = pb.ScalingPolicy(
        policy_arn=name,
        policy_name=policy.name,
        service_namespace=NAMESPACE,
        resource_id=resource_id(policy.cluster, policy.service),
        scalable_dimension=DIMENSION,
        policy_type="StepScaling" if policy.tracking is None else "TargetTrackingScaling",
        creation_time=policy.created_at,
        alarms=[
            pb.ScalingAlarm(alarm_name=alarm.name, alarm_arn=arn.alarm_arn(alarm.name))
            for alarm in alarms
            if name in alarm.actions.get(ALARM, ())
        ],
    )
    if policy.tracking is not None:
        message.target_tracking_scaling_policy_configuration.CopyFrom(_tracking(policy.tracking))
    if policy.stepping is not None:
        message.step_scaling_policy_configuration.CopyFrom(_stepping(policy.stepping))
    return message


def _stepping(stepping: StepScaling) -> pb.StepScalingPolicyConfiguration:
    return pb.StepScalingPolicyConfiguration(
        adjustment_type=stepping.adjustment_type,
        step_adjustments=[
            pb.StepAdjustment(
                metric_interval_lower_bound=step.lower,
                metric_interval_upper_bound=step.upper,
                scaling_adjustment=step.adjustment,
            )
            for step in stepping.steps
        ],
        min_adjustment_magnitude=stepping.min_magnitude or None,
        cooldown=stepping.cooldown,
        metric_aggregation_type=stepping.aggregation or None,
    )


def _tracking(tracking: TargetTracking) -> pb.TargetTrackingScalingPolicyConfiguration:
    message = pb.TargetTrackingScalingPolicyConfiguration(
        target_value=tracking.target,
        scale_out_cooldown=tracking.out_cooldown,
        scale_in_cooldown=tracking.in_cooldown,
        disable_scale_in=tracking.disable_scale_in,
        period_seconds=tracking.period if tracking.period != PERIOD_SECONDS else None,
    )
    if tracking.predefined:
        message.predefined_metric_specification.predefined_metric_type = tracking.predefined
        if tracking.resource_label:
            message.predefined_metric_specification.resource_label = tracking.resource_label
    if tracking.prometheus is not None:
        message.prometheus_metric_specification.address = tracking.prometheus.address
        message.prometheus_metric_specification.query = tracking.prometheus.query
    if tracking.queries:
        message.customized_metric_specification.CopyFrom(_customized(tracking.queries))
    return message


def _customized(queries: tuple[MetricQuery, ...]) -> pb.CustomizedMetricSpecification:
    """One metric alone as it was given: without Metrics."""
    stat = queries[0].stat
    if len(queries) == 1 and stat is not None:
        return pb.CustomizedMetricSpecification(
            namespace=stat.namespace,
            metric_name=stat.metric,
            dimensions=_dimensions(stat),
            statistic=stat.statistic,
        )
    return pb.CustomizedMetricSpecification(metrics=map(_query, queries))


def _query(query: MetricQuery) -> pb.TargetTrackingMetricDataQuery:
    message = pb.TargetTrackingMetricDataQuery(
        id=query.id,
        expression=query.expression or None,
        label=query.label or None,
        return_data=query.return_data,
    )
    if query.stat is not None:
        metric = pb.TargetTrackingMetric(
            namespace=query.stat.namespace, metric_name=query.stat.metric, dimensions=_dimensions(query.stat)
        )
        message.metric_stat.CopyFrom(pb.TargetTrackingMetricStat(metric=metric, stat=query.stat.statistic))
    return message


def _dimensions(stat: MetricStat) -> list[metrics_pb2.Dimension]:
    return [metrics_pb2.Dimension(name=name, value=value) for name, value in stat.dimensions]
