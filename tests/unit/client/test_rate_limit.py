"""How often somebody may ask."""

import doctest

from shoal import rate_limit
from shoal.rate_limit import RateLimit


def test_examples() -> None:
    assert doctest.testmod(rate_limit).failed == 0


def test_ten_thousand_guesses_of_one_address() -> None:
    """A hundred a second, for a hundred seconds: one a second is heard beside the first few."""
    limit = RateLimit(rate=1, burst=20, askers_max=10)
    heard = sum(limit.bucket("a", at / 100).take(at / 100) for at in range(10_000))
    assert 118 <= heard <= 120
    assert limit.bucket("b", 100.0).take(100.0)


def test_what_was_given_back_is_not_counted() -> None:
    bucket = RateLimit(rate=0, burst=1, askers_max=1).bucket("a", 0.0)
    for _ in range(3):
        assert bucket.take(0.0)
        bucket.give_back()
