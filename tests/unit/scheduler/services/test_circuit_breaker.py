"""How many failed tasks end a deployment."""

import pytest
from shoal_scheduler.control.services.circuit_breaker import is_tripped, threshold
from shoal_scheduler.model.service import CircuitBreaker


# The first four are those of ECS's documentation.
@pytest.mark.parametrize(
    ("kind", "value", "desired", "expected"),
    [
        ("BOUNDED_PERCENT", 50, 1, 3),
        ("BOUNDED_PERCENT", 50, 25, 13),
        ("BOUNDED_PERCENT", 50, 400, 200),
        ("BOUNDED_PERCENT", 50, 800, 200),
        ("BOUNDED_PERCENT", 50, 0, 3),
        ("BOUNDED_PERCENT", 100, 7, 7),
        ("UNBOUNDED_PERCENT", 50, 800, 400),
        ("UNBOUNDED_PERCENT", 50, 3, 2),
        ("UNBOUNDED_PERCENT", 1, 3, 1),
        ("UNBOUNDED_PERCENT", 50, 0, 1),
        ("COUNT", 5, 800, 5),
        ("COUNT", 1, 0, 1),
    ],
)
def test_the_threshold(kind: str, value: int, desired: int, expected: int) -> None:
    breaker = CircuitBreaker(enable=True, threshold_type=kind, threshold_value=value)
    assert threshold(breaker, desired) == expected
    assert is_tripped(breaker, expected, desired)
    assert not is_tripped(breaker, expected - 1, desired)


def test_one_that_is_off_never_trips() -> None:
    assert not is_tripped(CircuitBreaker(), 1_000, 1)


def test_who_cannot_tell_the_digests_has_three_tries() -> None:
    breaker = CircuitBreaker(enable=True, threshold_type="COUNT", threshold_value=10)
    assert is_tripped(breaker, 3, 4, is_resolved=False)
    assert not is_tripped(breaker, 2, 4, is_resolved=False)
    assert not is_tripped(breaker, 3, 4)
