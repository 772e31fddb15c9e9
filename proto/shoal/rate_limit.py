"""How often somebody may ask: a token bucket. Pure, the clock is an argument."""

from dataclasses import dataclass


@dataclass(slots=True)
class TokenBucket:
    """`rate` tokens a second flow in, up to `burst`; it begins full. `now` in seconds of a clock that never goes back.

    >>> bucket = TokenBucket(rate=1, burst=2, at=0.0)
    >>> [bucket.take(now) for now in (0.0, 0.0, 0.0, 0.9, 1.0)]
    [True, True, False, False, True]
    """

    rate: float
    burst: float
    at: float
    _spent: float = 0.0

    def take(self, now: float) -> bool:
        self._spent = max(0.0, self._spent - self.rate * (now - self.at))
        self.at = now
        if self._spent + 1 > self.burst:
            return False
        self._spent += 1
        return True

    def give_back(self) -> None:
        """The last token taken was not to be counted."""
        self._spent = max(0.0, self._spent - 1)


class RateLimit:
    """A bucket for each of many askers. The one that asked longest ago is forgotten when there are `askers_max`.

    >>> limit = RateLimit(rate=1, burst=1, askers_max=2)
    >>> [limit.bucket(asker, 0.0).take(0.0) for asker in "aabab"]
    [True, False, True, False, False]
    >>> limit.bucket("c", 0.0).take(0.0), limit.bucket("a", 0.0).take(0.0)
    (True, True)
    """

    def __init__(self, rate: float, burst: float, askers_max: int) -> None:
        self._rate, self._burst, self._askers_max = rate, burst, askers_max
        self._buckets: dict[str, TokenBucket] = {}

    def bucket(self, asker: str, now: float) -> TokenBucket:
        found = self._buckets.pop(asker, None) or TokenBucket(self._rate, self._burst, now)
        self._buckets[asker] = found
        if len(self._buckets) > self._askers_max:
            del self._buckets[next(iter(self._buckets))]
        return found
