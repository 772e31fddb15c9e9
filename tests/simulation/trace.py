"""What happened in a run, line by line: a hash of it always, the lines themselves for whoever wants to read them."""

import hashlib
from collections import deque

from tests.simulation.clock import Clock

LAST_LINES = 40


class Trace:
    def __init__(self, clock: Clock, keep: bool) -> None:
        self._clock = clock
        self._hash = hashlib.blake2b(digest_size=16)
        self.lines: deque[str] = deque(maxlen=None if keep else LAST_LINES)

    def say(self, who: str, what: str) -> None:
        line = f"{self._clock.now:10.4f}  {who:<12}  {what}"
        self._hash.update(line.encode())
        self.lines.append(line)

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()
