"""What is missing at the beginning of a container's output, as far as it can be known. Pure.

The engine keeps a bounded number of files of a bounded size for a container, and drops the oldest without counting.
What it dropped is told by its time, and estimated from the rate of what is left.
"""

from dataclasses import dataclass

from shoal_agent.engine.lines import PART_BYTES, stamps
from shoal_agent.engine.log_position import notice
from shoal_agent.engine.port import LogLine

# Of three files, the engine holds at least two when it has dropped one; on disk a line takes up to twice its bytes.
_FULL_SHARE = 0.3
FILES = 3

# Enough to have a whole stamp in it.
_HEAD_BYTES = 64
_TAIL_BYTES = 2 * PART_BYTES

# A program may well be silent for so long after its start.
SILENCE_NANOS_MAX = 300_000_000


@dataclass(frozen=True, slots=True)
class Held:
    """What of a container's output is there: its bytes, and the times of its first and last line (nanoseconds)."""

    size_bytes: int = 0
    first: int = 0
    last: int = 0


@dataclass(slots=True)
class Measure:
    """Fed all of a stream that lines.py reads. Only its two ends are looked at, so it costs nothing."""

    size_bytes: int = 0
    _head: bytes = b""
    _tail: bytes = b""

    def feed(self, chunk: bytes) -> None:
        self.size_bytes += len(chunk)
        if len(self._head) < _HEAD_BYTES:
            self._head += chunk[:_HEAD_BYTES]
        self._tail = chunk[-_TAIL_BYTES:] if len(chunk) >= _TAIL_BYTES else (self._tail + chunk)[-_TAIL_BYTES:]

    @property
    def held(self) -> Held:
        times = [*stamps(self._head)[:1], *stamps(self._tail)[-1:]]
        return Held(self.size_bytes, times[0], times[-1]) if times else Held(self.size_bytes)


def missing_at_the_beginning(held: Held, started_at: int | None, bytes_max: int | None) -> LogLine | None:
    """The line that says so, or None. `started_at` in milliseconds; `bytes_max`: what the engine keeps of a
    container at most."""
    if started_at is None or bytes_max is None or held.size_bytes < _FULL_SHARE * bytes_max:
        return None
    silent = held.first - started_at * 1_000_000
    dropped_bytes = held.size_bytes * silent / max(1, held.last - held.first)
    if silent < SILENCE_NANOS_MAX or dropped_bytes < 0.5 * _FULL_SHARE * bytes_max / FILES:
        return None
    words = f"output of the first {silent / 1e9:.1f} s is missing here, about {_shown(dropped_bytes)}"
    return notice(f"{words}: the instance keeps the last {_shown(bytes_max)} of a container", held.first)


def _shown(size_bytes: float) -> str:
    mib = size_bytes / 1024**2
    return f"{mib / 1024:.1f} GiB" if mib >= 1024 else f"{mib:.0f} MiB"
