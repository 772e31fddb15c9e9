"""Whether who follows a container's output is about to lose some of it. Pure.

The engine lets a follower who reads too slowly skip what it has rotated away meanwhile, and says nothing. That takes
more than one file's worth of output written after the line that is read: how much that is, is reckoned from how long
ago the line was written and how fast the container wrote it. Who notices in time reads what is there instead, and
follows again from its end.
"""

from dataclasses import dataclass

from shoal_agent.engine.port import LogLine

# The rate is that over at least so much: it is to follow a sudden burst at once.
_WINDOW_BYTES = 64 * 1024
_LINE_OVERHEAD_BYTES = 80

# Of a file: the rest is for what is on its way.
_SHARE_MAX = 0.4


@dataclass(slots=True)
class Pace:
    """`file_bytes`: the size at which the engine rotates; None if it never does."""

    file_bytes: float | None
    _rate: float = 0.0  # bytes per nanosecond
    _begin: int | None = None
    _bytes: int = 0

    def note(self, line: LogLine) -> None:
        """Lines are given one after the other, without a gap."""
        if self._begin is None or line.moment < self._begin:
            self._begin, self._bytes = line.moment, 0
        self._bytes += len(line.text) + _LINE_OVERHEAD_BYTES
        if self._bytes >= _WINDOW_BYTES:
            self._rate = self._bytes / max(1, line.moment - self._begin)
            self._begin = None

    def too_much(self, nanos: int) -> bool:
        """True if the container, going on like this, writes more in that time than a follower may lag behind."""
        return self.file_bytes is not None and self._rate * nanos > _SHARE_MAX * self.file_bytes
