"""Step scaling against the published rules written out plainly."""

from random import Random

import pytest
from shoal_scheduler.control.autoscaling.step_scaling import adjusted, matching, vote
from shoal_scheduler.control.autoscaling.votes import ABSTAIN, HOLD, IN, OUT, Breach
from shoal_scheduler.model.scaling import ADJUSTMENT_TYPES, CHANGE, EXACT, PERCENT, StepAdjustment, StepScaling

CASES = 1_000
OUT_STEPS = (StepAdjustment(0.0, 10.0, 1), StepAdjustment(10.0, 20.0, 2), StepAdjustment(20.0, None, 5))
IN_STEPS = (StepAdjustment(-10.0, 0.0, -1), StepAdjustment(None, -10.0, -3))


def _plain(kind: str, adjustment: int, count: int, least: int) -> int:
    """Percents: above 1 rounded down, between 0 and 1 rounded to 1, and the same below 0."""
    if kind == EXACT:
        return adjustment
    if kind == CHANGE:
        return max(0, count + adjustment)
    hundredths = count * abs(adjustment)
    size = 0 if not hundredths else max(1, hundredths // 100)
    size = max(size, least) if adjustment else 0
    return max(0, count + size if adjustment > 0 else count - size)


def test_a_thousand_random_adjustments() -> None:
    chance = Random(7)
    for _ in range(CASES):
        kind, count, least = chance.choice(ADJUSTMENT_TYPES), chance.randint(0, 300), chance.randint(0, 4)
        adjustment = chance.randint(0, 400) if kind == EXACT else chance.randint(-100, 300)
        policy = StepScaling(adjustment_type=kind, steps=OUT_STEPS, min_magnitude=least)
        assert adjusted(policy, adjustment, count) == _plain(kind, adjustment, count, least)


@pytest.mark.parametrize(("beyond", "adjustment"), [(0.0, 1), (9.99, 1), (10.0, 2), (20.0, 5), (1e9, 5), (-0.01, None)])
def test_above_the_threshold_the_lower_bound_belongs_to_a_step(beyond: float, adjustment: int | None) -> None:
    step = matching(OUT_STEPS, beyond, is_upper=True)
    assert (step.adjustment if step else None) == adjustment


@pytest.mark.parametrize(("beyond", "adjustment"), [(0.0, -1), (-9.99, -1), (-10.0, -3), (-1e9, -3), (0.01, None)])
def test_below_the_threshold_the_upper_bound_belongs_to_a_step(beyond: float, adjustment: int | None) -> None:
    step = matching(IN_STEPS, beyond, is_upper=False)
    assert (step.adjustment if step else None) == adjustment


@pytest.mark.parametrize(
    ("count", "percent", "after"), [(10, 127, 22), (2, 33, 3), (1, -58, 0), (10, -67, 4), (0, 50, 0)]
)
def test_percents_are_rounded_towards_zero_but_never_to_it(count: int, percent: int, after: int) -> None:
    assert adjusted(StepScaling(adjustment_type=PERCENT, steps=OUT_STEPS), percent, count) == after


def test_the_least_magnitude() -> None:
    policy = StepScaling(adjustment_type=PERCENT, steps=OUT_STEPS, min_magnitude=2)
    assert adjusted(policy, 25, 4) == 6
    assert adjusted(policy, -25, 4) == 2


def _above(value: float | None, *, alarming: bool = True, known: bool = True, name: str = "high") -> Breach:
    return Breach(name, alarming, known, value, 60.0, True)


POLICY = StepScaling(adjustment_type=CHANGE, steps=OUT_STEPS)


def test_the_largest_of_its_alarms() -> None:
    assert vote("steps", POLICY, [_above(61.0), _above(85.0, name="higher")], 4, 4)[1:3] == (OUT, 9)


def test_what_was_added_in_the_cooldown_counts() -> None:
    """2 were added to 4 and 1 more is asked for now: nothing; 5 now: to 9, not to 11."""
    assert vote("steps", POLICY, [_above(61.0)], 6, 4)[1:3] == (HOLD, 6)
    assert vote("steps", POLICY, [_above(85.0)], 6, 4)[1:3] == (OUT, 9)


def test_without_an_alarm_it_is_not_asked_and_without_data_it_holds() -> None:
    assert vote("steps", POLICY, [], 4, 4).says == ABSTAIN
    assert vote("steps", POLICY, [_above(50.0, alarming=False)], 4, 4).says == ABSTAIN
    assert vote("steps", POLICY, [_above(None, alarming=False, known=False)], 4, 4).says == HOLD


def test_an_alarm_without_data_keeps_another_from_scaling_in() -> None:
    policy = StepScaling(adjustment_type=CHANGE, steps=IN_STEPS)
    low = Breach("low", True, True, 10.0, 20.0, False)
    unknown = Breach("other", False, False, None, 20.0, False)
    assert vote("steps", policy, [low], 5, 5)[1:3] == (IN, 2)
    assert vote("steps", policy, [low, unknown], 5, 5).says == HOLD


def test_an_exact_capacity_goes_either_way() -> None:
    policy = StepScaling(adjustment_type=EXACT, steps=(StepAdjustment(0.0, None, 4),))
    assert vote("steps", policy, [_above(61.0)], 2, 2)[1:3] == (OUT, 4)
    assert vote("steps", policy, [_above(61.0)], 9, 9)[1:3] == (IN, 4)
    assert vote("steps", policy, [_above(61.0)], 4, 4).says == HOLD
