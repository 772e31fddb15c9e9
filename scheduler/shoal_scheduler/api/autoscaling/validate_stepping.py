"""StepScalingPolicyConfiguration, checked, as a record."""

import math
from itertools import pairwise
from typing import Any

from shoal.problems import quoted
from shoal.v1 import autoscaling_pb2 as pb

from shoal_scheduler.model.refusal import invalid_field
from shoal_scheduler.model.scaling import (
    ADJUSTMENT_TYPES,
    COOLDOWN_SECONDS,
    EXACT,
    PERCENT,
    StepAdjustment,
    StepScaling,
)

PATH = "StepScalingPolicyConfiguration"
STEPS_MAX = 20
ADJUSTMENT_MAX = 100_000
COOLDOWN_MAX = 86_400
AGGREGATIONS = ("Average", "Minimum", "Maximum")


def stepping_of(configuration: pb.StepScalingPolicyConfiguration) -> StepScaling:
    """Raises Refused."""
    kind, aggregation = configuration.adjustment_type, configuration.metric_aggregation_type
    if kind not in ADJUSTMENT_TYPES:
        said = f"{quoted(kind)} is none of" if kind else "is required: one of"
        raise invalid_field(f"{PATH}.AdjustmentType", f"{said} {', '.join(ADJUSTMENT_TYPES)}.")
    if aggregation and aggregation not in AGGREGATIONS:
        raise invalid_field(
            f"{PATH}.MetricAggregationType", f"{quoted(aggregation)} is none of {', '.join(AGGREGATIONS)}."
        )
    least = configuration.min_adjustment_magnitude
    if configuration.HasField("min_adjustment_magnitude") and (kind != PERCENT or not 1 <= least <= ADJUSTMENT_MAX):
        raise invalid_field(f"{PATH}.MinAdjustmentMagnitude", f"is {least}: of {PERCENT} only, and at least 1.")
    return StepScaling(
        adjustment_type=kind,
        steps=_steps(configuration, kind),
        min_magnitude=least,
        cooldown=cooldown(configuration, "cooldown", f"{PATH}.Cooldown"),
        aggregation=aggregation,
    )


def cooldown(configuration: Any, name: str, field: str) -> int:
    """Seconds."""
    value: int = getattr(configuration, name)
    if not configuration.HasField(name):
        return COOLDOWN_SECONDS
    if not 0 <= value <= COOLDOWN_MAX:
        raise invalid_field(field, f"is {value}: must be 0 to {COOLDOWN_MAX} seconds.")
    return value


def _steps(configuration: pb.StepScalingPolicyConfiguration, kind: str) -> tuple[StepAdjustment, ...]:
    """In the order of their bounds: without a gap, without an overlap, the outer ones open."""
    path = f"{PATH}.StepAdjustments"
    given = configuration.step_adjustments
    if not 1 <= len(given) <= STEPS_MAX:
        raise invalid_field(path, f"has {len(given)} items; 1 to {STEPS_MAX} are needed.")
    steps = [_step(f"{path}[{index}]", each, kind) for index, each in enumerate(given)]
    ordered = sorted(steps, key=lambda step: -math.inf if step.lower is None else step.lower)
    for before, after in pairwise(ordered):
        if before.upper is None or after.lower is None or before.upper != after.lower:
            raise invalid_field(
                path, f"{_interval(before)} and {_interval(after)} overlap, or leave a gap: each begins where one ends."
            )
    if (ordered[0].lower or 0) < 0:
        raise invalid_field(path, f"nothing is said below {ordered[0].lower:g}: leave the lowest lower bound away.")
    if (ordered[-1].upper or 0) > 0:
        raise invalid_field(path, f"nothing is said above {ordered[-1].upper:g}: leave the highest upper bound away.")
    return tuple(ordered)


def _step(path: str, each: pb.StepAdjustment, kind: str) -> StepAdjustment:
    lower = each.metric_interval_lower_bound if each.HasField("metric_interval_lower_bound") else None
    upper = each.metric_interval_upper_bound if each.HasField("metric_interval_upper_bound") else None
    for field, bound in (("MetricIntervalLowerBound", lower), ("MetricIntervalUpperBound", upper)):
        if bound is not None and not math.isfinite(bound):
            raise invalid_field(f"{path}.{field}", "must be a finite number; left away it stands for infinity.")
    if lower is not None and upper is not None and upper <= lower:
        raise invalid_field(f"{path}.MetricIntervalUpperBound", f"is {upper:g}: must be above {lower:g}.")
    if not each.HasField("scaling_adjustment") or abs(each.scaling_adjustment) > ADJUSTMENT_MAX:
        raise invalid_field(f"{path}.ScalingAdjustment", f"is required: -{ADJUSTMENT_MAX} to {ADJUSTMENT_MAX}.")
    if kind == EXACT and each.scaling_adjustment < 0:
        raise invalid_field(f"{path}.ScalingAdjustment", f"is {each.scaling_adjustment}: a count is never below 0.")
    return StepAdjustment(lower, upper, each.scaling_adjustment)


def _interval(step: StepAdjustment) -> str:
    lower = "-infinity" if step.lower is None else f"{step.lower:g}"
    upper = "infinity" if step.upper is None else f"{step.upper:g}"
    return f"{lower}..{upper}"
