"""What is measured for scaling policies, out of the metrics of this process. What is not known is None. Pure."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence

from shoal import arn

from shoal_scheduler.control.autoscaling.metric_math import parsed
from shoal_scheduler.control.autoscaling.target_tracking import IN_POINTS
from shoal_scheduler.control.autoscaling.votes import Breach, Datapoint
from shoal_scheduler.metrics.names import AWS_ECS, INSIGHTS
from shoal_scheduler.metrics.statistics import TooFineError, statistics
from shoal_scheduler.metrics.store import Metric, Metrics
from shoal_scheduler.model.alarm import ALARM, INSUFFICIENT_DATA, Alarm
from shoal_scheduler.model.scaling import (
    CPU,
    MEMORY,
    REQUESTS,
    MetricQuery,
    MetricStat,
    ScalingPolicy,
    TargetTracking,
)
from shoal_scheduler.state.tables import Tables

ELB = "AWS/ApplicationELB"
Values = list[float | None]


def starts_of(end: int, period: int) -> list[int]:
    """Of the periods up to there, in seconds, the oldest first."""
    return [end - period * back for back in range(IN_POINTS, 0, -1)]


def values_of(metrics: Metrics, policy: ScalingPolicy, tracking: TargetTracking, end: int) -> Values:
    """Of each period up to `end`; of a policy that does not ask Prometheus."""
    if tracking.predefined == REQUESTS:
        # The target is of a minute.
        found = _series(metrics, _predefined(policy, tracking), end, tracking.period)
        return [None if value is None else value * 60 / tracking.period for value in found]
    if tracking.predefined:
        return _series(metrics, _predefined(policy, tracking), end, tracking.period)
    return _of_queries(metrics, tracking.queries, end, tracking.period)


def _predefined(policy: ScalingPolicy, tracking: TargetTracking) -> MetricStat:
    service = (("ClusterName", policy.cluster), ("ServiceName", policy.service))
    if tracking.predefined == REQUESTS and tracking.resource_label:
        group = (("ClusterName", policy.cluster), ("TargetGroup", tracking.resource_label))
        return MetricStat(ELB, "RequestCountPerTarget", group, "Sum")
    if tracking.predefined == REQUESTS:
        return MetricStat(ELB, "RequestCountPerTarget", service, "Sum")
    name = {CPU: "CPUUtilization", MEMORY: "MemoryUtilization"}[tracking.predefined]
    return MetricStat(AWS_ECS, name, service, "Average")


def _of_queries(metrics: Metrics, queries: Sequence[MetricQuery], end: int, period: int) -> Values:
    """Each is worked out from those before it; the one that returns its data is the answer."""
    known: dict[str, Values] = {}
    for query in queries:
        if query.stat is not None:
            known[query.id] = _series(metrics, query.stat, end, period)
        else:
            known[query.id] = _of_expression(query.expression, known)
    return next(known[query.id] for query in queries if query.return_data)


def _of_expression(expression: str, known: Mapping[str, Values]) -> Values:
    term = parsed(expression)
    return [term.value({name: known[name][at] for name in term.names}) for at in range(IN_POINTS)]


def _series(metrics: Metrics, stat: MetricStat, end: int, period: int, count: int = IN_POINTS) -> Values:
    starts = [end - period * back for back in range(count, 0, -1)]
    series = metrics.find(Metric(stat.namespace, stat.metric, stat.dimensions), end)
    if series is None:
        return [None] * count
    try:
        found = dict(statistics(series, starts[0], end, period, stat.statistic))
    except TooFineError:
        return [None] * count
    return [None if (value := found.get(start)) != value else value for start in starts]


def with_capacity(
    metrics: Metrics, tables: Tables, policy: ScalingPolicy, values: Values, end: int, period: int
) -> tuple[Datapoint | None, ...]:
    """How many tasks ran in each period. Where that was not measured (there were none, or another led), those count
    that run now and did so in the middle of it: never what was added since for what was measured before."""
    dimensions = (("ClusterName", policy.cluster), ("ServiceName", policy.service))
    ran = _series(metrics, MetricStat(INSIGHTS, "RunningTaskCount", dimensions, "Average"), end, period)
    since = _running_since(tables, policy)
    middles = [(start + period / 2) * 1000 for start in starts_of(end, period)]
    return tuple(
        None if value is None else Datapoint(value, bisect_right(since, middle) if tasks is None else tasks)
        for value, tasks, middle in zip(values, ran, middles, strict=True)
    )


def _running_since(tables: Tables, policy: ScalingPolicy) -> list[int]:
    """Of the tasks that run, in milliseconds, the first first."""
    keys = tables.services.live.get((policy.cluster, policy.service), {})
    tasks = [task for task in map(tables.task, keys) if task is not None and task.last_status == "RUNNING"]
    return sorted(task.started_at for task in tasks)


def breaches_of(metrics: Metrics, tables: Tables, policy: ScalingPolicy, now: float) -> tuple[Breach, ...]:
    """Of the alarms that name the policy and whose actions are enabled."""
    name = arn.scaling_policy_arn(policy.cluster, policy.service, policy.name)
    alarms = [
        alarm for alarm in tables.alarms.values() if alarm.actions_enabled and name in alarm.actions.get(ALARM, ())
    ]
    return tuple(_breach(metrics, alarm, policy, now) for alarm in alarms)


def _breach(metrics: Metrics, alarm: Alarm, policy: ScalingPolicy, now: float) -> Breach:
    aggregation = policy.stepping.aggregation if policy.stepping is not None else ""
    stat = MetricStat(alarm.namespace, alarm.metric, alarm.dimensions, aggregation or alarm.statistic)
    end = int(now) // alarm.period * alarm.period
    (value,) = _series(metrics, stat, end, alarm.period, count=1)
    return Breach(
        alarm.name,
        is_alarming=alarm.state == ALARM,
        is_known=alarm.state != INSUFFICIENT_DATA,
        value=value,
        threshold=alarm.threshold,
        is_upper=alarm.comparison.startswith("Greater"),
    )
