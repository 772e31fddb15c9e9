"""The engine's log stream as lines. Pure: bytes in, lines out.

Without a terminal the stream is frames: one byte (1 stdout, 2 stderr), three of nothing, four of length, then so
many bytes. With a terminal it is plain. Each line begins with its time, which the caller asked for. A line the
engine had to split comes in several frames, each with a time of its own: they are lines of their own here too.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from shoal_agent.answers import milliseconds
from shoal_agent.engine import LogLine

HEADER_BYTES = 8
LINE_BYTES_MAX = 256 * 1024
_STREAMS = {1: "stdout", 2: "stderr"}


@dataclass(slots=True)
class LineReader:
    """Feed it what arrives; it gives what is complete. One reader for one stream."""

    tty: bool
    _raw: bytearray = field(default_factory=bytearray)
    _open: dict[str, bytearray] = field(default_factory=dict)

    def feed(self, chunk: bytes) -> Iterator[LogLine]:
        if self.tty:
            yield from self._lines("stdout", chunk)
            return
        self._raw += chunk
        while len(self._raw) >= HEADER_BYTES:
            end = HEADER_BYTES + int.from_bytes(self._raw[4:HEADER_BYTES], "big")
            if len(self._raw) < end:
                return
            stream, text = _STREAMS.get(self._raw[0], "stdout"), bytes(self._raw[HEADER_BYTES:end])
            del self._raw[:end]
            yield from self._lines(stream, text)
            yield from self.flush(stream)  # a frame holds whole lines, but for the last of a stream

    def flush(self, stream: str = "stdout") -> Iterator[LogLine]:
        """What is left without a line end."""
        rest = self._open.pop(stream, bytearray())
        if rest:
            yield _log_line(stream, bytes(rest))

    def _lines(self, stream: str, chunk: bytes) -> Iterator[LogLine]:
        waiting = self._open.setdefault(stream, bytearray())
        waiting += chunk
        while (end := waiting.find(b"\n")) >= 0:
            yield _log_line(stream, bytes(waiting[:end]))
            del waiting[: end + 1]
        if len(waiting) > LINE_BYTES_MAX:
            yield from self.flush(stream)


def _log_line(stream: str, raw: bytes) -> LogLine:
    stamp, separator, text = raw.partition(b" ")
    at = milliseconds(stamp.decode("ascii", "replace")) if separator else None
    if at is None:
        return LogLine(stream, 0, raw.rstrip(b"\r"))
    return LogLine(stream, at, text.rstrip(b"\r"))
