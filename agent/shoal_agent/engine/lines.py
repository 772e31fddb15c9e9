"""The engine's log stream as lines. Pure: bytes in, lines out.

Without a terminal the stream is frames: one byte (1 stdout, 2 stderr), three of nothing, four of length, then so
many bytes. With a terminal it is plain. Each line begins with its time, which the caller asked for. A line longer
than PART_BYTES comes from the engine in parts of that size, each with a time of its own: it is one line again here,
with the time of its first part, up to LINE_BYTES_MAX.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache

from shoal_agent.engine.answers import milliseconds
from shoal_agent.engine.port import LogLine

HEADER_BYTES = 8
PART_BYTES = 16 * 1024
LINE_BYTES_MAX = 256 * 1024
_STREAMS = {1: "stdout", 2: "stderr"}
_STAMP = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}(?:Z|[+-]\d\d:\d\d) ")


@dataclass(slots=True)
class LineReader:
    """Feed it what arrives; it gives what is complete. One reader for one stream."""

    tty: bool
    _raw: bytearray = field(default_factory=bytearray)
    _open: dict[str, bytearray] = field(default_factory=dict)

    def feed(self, chunk: bytes) -> Iterator[LogLine]:
        self._raw += chunk
        if self.tty:
            yield from self._plain()
            return
        at, size = 0, len(self._raw)
        while size - at >= HEADER_BYTES:
            begin = at + HEADER_BYTES
            end = begin + int.from_bytes(self._raw[at + 4 : begin], "big")
            if size < end:
                break
            stream, text = _STREAMS.get(self._raw[at], "stdout"), bytes(self._raw[begin:end])
            at = end
            yield from self._frame(stream, text)
        del self._raw[:at]

    def flush(self) -> Iterator[LogLine]:
        """What is left without a line end."""
        if self.tty and self._raw:
            yield _log_line("stdout", _joined(bytes(self._raw)))
        self._raw.clear()
        for stream, rest in self._open.items():
            yield _log_line(stream, bytes(rest))
        self._open.clear()

    def _frame(self, stream: str, text: bytes) -> Iterator[LogLine]:
        """Whole lines, or a part of one; what is shorter than a part and has no end is the last of its stream."""
        *whole, rest = text.split(b"\n")
        for line in whole:
            yield _log_line(stream, self._continued(stream, line))
        if not rest:
            return
        line = self._continued(stream, rest)
        if len(rest) < PART_BYTES or len(line) > LINE_BYTES_MAX:
            yield _log_line(stream, line)
        else:
            self._open[stream] = bytearray(line)

    def _continued(self, stream: str, text: bytes) -> bytes:
        before = self._open.pop(stream, None)
        return text if before is None else bytes(before + _without_stamp(text))

    def _plain(self) -> Iterator[LogLine]:
        *whole, rest = self._raw.split(b"\n")
        self._raw = rest
        for line in whole:
            yield _log_line("stdout", _joined(bytes(line)))
        if len(rest) > LINE_BYTES_MAX:
            yield from self.flush()


def stamps(raw: bytes) -> list[int]:
    """What looks like lines' times in a piece of a stream, in nanoseconds."""
    found = (_nanoseconds(stamp.rstrip()) for stamp in _STAMP.findall(raw))
    return [nanos for nanos in found if nanos is not None]


def _without_stamp(text: bytes) -> bytes:
    stamp = _STAMP.match(text)
    return text[stamp.end() :] if stamp else text


def _joined(text: bytes) -> bytes:
    """A terminal's line without the times of its further parts, which nothing sets apart but their places."""
    first = _STAMP.match(text)
    at = first.end() + PART_BYTES if first else len(text)
    while (stamp := _STAMP.match(text, at)) is not None:
        text = text[:at] + text[stamp.end() :]
        at += PART_BYTES
    return text


def _log_line(stream: str, raw: bytes) -> LogLine:
    stamp, separator, text = raw.partition(b" ")
    nanos = _nanoseconds(stamp) if separator else None
    if nanos is None:
        return LogLine(stream, 0, raw.rstrip(b"\r"))
    return LogLine(stream, nanos // 1_000_000, text.rstrip(b"\r"), nanos)


def _nanoseconds(stamp: bytes) -> int | None:
    """The engine pads the fraction to nine digits; a zone other than UTC is read, too, but slower."""
    if len(stamp) == 30 and stamp.endswith(b"Z") and stamp[20:29].isdigit():
        second = _second(stamp[:19])
        return None if second is None else second * 1_000_000_000 + int(stamp[20:29])
    millis = milliseconds(stamp.decode("ascii", "replace"))
    return None if millis is None else millis * 1_000_000


@lru_cache(maxsize=256)
def _second(stamp: bytes) -> int | None:
    """Many lines share one."""
    try:
        return int(datetime.fromisoformat(stamp.decode("ascii")).replace(tzinfo=UTC).timestamp())
    except ValueError:
        return None
