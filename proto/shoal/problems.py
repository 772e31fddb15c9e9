"""What is wrong with an input, told so that its author can mend it."""

import json
import re
from dataclasses import dataclass

_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
_QUOTED_CHARACTERS_MAX = 80


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with one field.

    field    its path as JSON spells it, `containerDefinitions[0].portMappings[1].hostPort`; "" for the whole
    message  a sentence that goes on after the path: what was wrong, then what to do
    """

    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}" if self.field else self.message


def member(path: str, key: str) -> str:
    """The path of a member. A key that could confuse a reader or a terminal is quoted.

    >>> member("", "family"), member("dockerLabels", "com.example.team")
    ('family', 'dockerLabels["com.example.team"]')
    """
    if not _PLAIN_KEY.fullmatch(key):
        return f"{path}[{quoted(key)}]"
    return f"{path}.{key}" if path else key


def quoted(value: object) -> str:
    """A refused value as it may be shown: JSON, ASCII only (no control or look-alike letters), short.

    >>> quoted("a\\x1b[2J"), quoted(True)
    ('"a\\\\u001b[2J"', 'true')
    """
    if isinstance(value, str) and len(value) > _QUOTED_CHARACTERS_MAX:
        return f"{json.dumps(value[:_QUOTED_CHARACTERS_MAX])}... ({len(value)} characters)"
    if isinstance(value, dict | list):
        return f"{_KIND[type(value)]} of {len(value)}"
    if isinstance(value, int) and abs(value) >= 10**24:
        return f"a number of {int(value.bit_length() * 0.30103) + 1} digits"
    return json.dumps(value, default=lambda other: type(other).__name__)


_KIND: dict[type, str] = {dict: "an object", list: "a list"}
