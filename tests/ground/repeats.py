"""How often a test of a fault is run: chance decides when it strikes."""

import pytest

# Once in every run, ten times in the long one: for `pytest.mark.parametrize("repeat", TEN)`.
TEN = [0, *(pytest.param(number, marks=pytest.mark.slow) for number in range(1, 10))]
