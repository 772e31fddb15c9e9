"""How fast agents may come back: when all return at once, each is told when its turn is.

A token bucket whose tokens are promised by name: who is sent away has a place in the line, and who comes back for it
is let in, however many others came meanwhile.
"""

from shoal_scheduler.engine import Unavailable

SESSIONS_PER_SECOND = 100.0
BURST = 50

# Who has to wait no longer than this waits at the door.
WAIT_SECONDS_MAX = 1.0

# A place in the line that nobody comes back for.
PROMISE_SECONDS = 30.0


class ComeLater(Unavailable):
    """Too many come at once; `after_seconds` says when to come again."""

    def __init__(self, after_seconds: float) -> None:
        super().__init__(f"many agents come back at once: come again in {after_seconds:.1f} s")
        self.after_seconds = after_seconds


class Admission:
    """Times in seconds of one clock that never goes back."""

    def __init__(self, sessions_per_second: float = SESSIONS_PER_SECOND, burst: int = BURST) -> None:
        self._spacing = 1 / sessions_per_second
        self._slack = (burst - 1) * self._spacing
        self._next = float("-inf")
        self._promised: dict[str, float] = {}

    def wait_seconds(self, instance: str, now: float) -> float:
        """How long it is to wait before it is let in. Raises ComeLater if that is too long to wait for."""
        promised = self._promised.pop(instance, None)
        if promised is None or promised < now - PROMISE_SECONDS:
            promised = self._next = max(self._next + self._spacing, now - self._slack)
        wait = max(0.0, promised - now)
        if wait > WAIT_SECONDS_MAX:
            self._promised[instance] = promised
            self._forget(now)
            raise ComeLater(wait)
        return wait

    def _forget(self, now: float) -> None:
        """In the order in which they were promised: those that nobody came for."""
        while self._promised:
            oldest = next(iter(self._promised))
            if self._promised[oldest] >= now - PROMISE_SECONDS:
                return
            del self._promised[oldest]
