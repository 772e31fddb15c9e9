"""What an expression compares with: versions, dates, counts and regular expressions, read or refused by column."""

import operator
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import re2

from shoal_scheduler.model.refusal import Refused

# Of memory for a compiled pattern and the states it remembers; RE2 refuses one that would need more.
PATTERN_BYTES_MAX = 128 * 1024

COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DATE = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,9})?)?(Z|[+-][0-9]{2}:?[0-9]{2})?)?"
)
_VERSION = re.compile(r"[vV]?([0-9]{1,9}(?:\.[0-9]{1,9})*)(?:-([0-9A-Za-z.\-]+))?(?:\+[0-9A-Za-z.\-]+)?")
_COUNT = re.compile(r"[0-9]{1,18}")

# What Java's regular expressions have and RE2 has not; what is escaped or in a class is passed over first,
# and so is the rest after a bracket that is never closed.
_JAVA_ONLY = re.compile(
    r"""
      \\Q.*?(?:\\E|\Z)
    | (?P<backreference>\\(?:[1-9]|k<))
    | \\.
    | \[\^?\]?(?:\\.|(?P<union>\[)|(?P<intersection>&&)|&(?!&)|[^\]\\[&])*\]
    | \[.*
    | (?P<lookaround>\(\?<?[=!])
    | (?P<atomic>\(\?>)
    | (?:[*+?]|\{[0-9]+(?:,[0-9]*)?\})(?P<possessive>\+)
    """,
    re.VERBOSE | re.DOTALL,
)
_ADVICE = {
    "backreference": "a backreference is not supported: matching one can take exponential time",
    "union": r"a class within a class is not supported: write all of it in one, and a bracket as \[",
    "intersection": r"&& within a class is not supported: combine two expressions with `and`",
    "lookaround": "lookahead and lookbehind are not supported: combine expressions with `and` and `not`",
    "atomic": "an atomic group is not supported: write (?: … ), matching takes linear time anyway",
    "possessive": "a possessive quantifier is not supported: leave out the +, matching takes linear time anyway",
}


class ExpressionError(Refused):
    """An expression that cannot be read; `column` counts from 1."""

    def __init__(self, message: str, column: int) -> None:
        super().__init__("invalid", f"{message} (column {column})", reason="InvalidParameterException")
        self.column = column


class Pattern(NamedTuple):
    matches: Callable[[str], bool]
    # What a character of a text may cost: the instructions of the compiled program.
    steps: int


def version(text: str) -> tuple[Any, ...] | None:
    """As something to compare: 1.14.10 after 1.14.5, 1.14 the same as 1.14.0, 1.15.0-rc.1 before 1.15.0."""
    read = _VERSION.fullmatch(text)
    if read is None:
        return None
    numbers = [int(number) for number in read[1].split(".")]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    if read[2] is None:
        return tuple(numbers), 1
    before = ((0, int(part), "") if re.fullmatch("[0-9]{1,9}", part) else (1, 0, part) for part in read[2].split("."))
    return tuple(numbers), 0, tuple(before)


def instant(text: str, column: int) -> int:
    """Milliseconds since 1970 of an ISO 8601 date, or date and time; a date alone is its midnight, no zone is UTC."""
    try:
        moment = datetime.fromisoformat(text) if _DATE.fullmatch(text) else None
    except ValueError:
        moment = None
    if moment is None:
        examples = "2018-06-18, 2018-06-18T22:28:28, 2018-06-18T22:28:28Z or 2018-06-18T22:28:28+00:00"
        raise ExpressionError(f"{text!r} is not a date: write it as {examples}", column)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def count(text: str, column: int) -> int:
    if not _COUNT.fullmatch(text):
        raise ExpressionError(f"{text!r} is not a number of tasks: write it as 0 or 12", column)
    return int(text)


def pattern(text: str, column: int) -> Pattern:
    """A regular expression that must match the whole text, as Java's `matches`; `column` is where it begins."""
    for found in _JAVA_ONLY.finditer(text):
        if found.lastgroup:
            raise ExpressionError(_ADVICE[found.lastgroup], column + found.start(found.lastgroup))
    options = re2.Options()
    options.log_errors = False
    options.max_mem = PATTERN_BYTES_MAX
    options.never_capture = True
    try:
        compiled = re2.compile(text, options=options)
    except re2.error as error:
        reason = _reason(error)
        # RE2 says which piece it cannot read; often that is the whole.
        piece = reason.partition(": ")[2]
        raise ExpressionError(f"not a regular expression: {reason}", column + max(text.find(piece), 0)) from None
    return Pattern(lambda value: compiled.fullmatch(value) is not None, compiled.programsize)


def _reason(error: Exception) -> str:
    """RE2 says it in bytes."""
    said = error.args[0] if error.args else ""
    return said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
