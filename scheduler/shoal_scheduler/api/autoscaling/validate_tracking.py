"""TargetTrackingScalingPolicyConfiguration, checked, as a record."""

import math
from collections.abc import Iterator
from typing import Any

from shoal import arn
from shoal.problems import quoted
from shoal.v1 import autoscaling_pb2 as pb

from shoal_scheduler.api.autoscaling.validate_stepping import cooldown
from shoal_scheduler.api.metrics import metric_of
from shoal_scheduler.control.autoscaling.metric_math import ID, MetricMathError, parsed
from shoal_scheduler.metrics.statistics import STATISTICS
from shoal_scheduler.model.refusal import Refused, invalid_field
from shoal_scheduler.model.scaling import (
    PERIOD_SECONDS,
    PREDEFINED,
    REQUESTS,
    MetricQuery,
    MetricStat,
    PrometheusQuery,
    TargetTracking,
)
from shoal_scheduler.webhooks import check

PATH = "TargetTrackingScalingPolicyConfiguration"
CUSTOMIZED = f"{PATH}.CustomizedMetricSpecification"
PROMETHEUS = f"{PATH}.prometheusMetricSpecification"
PERIODS_SECONDS = (10, 20, 30, 60, 120, 300)
QUERIES_MAX = 10
QUERY_CHARACTERS_MAX = 2048
LABEL_MAX = 255
TARGET_MAX = 2.0**360


def tracking_of(configuration: pb.TargetTrackingScalingPolicyConfiguration) -> TargetTracking:
    """Raises Refused."""
    target = configuration.target_value
    if not configuration.HasField("target_value") or not math.isfinite(target) or not 0 < target <= TARGET_MAX:
        raise invalid_field(f"{PATH}.TargetValue", "is required, as a number above 0.")
    period = configuration.period_seconds if configuration.HasField("period_seconds") else PERIOD_SECONDS
    if period not in PERIODS_SECONDS:
        raise invalid_field(f"{PATH}.periodSeconds", f"is {period}: none of {', '.join(map(str, PERIODS_SECONDS))}.")
    return TargetTracking(
        target=target,
        **_metric(configuration),
        out_cooldown=cooldown(configuration, "scale_out_cooldown", f"{PATH}.ScaleOutCooldown"),
        in_cooldown=cooldown(configuration, "scale_in_cooldown", f"{PATH}.ScaleInCooldown"),
        disable_scale_in=configuration.disable_scale_in,
        period=period,
    )


def units_of(configuration: pb.TargetTrackingScalingPolicyConfiguration) -> Iterator[str]:
    """The paths of units that are given."""
    specification = configuration.customized_metric_specification
    if specification.unit:
        yield f"{CUSTOMIZED}.Unit"
    for index, each in enumerate(specification.metrics):
        if each.metric_stat.unit:
            yield f"{CUSTOMIZED}.Metrics[{index}].MetricStat.Unit"


def _metric(configuration: Any) -> dict[str, Any]:
    kinds = [f"{kind}_metric_specification" for kind in ("predefined", "customized", "prometheus")]
    given = [kind for kind in kinds if configuration.HasField(kind)]
    if len(given) != 1:
        raise invalid_field(
            PATH,
            "needs exactly one of PredefinedMetricSpecification, CustomizedMetricSpecification and"
            " prometheusMetricSpecification.",
        )
    if given == kinds[:1]:
        return _predefined(configuration.predefined_metric_specification)
    if given == kinds[1:2]:
        return {"queries": _queries(configuration.customized_metric_specification)}
    return {"prometheus": _prometheus(configuration.prometheus_metric_specification)}


def _predefined(specification: pb.PredefinedMetricSpecification) -> dict[str, Any]:
    path, kind = f"{PATH}.PredefinedMetricSpecification", specification.predefined_metric_type
    if kind not in PREDEFINED:
        said = f"{quoted(kind)} is none of" if kind else "is required: one of"
        raise invalid_field(f"{path}.PredefinedMetricType", f"{said} {', '.join(PREDEFINED)}.")
    label = specification.resource_label
    if label and kind != REQUESTS:
        raise invalid_field(f"{path}.ResourceLabel", f"goes with {REQUESTS} only.")
    return {"predefined": kind, "resource_label": _target_group(label)}


def _target_group(label: str) -> str:
    """The name in "web", in an ARN, and in "app/<balancer>/<id>/targetgroup/web/<id>" as AWS has it."""
    if "targetgroup/" in label:
        return label.partition("targetgroup/")[2].partition("/")[0]
    return arn.short(label)


def _queries(specification: pb.CustomizedMetricSpecification) -> tuple[MetricQuery, ...]:
    if not specification.metrics:
        return (MetricQuery("m1", _stat(CUSTOMIZED, specification, specification.statistic, "Statistic")),)
    if specification.metric_name or specification.namespace or specification.statistic:
        raise invalid_field(f"{CUSTOMIZED}.Metrics", "goes without MetricName, Namespace and Statistic beside it.")
    if len(specification.metrics) > QUERIES_MAX:
        raise invalid_field(f"{CUSTOMIZED}.Metrics", f"has {len(specification.metrics)} items; at most {QUERIES_MAX}.")
    found: dict[str, MetricQuery] = {}
    for index, each in enumerate(specification.metrics):
        query = _query(f"{CUSTOMIZED}.Metrics[{index}]", each, found)
        found[query.id] = query
    if sum(query.return_data for query in found.values()) != 1:
        raise invalid_field(f"{CUSTOMIZED}.Metrics", "exactly one must have ReturnData true, or left away.")
    return tuple(found.values())


def _query(path: str, each: pb.TargetTrackingMetricDataQuery, before: dict[str, MetricQuery]) -> MetricQuery:
    if not ID.fullmatch(each.id):
        raise invalid_field(f"{path}.Id", f"{quoted(each.id)} is no id: a small letter, then letters, digits and _.")
    if each.id in before:
        raise invalid_field(f"{path}.Id", f"{quoted(each.id)} is there twice.")
    if bool(each.expression) == each.HasField("metric_stat"):
        raise invalid_field(path, "needs exactly one of Expression and MetricStat.")
    if len(each.label) > LABEL_MAX:
        raise invalid_field(f"{path}.Label", f"has more than {LABEL_MAX} characters.")
    returns = each.return_data if each.HasField("return_data") else True
    if not each.expression:
        stat = _stat(f"{path}.MetricStat.Metric", each.metric_stat.metric, each.metric_stat.stat, "Stat", path)
        return MetricQuery(each.id, stat, label=each.label, return_data=returns)
    try:
        names = parsed(each.expression).names
    except MetricMathError as error:
        raise invalid_field(f"{path}.Expression", f"{error}.") from None
    if unknown := sorted(names - before.keys()):
        raise invalid_field(f"{path}.Expression", f"{unknown[0]} is no Id of a query before this one.")
    return MetricQuery(each.id, expression=each.expression, label=each.label, return_data=returns)


def _stat(path: str, metric: Any, statistic: str, name: str, stat_path: str = "") -> MetricStat:
    try:
        found = metric_of(metric.namespace, metric)
    except Refused as refused:
        problem = refused.problems[0]
        raise invalid_field(f"{path}.{problem.field}", problem.message) from None
    if statistic not in STATISTICS:
        said = f"{quoted(statistic)} is none of" if statistic else "is required: one of"
        field = f"{stat_path}.MetricStat.{name}" if stat_path else f"{path}.{name}"
        raise invalid_field(field, f"{said} {', '.join(STATISTICS)}.")
    return MetricStat(found.namespace, found.name, found.dimensions, statistic)


def _prometheus(specification: pb.PrometheusMetricSpecification) -> PrometheusQuery:
    if wrong := check(specification.address):
        raise invalid_field(f"{PROMETHEUS}.address", f"{quoted(specification.address)} {wrong}.")
    if not 1 <= len(specification.query) <= QUERY_CHARACTERS_MAX:
        raise invalid_field(f"{PROMETHEUS}.query", f"must have 1 to {QUERY_CHARACTERS_MAX} characters.")
    return PrometheusQuery(specification.address.rstrip("/"), specification.query)
