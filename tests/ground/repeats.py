"""How often a test of a fault is run: chance decides when it strikes."""

import pytest

# Once in every run, ten times in the long one: for `pytest.mark.parametrize("repeat", TEN)`.
TEN = [0, *(pytest.param(number, marks=pytest.mark.slow) for number in range(1, 10))]


def promised(seconds: float, repeat: int) -> float:
    """What the long run holds to; in the short one, beside other work, twice that."""
    return seconds if repeat else 2 * seconds
