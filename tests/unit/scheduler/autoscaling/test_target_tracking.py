"""The formula against itself written out plainly, and when it is looked at."""

import math
from fractions import Fraction
from random import Random

import pytest
from shoal_scheduler.control.autoscaling.target_tracking import IN_POINTS, OUT_POINTS, capacity_for, vote
from shoal_scheduler.control.autoscaling.votes import ABSTAIN, HOLD, IN, OUT, Datapoint
from shoal_scheduler.model.scaling import CPU, TargetTracking

CASES = 1_000
POLICY = TargetTracking(target=50.0, predefined=CPU)


def _plain(current: int, metric_cents: int, target_cents: int) -> int:
    return math.ceil(Fraction(current) * Fraction(metric_cents, 100) / Fraction(target_cents, 100))


def test_a_thousand_random_cases_are_as_the_formula_says() -> None:
    chance = Random(20)
    said = {OUT: 0, IN: 0, HOLD: 0}
    for _ in range(CASES):
        current, target = chance.randint(1, 500), chance.randint(1, 20_000)
        metric = chance.choice((chance.randint(0, 100_000), chance.randint(0, 2 * target), target))
        wanted = _plain(current, metric, target)
        points = [Datapoint(metric / 100, current)] * IN_POINTS
        got = vote("any", TargetTracking(target=target / 100), points, current, 0)
        assert capacity_for(current, metric / 100, target / 100) == wanted
        if metric > target:
            assert (got.says, got.capacity) == ((OUT, wanted) if wanted > current else (HOLD, current))
        elif 10 * metric < 9 * target and wanted < current:
            assert (got.says, got.capacity) == (IN, wanted)
        else:
            assert (got.says, got.capacity) == (HOLD, current)
        said[got.says] += 1
    assert min(said.values()) > CASES // 20


@pytest.mark.parametrize(
    ("values", "says", "capacity"),
    [
        ([50, 60, 60], OUT, 12),
        ([50, 60, 90], OUT, 12),
        ([50, 90, 60], OUT, 12),
        ([90, 90, 50], HOLD, 10),
        ([50, 50, 90], HOLD, 10),
        ([60, None, 60], OUT, 12),
        ([60, 60, None], OUT, 12),
        ([60, 60, None, None], HOLD, 10),
        ([60], HOLD, 10),
        ([], HOLD, 10),
    ],
)
def test_out_after_two_that_are_above_by_the_lower(values: list[float | None], says: str, capacity: int) -> None:
    points = [None if value is None else Datapoint(value, 10) for value in values]
    got = vote("cpu", POLICY, points, 10, 1)
    assert (got.says, got.capacity) == (says, capacity)


def test_in_only_after_fifteen_that_are_all_there_and_all_low() -> None:
    low = [Datapoint(20.0, 10)] * IN_POINTS
    assert vote("cpu", POLICY, low, 10, 1)[1:3] == (IN, 4)
    assert vote("cpu", POLICY, low[1:], 10, 1).says == HOLD
    for number in range(IN_POINTS):
        assert vote("cpu", POLICY, [*low[:number], None, *low[number + 1 :]], 10, 1).says == HOLD
        near = [*low[:number], Datapoint(45.0, 10), *low[number + 1 :]]
        assert vote("cpu", POLICY, near, 10, 1).says == HOLD


def test_in_goes_to_the_largest_that_any_datapoint_asks_for() -> None:
    points = [Datapoint(5.0, 10)] * (IN_POINTS - 2) + [Datapoint(40.0, 10), Datapoint(5.0, 10)]
    assert vote("cpu", POLICY, points, 10, 1)[1:3] == (IN, 8)


def test_what_does_not_run_yet_is_not_asked_for_twice() -> None:
    """Ten of twenty run, at twice the target: twenty are enough."""
    assert vote("cpu", POLICY, [Datapoint(100.0, 10)] * 2, 20, 1).says == HOLD
    assert vote("cpu", POLICY, [Datapoint(110.0, 10)] * 2, 20, 1)[1:3] == (OUT, 22)


def test_tasks_that_do_not_run_are_not_taken_for_idle() -> None:
    """Two of ten run, idle: the eight that are missing may be what is needed."""
    assert vote("cpu", POLICY, [Datapoint(1.0, 2)] * IN_POINTS, 10, 1)[1:3] == (IN, 9)


def test_scale_in_disabled_is_not_asked() -> None:
    policy = TargetTracking(target=50.0, predefined=CPU, disable_scale_in=True)
    assert vote("cpu", policy, [Datapoint(1.0, 10)] * IN_POINTS, 10, 1).says == ABSTAIN
    assert vote("cpu", policy, [Datapoint(60.0, 10)] * OUT_POINTS, 10, 1).says == OUT


@pytest.mark.parametrize(("minimum", "added"), [(0, 1), (3, 3)])
def test_from_zero_on_the_first_datapoint(minimum: int, added: int) -> None:
    policy = TargetTracking(target=100.0)
    assert vote("queue", policy, [], 0, minimum).says == HOLD
    assert vote("queue", policy, [Datapoint(0.0, 0)] * IN_POINTS, 0, minimum).says == HOLD
    assert vote("queue", policy, [Datapoint(5_000.0, 0)], 0, minimum)[1:3] == (OUT, added)


def test_to_zero_by_what_is_pushed_but_never_by_what_the_tasks_measure() -> None:
    idle = [Datapoint(0.0, 1)] * IN_POINTS
    assert vote("queue", TargetTracking(target=100.0), idle, 1, 0)[1:3] == (IN, 0)
    assert vote("cpu", POLICY, idle, 1, 0).says == HOLD
    assert vote("cpu", POLICY, [Datapoint(0.0, 3)] * IN_POINTS, 3, 0)[1:3] == (IN, 1)
