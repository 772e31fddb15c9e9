"""Expressions over metrics."""

import pytest
from shoal_scheduler.control.autoscaling.metric_math import CHARACTERS_MAX, MetricMathError, parsed

VALUES = {"m1": 120.0, "m2": 4.0, "zero": 0.0, "gone": None, "huge": 1e300}


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("m1 / m2", 30.0),
        ("m1 - m2 - 1", 115.0),
        ("m1 - (m2 - 1)", 117.0),
        ("1 + m2 * 2", 9.0),
        ("-m2 + .5", -3.5),
        ("m1 / MAX([zero, 1])", 120.0),
        ("MIN([m1, m2, 7])", 4.0),
        ("SUM([m1, m2]) + AVG([m1, m2])", 186.0),
        ("IF(m2 > 3, m1, m2)", 120.0),
        ("IF(m2 != 4, m1, m2)", 4.0),
        ("IF(zero > 0, m1 / zero, m1)", 120.0),
        ("m2 >= 4", 1.0),
        ("CEIL(m2 / 3) + FLOOR(m2 / 3) + ABS(-m2)", 7.0),
        ("m1 / zero", None),
        ("gone + 1", None),
        ("unknown", None),
        ("IF(m2 > 3, m1, gone)", 120.0),
        ("IF(gone > 3, m1, m2)", None),
        ("MAX([m1, gone])", None),
        ("CEIL(huge * huge - huge * huge)", None),
        ("huge * huge", None),
    ],
)
def test_the_value_of_one_period(text: str, want: float | None) -> None:
    assert parsed(text).value(VALUES) == want


def test_the_names_that_it_uses() -> None:
    assert parsed("IF(m1 > 1, m1 / MAX([m2, 1]), m1)").names == {"m1", "m2"}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("m1 +", "at its end"),
        ("m1 $ 2", "at column 4"),
        ("FILL(m1, 0)", "FILL is not taken"),
        ("RATE(m1)", "none of the functions"),
        ("MAX(m1)", "takes a list"),
        ("IF(m1)", "takes a condition"),
        ("ABS([m1])", "takes one value"),
        ("M1", "cannot be read"),
        ("1" * (CHARACTERS_MAX + 1), "at most"),
        ("", "at its end"),
    ],
)
def test_what_cannot_be_read_is_told(text: str, why: str) -> None:
    with pytest.raises(MetricMathError, match=why):
        parsed(text)


@pytest.mark.parametrize("opening", ["(", "-(", "ABS(", "IF(1,1,"])
def test_the_deepest_nesting_is_read_and_worked_out(opening: str) -> None:
    depth = (CHARACTERS_MAX - 1) // (len(opening) + 1)
    assert parsed(opening * depth + "1" + ")" * depth).value({}) is not None
