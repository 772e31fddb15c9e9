"""Parts of a content: the ranges of pulls (RFC 9110, 14) and of uploads ("Pushing a blob in chunks")."""

import re
from dataclasses import dataclass

from shoal_registry.errors import Refused

_PULL = re.compile(r"bytes=\s*([0-9]{0,19})-([0-9]{0,19})\s*", re.IGNORECASE)
_PUSH = re.compile(r"(?:bytes[ =])?([0-9]{1,19})-([0-9]{1,19})(?:/(?:\*|[0-9]{1,19}))?")


@dataclass(frozen=True, slots=True)
class Span:
    """`length` bytes from `start` on."""

    start: int
    length: int

    @property
    def last(self) -> int:
        return self.start + self.length - 1


def asked(header: str | None, size: int) -> Span | None:
    """The part that a Range header asks for; None for the whole, as also for what is no range of one part.

    Raises Refused if no byte of the content lies in it, as also if it runs backwards.
    """
    match = _PULL.fullmatch(header or "")
    first, last = match.groups() if match else ("", "")
    if not first and not last:
        return None
    if not first:
        start, end = max(0, size - int(last)), size - 1
    else:
        start, end = int(first), min(int(last or size), size - 1)
    if start > end:
        raise Refused("RANGE_INVALID", f"The content has {size} bytes.", headers={"Content-Range": f"bytes */{size}"})
    return Span(start, end - start + 1)


def sent(header: str | None) -> Span | None:
    """What a Content-Range header says of a chunk; both ends are inclusive. Raises Refused."""
    if header is None:
        return None
    match = _PUSH.fullmatch(header.strip())
    if match is None:
        raise Refused("RANGE_INVALID", "Write Content-Range as in 0-1023: both ends in bytes, and inclusive.")
    first, last = map(int, match.groups())
    if last < first:
        raise Refused("RANGE_INVALID", "The Content-Range ends before it begins.")
    return Span(first, last - first + 1)


def is_unchanged(if_none_match: str | None, tag: str) -> bool:
    """Whether the caller has the content with this entity tag already."""
    if if_none_match is None:
        return False
    known = (part.strip().removeprefix("W/") for part in if_none_match.split(","))
    return any(part in ("*", tag) for part in known)
