"""A step to the tenfold and days in virtual time, by the scheduler's own decision."""

from random import Random

import pytest

from tests.load.autoscaling import EVALUATIONS_MAX, OVERSHOOT_MAX, figures_of, recorded_day, run, step, synthetic_day
from tests.load.swf import DATA


@pytest.mark.parametrize("offset_seconds", range(0, 60, 10))
@pytest.mark.parametrize("start_seconds", [10, 60, 180])
def test_a_step_to_the_tenfold_settles(offset_seconds: int, start_seconds: int) -> None:
    found = step(offset_seconds, start_seconds)
    assert found.evaluations <= EVALUATIONS_MAX
    assert found.overshoot <= OVERSHOOT_MAX


def test_a_week_of_a_noisy_sine_does_not_flap() -> None:
    found = figures_of(run(synthetic_day(Random(1)) * 7))
    assert found["flaps"] == found["undone_whatever_the_load"] == 0
    assert found["scale_ins"] >= 7, "it follows the load"


def test_a_week_of_a_recorded_day_does_not_flap() -> None:
    if not DATA.is_file():
        pytest.skip(f"{DATA} is not there")
    found = figures_of(run(recorded_day(DATA) * 7))
    assert found["flaps"] == 0
    assert found["scale_ins"] >= 7, "it follows the load"
