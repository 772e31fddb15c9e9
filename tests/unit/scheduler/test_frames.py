"""Time series: what is recorded is what is told, in every tier, however it comes; and memory is bounded."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shoal_scheduler.metrics.frames import Point, Table, Tier
from shoal_scheduler.metrics.names import KINDS, LONG, MINUTES, SECONDS
from shoal_scheduler.metrics.statistics import Series, TooFineError, periods, statistics
from shoal_scheduler.metrics.store import PUT_SERIES_MAX, Metrics

TIERS = (Tier(10, 600), Tier(60, 3600), Tier(300, 14_400))
START = 1_000_000_200  # a whole five minutes
MEBIBYTES = 1024 * 1024
NAN = math.nan


def table(rows_max: int = 100, columns: tuple[str, ...] = ("a", "b"), *, samples: bool = True) -> Table:
    return Table(columns, TIERS, rows_max=rows_max, samples=samples)


def values(*rows: tuple[float, ...]) -> "np.ndarray[tuple[int, int], np.dtype[np.float64]]":
    return np.array(rows, np.float64)


def all_of(series: Series, tier: Tier) -> list[Point]:
    return list(series.table.points(series.key, series.column, tier, 0, series.now + 1))


def test_a_sample_is_told_as_it_was() -> None:
    made = table()
    made.record(START, ["x", "y"], values((1.5, NAN), (2.5, 3.5)))
    series = Series(made, "x", "a", START)
    assert statistics(series, START, START + 10, 10, "Average") == [(START, 1.5)]
    assert statistics(series._replace(column="b"), START, START + 10, 10, "Average") == []
    assert statistics(series._replace(key="y", column="b"), START, START + 10, 10, "Sum") == [(START, 3.5)]
    assert statistics(series._replace(key="nobody"), START, START + 10, 10, "Sum") == []
    assert list(made.has("x")) == ["a"]


def test_every_statistic_of_coarser_steps() -> None:
    made = table()
    for second, value in enumerate([5.0, 1.0, NAN, 3.0, 7.0, 2.0]):
        made.record(START + 10 * second, ["x"], values((value, NAN)))
    series = Series(made, "x", "a", START + 4000)  # ten seconds are not kept any more
    told = {
        name: statistics(series, START, START + 60, 300, name)[0][1]
        for name in ("SampleCount", "Average", "Sum", "Minimum", "Maximum")
    }
    assert told == {"SampleCount": 5, "Average": 3.6, "Sum": 18, "Minimum": 1, "Maximum": 7}


def test_a_period_without_samples_has_no_value() -> None:
    made = table()
    for second in (0, 180):
        made.record(START + second, ["x"], values((1.0, NAN)))
    found = statistics(Series(made, "x", "a", START + 200), START, START + 240, 60, "Average")
    assert found == [(START, 1.0), (START + 180, 1.0)]


def test_clocks_that_do_not_tick_alike_lose_nothing() -> None:
    """Two samples within one step, and none in the next: each has a step of its own."""
    made = table()
    for second in (1, 10, 19, 31, 39, 52):
        made.record(START + second, ["x"], values((float(second), NAN)))
    found = statistics(Series(made, "x", "a", START + 60), START, START + 60, 10, "Average")
    assert found == [(START + 10 * n, float(value)) for n, value in enumerate((1, 10, 19, 31, 39, 52))]


def test_who_talks_too_much_is_not_heard_too_often() -> None:
    made = table()
    for second in range(10):
        made.record(START + second, ["x"], values((1.0, NAN)))
    series = Series(made, "x", "a", START + 10)
    assert sum(value for _, value in statistics(series, START, START + 60, 60, "SampleCount")) == 2


def test_a_clock_that_was_set_back_is_believed() -> None:
    made = table()
    made.record(START + 100_000, ["x"], values((1.0, NAN)))
    made.record(START, ["x"], values((2.0, NAN)))
    assert statistics(Series(made, "x", "a", START), START, START + 10, 10, "Average") == [(START, 2.0)]


def test_older_values_are_kept_for_longer_periods_only() -> None:
    made = table()
    made.record(START, ["x"], values((1.0, NAN)))
    series = Series(made, "x", "a", START + 601)
    with pytest.raises(TooFineError) as refused:
        statistics(series, START, START + 600, 10, "Average")
    assert refused.value.step_seconds == 60
    assert statistics(series, START, START + 600, 60, "Average") == [(START, 1.0)]
    with pytest.raises(TooFineError):
        statistics(series, START, START + 600, 90, "Average")


def test_what_is_older_than_the_last_tier_is_gone() -> None:
    made = table()
    made.record(START, ["x"], values((1.0, NAN)))
    made.record(START + 20_000, ["y"], values((1.0, NAN)))
    assert not [point for tier in TIERS for point in all_of(Series(made, "x", "a", START + 20_000), tier)]
    made.drop_silent(START + 20_000)
    assert list(made.rows) == ["y"]


def test_a_row_that_is_taken_again_has_nothing_of_the_one_before() -> None:
    made = table()
    made.record(START, ["x"], values((1.0, 1.0)))
    made.drop(["x"])
    made.record(START + 20, ["y"], values((5.0, NAN)))
    for tier in TIERS:
        (point,) = all_of(Series(made, "y", "a", START + 30), tier)
        assert (point.low, point.high, point.samples) == (5, 5, 1)
        assert not all_of(Series(made, "y", "b", START + 30), tier)
    assert list(made.has("y")) == ["a"]


def test_where_rows_are_taken_the_most_silent_go() -> None:
    made = table(rows_max=3)
    for second, key in enumerate("abcd"):
        made.record(START + 10 * second, [key], values((float(second), NAN)))
    assert set(made.rows) == {"b", "c", "d"}
    for second, key in enumerate("bcd", 1):
        assert statistics(Series(made, key, "a", START + 60), START, START + 60, 60, "Sum") == [(START, second)]


# A sample each ten seconds or none, for an hour and more: what a tier keeps of it, and what the raw samples say.
samples = st.lists(st.one_of(st.none(), st.floats(0, 1e9, width=32)), min_size=1, max_size=40)


@settings(max_examples=60, deadline=None)
@given(samples, st.integers(0, 29), st.sampled_from([60, 120, 300, 600]))
def test_the_statistics_of_each_tier_are_those_of_the_raw_samples(
    raw: list[float | None], offset: int, period: int
) -> None:
    made = table()
    times = [START + 10 * (offset + position) for position in range(len(raw))]
    for time, value in zip(times, raw, strict=True):
        made.record(time, ["other", "x"], values((1.0, 2.0), (NAN if value is None else value, NAN)))
    expected: dict[int, list[float]] = {}
    for time, value in zip(times, raw, strict=True):
        if value is not None:
            expected.setdefault(time - time % period, []).append(value)
    for age in (0, 3000, 13_000):
        series = Series(made, "x", "a", times[-1] + age)
        if period % series.tier(START).step_seconds:
            continue
        found = {point.time: point for point in periods(series, START, times[-1] + 1, period)}
        assert set(found) == set(expected)
        for time, known in expected.items():
            point = found[time]
            assert (point.low, point.high, point.samples) == (min(known), max(known), len(known))
            assert point.total == pytest.approx(sum(known), rel=1e-5)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 599), st.floats(-1e6, 1e6)), min_size=1, max_size=30))
def test_values_that_come_in_any_order_count_where_they_belong(put: list[tuple[int, float]]) -> None:
    made = table(columns=("v",), samples=False)
    for second, value in put:
        made.record_point(START + 600, "x", "v", Point(START + second, value, value, value, 1))
    (whole,) = periods(Series(made, "x", "v", START + 3600), START, START + 600, 600)
    assert (whole.low, whole.high) == (min(v for _, v in put), max(v for _, v in put))
    assert whole.total == pytest.approx(sum(v for _, v in put), rel=1e-9, abs=1e-6)
    assert whole.samples == len(put)


def test_what_is_put_far_back_is_kept_where_that_is_kept() -> None:
    made = table(columns=("v",), samples=False)
    made.record_point(START + 5000, "x", "v", Point(START, 1, 1, 1, 1))
    assert [len(all_of(Series(made, "x", "v", START + 5000), tier)) for tier in TIERS] == [0, 0, 1]


# -- memory


def bytes_of(kind: str, rows: int) -> int:
    """When every tier is full: a plain step has a value and its count, a coarser one three and theirs."""
    columns, tiers, _ = KINDS[kind]
    return sum(tier.steps * rows * len(columns) * (4 + 1 if not at else 3 * 4 + 1) for at, tier in enumerate(tiers))


def test_a_large_cluster_takes_a_bounded_amount_of_memory() -> None:
    """1,000 instances with 10,000 tasks in 100 groups for 15 days, and all that may be put."""
    rows = {"cluster": 1, "group": 100, "instance": 1_000, "instance traffic": 1_000, "task": 10_000}
    ours = sum(bytes_of(kind, count) for kind, count in rows.items())
    put = sum(tier.steps * PUT_SERIES_MAX * (3 * 8 + 8) for tier in (SECONDS, MINUTES, LONG))
    assert ours + put < 960 * MEBIBYTES
    # A small one: 10 instances with 100 tasks in 10 groups.
    assert sum(bytes_of(kind, -(-count // 100)) for kind, count in rows.items()) < 10 * MEBIBYTES


def test_the_memory_is_what_was_computed() -> None:
    """Of a table that is full, with as many rows as it may have, whatever comes and goes."""
    columns, tiers, _ = KINDS["task"]
    made = Table(columns, tiers, rows_max=128)
    steps = 2 * tiers[1].keep_seconds // 10
    for step in range(steps):
        keys = [f"{step // 100}-{number}" for number in range(100)]  # others every 1,000 seconds
        made.record(START + 10 * step, keys, np.ones((100, len(columns))))
        assert len(made.rows) <= 128
    # A frame that is being made beside each full tier, and rows in whole lots.
    assert 0.5 * bytes_of("task", 128) < made.nbytes <= 1.05 * bytes_of("task", 128)


def test_all_is_counted() -> None:
    made = Metrics()
    assert made.nbytes == 0
    made.tables["task"].record(START, [("c", "t")], np.ones((1, len(KINDS["task"].columns))))
    assert made.nbytes > 0


def test_more_groups_than_are_kept_do_not_drive_each_other_out() -> None:
    """Those that have values go on having them; new ones come when others have gone silent."""
    made, most = Metrics(), KINDS["group"].rows_max
    busy = {("c", f"g{number}"): {"CPUUtilization": 1.0} for number in range(most + 20)}
    for step in range(3):
        made._record("group", START + 10 * step, busy)
    first = set(made.tables["group"].rows)
    assert first == {("c", f"g{number}") for number in range(most)}
    others = {("c", f"new{number}"): {"CPUUtilization": 2.0} for number in range(5)}
    made._record("group", START + 30, dict(list(busy.items())[:10]) | others)
    assert set(others) <= set(made.tables["group"].rows)
    assert set(list(busy)[:10]) <= set(made.tables["group"].rows)
    assert len(made.tables["group"].rows) <= most
