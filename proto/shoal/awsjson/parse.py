"""Text to document, safely: whatever the text, an answer within bounds of time and memory."""

import json
import math
import re
from collections.abc import Iterator
from typing import Final

from shoal.problems import Problem, member

SIZE_BYTES_MAX: Final = 1024 * 1024
DEPTH_MAX: Final = 64
VALUES_MAX: Final = 100_000
_DIGITS_MAX: Final = 20  # of a 64-bit integer and its sign
_FLOAT_CHARACTERS_MAX: Final = 64
_PROBLEMS_MAX: Final = 50
HALF_A_PAIR: Final = "holds half of a surrogate pair; write the character itself"

# An unterminated string runs to the end, so that the scan is linear whatever it meets.
_STRING = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_NOT_A_BRACKET = re.compile(r"[^\[\]{}]+")
_ESCAPED_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


class BadDocument(ValueError):  # noqa: N818
    """A document that was refused. `problems` has at least one entry, each with the path of its field."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems: tuple[Problem, ...] = problems


class _Refused:
    """Stands in the document where JSON had something this codec does not take, until its path is known."""

    __slots__ = ("message",)

    def __init__(self, message: str) -> None:
        self.message = message


def loads(text: str | bytes, *, size_bytes_max: int = SIZE_BYTES_MAX, depth_max: int = DEPTH_MAX) -> object:
    """The document of a file or a body.

    Raises BadDocument for: other encodings than UTF-8 (and its byte order mark), more than `size_bytes_max`,
    deeper than `depth_max`, more than 100,000 values, a key that comes twice, NaN, Infinity, numbers beyond
    64 bits, halves of surrogate pairs, and whatever is not JSON.
    """
    decoded = _decoded(text, size_bytes_max)
    _check_structure(decoded, depth_max)
    refused: list[_Refused] = []
    document = _parsed(decoded, refused)
    if refused or _ESCAPED_SURROGATE.search(decoded):
        problems = tuple(_refusals(document))[:_PROBLEMS_MAX]
        if problems:
            raise BadDocument(*problems)
    return document


def _decoded(text: str | bytes, size_bytes_max: int) -> str:
    if len(text) > size_bytes_max:
        raise _bad(f"is larger than {size_bytes_max // 1024} KiB; split it or take out what is not needed")
    if isinstance(text, str):
        text = text.encode("utf-8", "surrogatepass")
    if text.startswith(b"\xef\xbb\xbf"):
        raise _bad("starts with a byte order mark; save it as UTF-8 without one")
    if text.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in text[:4]:
        raise _bad("looks like UTF-16 or UTF-32; save it as UTF-8")
    try:
        decoded = text.decode("utf-8")
    except UnicodeDecodeError as error:
        line = text.count(b"\n", 0, error.start) + 1
        raise _bad(f"is not UTF-8: line {line} has the byte 0x{text[error.start]:02x}; save it as UTF-8") from None
    if not decoded.strip():
        raise _bad("is empty; a JSON object was expected")
    return decoded


def _check_structure(text: str, depth_max: int) -> None:
    """Bounds what the parser will be given, before it builds anything."""
    outside_strings = _STRING.sub("", text)
    brackets = _NOT_A_BRACKET.sub("", outside_strings)
    if len(brackets) + outside_strings.count(",") > VALUES_MAX:
        raise _bad(f"has more than {VALUES_MAX} values; split it")
    depth = 0
    for bracket in brackets:
        depth += 1 if bracket in "[{" else -1
        if depth > depth_max:
            raise _bad(f"is nested deeper than {depth_max} levels; no known field is")


def _parsed(text: str, refused: list[_Refused]) -> object:
    def refuse(message: str) -> _Refused:
        refused.append(_Refused(message))
        return refused[-1]

    def whole(digits: str) -> int | _Refused:
        if len(digits) > _DIGITS_MAX:
            return refuse(f"a number of {len(digits)} digits is out of range; numbers have at most 64 bits")
        return int(digits)

    def fraction(digits: str) -> float | _Refused:
        value = float(digits) if len(digits) <= _FLOAT_CHARACTERS_MAX else math.inf
        return value if math.isfinite(value) else refuse(f"the number {digits[:20]} is out of range")

    def constant(word: str) -> _Refused:
        return refuse(f"{word} is not JSON; write a number or leave the field out")

    def members(pairs: list[tuple[str, object]]) -> dict[str, object]:
        document: dict[str, object] = {}
        for key, value in pairs:
            twice = key in document
            document[key] = refuse("is given twice; keep one of them") if twice else value
        return document

    try:
        return json.loads(
            text, parse_int=whole, parse_float=fraction, parse_constant=constant, object_pairs_hook=members
        )
    except json.JSONDecodeError as error:
        raise _bad(f"is not JSON: line {error.lineno} column {error.colno}: {error.msg}") from None


def _refusals(document: object) -> Iterator[Problem]:
    """Every refused value and half of a surrogate pair, with its path. The depth is bounded by now."""
    waiting: list[tuple[str, object]] = [("", document)]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, _Refused):
            yield Problem(path, value.message)
        elif isinstance(value, str) and not encodes(value):
            yield Problem(path, HALF_A_PAIR)
        elif isinstance(value, list):
            waiting.extend((f"{path}[{index}]", value[index]) for index in range(len(value) - 1, -1, -1))
        elif isinstance(value, dict):
            for key in value:
                if not encodes(key):
                    yield Problem(member(path, key), HALF_A_PAIR)
            waiting.extend((member(path, key), value[key]) for key in reversed(value))


def encodes(text: str) -> bool:
    """False for text that has no UTF-8 form, as halves of surrogate pairs have none."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _bad(message: str) -> BadDocument:
    return BadDocument(Problem("", f"the document {message}"))
