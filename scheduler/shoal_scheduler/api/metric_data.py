"""What is put as one datum of a metric: a value, a set of statistics, or values with their counts. Pure."""

import math
from collections.abc import Iterable

from shoal.v1 import metrics_pb2 as pb

from shoal_scheduler.metrics.frames import Point
from shoal_scheduler.model.refusal import invalid_field

# CloudWatch's limits.
VALUES_MAX = 150
VALUE_MAX = 2.0**360
PAST_SECONDS, FUTURE_SECONDS = 14 * 86_400, 2 * 3600


def points_of(field: str, datum: pb.MetricDatum, now: float) -> Point:
    """Raises Refused."""
    seconds = datum.timestamp // 1000 if datum.HasField("timestamp") else int(now)
    if not now - PAST_SECONDS <= seconds <= now + FUTURE_SECONDS:
        raise invalid_field(f"{field}.Timestamp", "must be within the last two weeks and the next two hours.")
    given = [datum.HasField("value"), datum.HasField("statistic_values"), bool(datum.values)]
    if sum(given) != 1:
        raise invalid_field(field, "must have one of Value, StatisticValues and Values.")
    if datum.counts and len(datum.counts) != len(datum.values):
        raise invalid_field(f"{field}.Counts", f"has {len(datum.counts)} items, Values {len(datum.values)}.")
    if datum.HasField("value"):
        _check(f"{field}.Value", [datum.value])
        return Point(seconds, datum.value, datum.value, datum.value, 1)
    if datum.HasField("statistic_values"):
        return _of_statistics(f"{field}.StatisticValues", datum.statistic_values, seconds)
    if len(datum.values) > VALUES_MAX:
        raise invalid_field(f"{field}.Values", f"has {len(datum.values)} items; at most {VALUES_MAX} are allowed.")
    _check(f"{field}.Values", datum.values)
    _check(f"{field}.Counts", datum.counts, above=0.0)
    counts = datum.counts or [1.0] * len(datum.values)
    total = sum(value * count for value, count in zip(datum.values, counts, strict=True))
    _check(f"{field}.Counts", [total, sum(counts)])
    return Point(seconds, min(datum.values), max(datum.values), total, sum(counts))


def _of_statistics(field: str, given: pb.StatisticSet, seconds: int) -> Point:
    for name in ("SampleCount", "Sum", "Minimum", "Maximum"):
        if not given.HasField({"SampleCount": "sample_count"}.get(name, name.lower())):  # type: ignore[arg-type]
            raise invalid_field(f"{field}.{name}", "is required.")
    _check(field, [given.sum, given.minimum, given.maximum])
    _check(f"{field}.SampleCount", [given.sample_count], above=0.0)
    if given.minimum > given.maximum:
        raise invalid_field(f"{field}.Minimum", "must not be above Maximum.")
    return Point(seconds, given.minimum, given.maximum, given.sum, given.sample_count)


def _check(field: str, values: Iterable[float], above: float = -math.inf) -> None:
    for value in values:
        if not math.isfinite(value) or abs(value) > VALUE_MAX:
            raise invalid_field(field, f"{value} must be a number from -2**360 to 2**360.")
        if value <= above:
            raise invalid_field(field, f"{value} must be above {above:g}.")
