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
