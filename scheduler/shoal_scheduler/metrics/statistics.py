"""The statistics of CloudWatch of a series. Pure.

SampleCount, Average, Sum, Minimum and Maximum over periods that are aligned to their length, as CloudWatch's are: those
of a minute begin at whole minutes. A period in which nothing was recorded has no value, never 0.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from shoal_scheduler.metrics.frames import Point, Table, Tier

STATISTICS: Mapping[str, Callable[[Point], float]] = {
    "SampleCount": lambda point: point.samples,
    "Average": lambda point: point.total / point.samples,
    "Sum": lambda point: point.total,
    "Minimum": lambda point: point.low,
    "Maximum": lambda point: point.high,
}


class TooFineError(ValueError):
    """So far back values are kept only for longer steps. `step_seconds`: periods must be multiples of it."""

    def __init__(self, step_seconds: int) -> None:
        super().__init__(f"so far back, periods are multiples of {step_seconds} seconds")
        self.step_seconds = step_seconds


class Series(NamedTuple):
    """One metric of one thing. `now` in seconds says what is still kept."""

    table: Table
    key: object
    column: str
    now: int

    def tier(self, start: int) -> Tier:
        """The finest one that goes back so far; the last one if none does."""
        tiers = self.table.tiers
        return next((tier for tier in tiers if start >= self.now - tier.keep_seconds), tiers[-1])

    def points(self, start: int, end: int) -> Iterator[Point]:
        return self.table.points(self.key, self.column, self.tier(start), start, end)


def statistics(series: Series, start: int, end: int, period: int, statistic: str) -> list[tuple[int, float]]:
    """The start of each period and its value, the oldest first; all times in seconds.

    `start` is moved back to the start of its period; nothing at `end` or later is counted. Raises TooFineError if the
    period is not a multiple of the step in which values that old are kept, KeyError for another statistic.
    """
    value = STATISTICS[statistic]
    return [(point.time, value(point)) for point in periods(series, start, end, period)]


def periods(series: Series, start: int, end: int, period: int) -> list[Point]:
    """The same with all that statistics can be made of."""
    step_seconds = series.tier(start).step_seconds
    if period <= 0 or period % step_seconds:
        raise TooFineError(step_seconds)
    found: dict[int, Point] = {}
    # The tier is chosen by the start that was asked for: a period's beginning may be just beyond what is kept.
    tier = series.tier(start)
    for point in series.table.points(series.key, series.column, tier, start - start % period, end):
        at = point.time - point.time % period
        found[at] = _together(found.get(at), point, at)
    return list(found.values())


def _together(before: Point | None, point: Point, at: int) -> Point:
    if before is None:
        return point._replace(time=at)
    return Point(
        at,
        min(before.low, point.low),
        max(before.high, point.high),
        before.total + point.total,
        before.samples + point.samples,
    )
