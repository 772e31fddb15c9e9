"""Checks of single values. Each yields the problems of one field; a field that is absent has none.

The documents checked are AWS JSON as `shoal.awsjson.to_document` makes it: types are right, nulls are gone.
Messages go on after the field's path: what was wrong, then what to do.
"""

import ipaddress
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from shoal.problems import Problem, member, quoted

Document = Mapping[str, Any]
Problems = Iterator[Problem]

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_HOSTNAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,62}[A-Za-z0-9])?")


def required(path: str, document: Document, *names: str) -> Problems:
    for name in names:
        if document.get(name) in (None, "", []):
            yield Problem(member(path, name), "is required")


def one_of(field: str, value: str | None, words: Collection[str]) -> Problems:
    if value is None or value in words:
        return
    meant = get_close_matches(value.lower(), [word.lower() for word in words], n=1) if len(value) < 64 else []
    spelt = next((word for word in words if meant and word.lower() == meant[0]), None)
    hint = f"; did you mean {spelt}?" if spelt else ""
    yield Problem(field, f"must be one of {', '.join(words)}, not {quoted(value)}{hint}")


def between(field: str, value: int | None, low: int, high: int, unit: str = "") -> Problems:
    if value is not None and not low <= value <= high:
        yield Problem(field, f"must be between {low} and {high}{unit and ' ' + unit}, not {quoted(value)}")


def size_problems(size_bytes: int, most: int) -> Problems:
    """Of a request, before it is read: its JSON is no shorter than the message that carries it."""
    if size_bytes > most:
        yield Problem("", f"the request has {size_bytes} bytes; at most {most // 1024} KiB are allowed")


def at_most(field: str, values: Collection[Any], most: int) -> Problems:
    if len(values) > most:
        yield Problem(field, f"has {len(values)} entries; at most {most} are allowed")


def no_longer_than(field: str, text: str | None, most: int) -> Problems:
    if text is not None and len(text) > most:
        yield Problem(field, f"has {len(text)} characters; at most {most} are allowed")


def without_nul(field: str, *texts: str | None) -> Problems:
    if any(text is not None and "\0" in text for text in texts):
        yield Problem(field, "holds a NUL character, which no program can be given; take it out")


def environment_name(field: str, name: str | None) -> Problems:
    """The name of an environment variable: the kernel keeps NAME=VALUE, ended by NUL."""
    if not name:
        yield Problem(field, "is required: the name of an environment variable")
    elif "=" in name:
        yield Problem(field, f"{quoted(name)} holds '='; put what follows it into value")
    elif _CONTROL.search(name):
        yield Problem(field, f"{quoted(name)} holds a control character; take it out")


def absolute_path(field: str, path: str | None, *, windows: bool = False) -> Problems:
    """A path that is what it says: absolute, without `..`, without control characters."""
    if not path:
        yield Problem(field, "is required: an absolute path")
    elif _CONTROL.search(path):
        yield Problem(field, f"{quoted(path)} holds a control character; take it out")
    elif windows:
        return
    elif not path.startswith("/"):
        yield Problem(field, f"must be an absolute path, not {quoted(path)}; start it with /")
    elif ".." in path.split("/"):
        yield Problem(field, f"{quoted(path)} climbs with '..'; write the path it leads to")


def outside_the_system(field: str, path: str) -> Problems:
    """Refuses places where no engine mounts anything, whatever its instance allows."""
    steps = [step for step in path.split("/") if step not in ("", ".")]
    if path and steps in ([], ["proc"]):
        yield Problem(field, f"{quoted(path)} is part of every container's own system; mount somewhere else")


def ip_address(field: str, text: str | None) -> Problems:
    try:
        ipaddress.ip_address(text or "")
    except ValueError:
        yield Problem(field, f"must be an IP address such as 10.0.0.2, not {quoted(text)}")


def host_name(field: str, text: str | None) -> Problems:
    if text is not None and not _HOSTNAME.fullmatch(text):
        yield Problem(
            field,
            f"{quoted(text)} is not a host name; use up to 64 letters, digits, hyphens and dots, "
            "a letter or a digit at both ends",
        )


def unique(values: Iterable[tuple[str, str]], message: str) -> Problems:
    """Of (field, value) pairs, a problem for each value that came before; `message` has {value} and {first}."""
    first: dict[str, str] = {}
    for field, value in values:
        if value in first:
            yield Problem(field, message.format(value=quoted(value), first=first[value]))
        first.setdefault(value, field)


def is_windows(definition: Document) -> bool:
    family: str = definition.get("runtimePlatform", {}).get("operatingSystemFamily", "LINUX")
    return family.startswith("WINDOWS")
