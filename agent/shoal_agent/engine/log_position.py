"""Places in a container's output, and going on from one. Pure.

A line's place is its time in nanoseconds and, since several lines may share one, its number among them. The same
output read again, from the engine or from the log store, has the same places.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from shoal_agent.engine.port import LogLine

# stdout and stderr may be kept in an order other than that of their times, but not by more than this.
SLACK_NANOS = 1_000_000_000

# What shoal itself says about a log, in place of "stdout" or "stderr".
NOTICE = "notice"

_TEXT = re.compile(r"([0-9]{1,19})\.([0-9]{1,9})")


@dataclass(frozen=True, slots=True)
class Position:
    """
    >>> str(Position(1795439221704832546, 1))
    '1795439221704832546.1'
    """

    moment: int
    number: int

    def __str__(self) -> str:
        return f"{self.moment}.{self.number}"

    @property
    def since(self) -> float:
        """Seconds since the epoch from which on the log is to be read to go on from here."""
        return max(0, self.moment - SLACK_NANOS) / 1e9


def parse_position(text: str) -> Position | None:
    """None if it is not one."""
    found = _TEXT.fullmatch(text)
    return Position(int(found[1]), int(found[2])) if found else None


def following(before: Position | None, line: LogLine) -> Position:
    """The place of a line that comes right after another one's, or first."""
    same = before is not None and before.moment == line.moment
    return Position(line.moment, before.number + 1 if before is not None and same else 1)


@dataclass(slots=True)
class Resumption:
    """Takes lines from `after.since` on, and gives those that come after `after`; before them, if `after` is not
    there any more, one that says what is missing."""

    after: Position
    _at: Position | None = None
    _found: bool = False
    _held: list[LogLine] = field(default_factory=list)

    def feed(self, line: LogLine) -> Iterator[LogLine]:
        if self._found:
            yield line
            return
        self._at = following(self._at, line)
        if self._at == self.after:
            self._found = True
            self._held.clear()
        elif line.moment > self.after.moment + SLACK_NANOS:
            yield from self._gap(line)
        elif line.moment > self.after.moment:
            self._held.append(line)

    def flush(self) -> Iterator[LogLine]:
        """At the end of what there is."""
        if not self._found and self._held:
            yield from self._gap()

    def _gap(self, *more: LogLine) -> Iterator[LogLine]:
        self._found = True
        lines, self._held = [*self._held, *more], []
        until = lines[0].moment
        seconds = (until - self.after.moment) / 1e9
        yield notice(f"output of {seconds:.1f} s is missing here: the instance did not keep that much", until)
        yield from lines


def notice(words: str, moment: int) -> LogLine:
    return LogLine(NOTICE, moment // 1_000_000, f"[shoal] {words}".encode(), moment)
