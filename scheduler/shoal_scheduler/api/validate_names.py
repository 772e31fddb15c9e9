"""Names users choose, tags, attributes and pages. Rules: the ECS API model and developer guide."""

import re
import unicodedata
from collections.abc import Sequence

from shoal import attributes
from shoal.problems import Problem, quoted

from shoal_scheduler.api.validate_values import (
    Document,
    Problems,
    at_most,
    no_longer_than,
    one_of,
    required,
)

_NAME = re.compile(r"[A-Za-z0-9_-]{1,255}")
_CLUSTER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,254}")
_TAG_PUNCTUATION = frozenset("_.:/=+-@")

TAGS_MAX = 50
ATTRIBUTES_PER_CALL_MAX = 10

# A day: who goes later is drained until then.
INTERRUPTION_SECONDS_MAX = 86_400
INTERRUPTION_REASON_CHARACTERS_MAX = 255
INSTANCE_STATUSES = ("ACTIVE", "DRAINING", "REGISTERING", "DEREGISTERING", "REGISTRATION_FAILED")


def name_problems(field: str, name: str | None) -> Problems:
    """Names of families, containers and volumes."""
    if not name:
        yield Problem(field, "is required")
    elif not _NAME.fullmatch(name):
        rule = "use 1 to 255 letters (A-Z, a-z), digits, hyphens and underscores"
        yield Problem(field, f"{quoted(name)} is not a name; {rule}")


def cluster_name_problems(field: str, name: str | None) -> Problems:
    """A cluster's name begins the names of its containers, and the engine wants a letter or digit there."""
    if name is not None and not _CLUSTER.fullmatch(name):
        rule = "use 1 to 255 letters (A-Z, a-z), digits, hyphens and underscores, a letter or digit first"
        yield Problem(field, f"{quoted(name)} is not a cluster name; {rule}")


def attributes_problems(field: str, given: Sequence[Document]) -> Problems:
    """Of PutAttributes and DeleteAttributes."""
    if not given:
        yield Problem(field, "is required: at least one attribute")
    yield from at_most(field, given, ATTRIBUTES_PER_CALL_MAX)
    for index, attribute in enumerate(given):
        yield from attribute_problems(f"{field}[{index}]", attribute)


def attribute_problems(field: str, attribute: Document) -> Problems:
    """One attribute of an instance: a name, perhaps a value."""
    name, value = attribute.get("name"), attribute.get("value")
    if name is None:
        yield Problem(f"{field}.name", "is required")
    elif not attributes.NAME.fullmatch(name):
        yield Problem(f"{field}.name", f"{quoted(name)} is not an attribute name; {attributes.NAME_RULE}")
    if value is not None and not attributes.VALUE.fullmatch(value):
        yield Problem(f"{field}.value", f"{quoted(value)} is not an attribute value; {attributes.VALUE_RULE}")
    yield from one_of(f"{field}.targetType", attribute.get("targetType"), ("container-instance",))


def tags_problems(field: str, tags: Sequence[Document]) -> Problems:
    yield from at_most(field, tags, TAGS_MAX)
    seen: set[str] = set()
    for index, tag in enumerate(tags[: TAGS_MAX + 1]):
        path = f"{field}[{index}]"
        key = tag.get("key", "")
        yield from tag_key_problems(f"{path}.key", key)
        yield from no_longer_than(f"{path}.value", tag.get("value"), 256)
        yield from _tag_characters(f"{path}.value", tag.get("value", ""))
        if key in seen:
            yield Problem(f"{path}.key", f"{quoted(key)} is given twice; keep one of them")
        seen.add(key)


def tag_key_problems(field: str, key: str) -> Problems:
    if not key:
        yield Problem(field, "is required: 1 to 128 characters")
    elif key.lower().startswith("aws:"):
        yield Problem(field, f"{quoted(key)} has the reserved prefix aws:; choose another")
    yield from no_longer_than(field, key, 128)
    yield from _tag_characters(field, key)


def _tag_characters(field: str, text: str) -> Problems:
    """Letters, digits and spaces of any script, and a little punctuation."""
    for character in text[:256]:
        if character not in _TAG_PUNCTUATION and unicodedata.category(character)[0] not in "LNZ":
            rule = "use letters, digits, spaces and _ . : / = + - @"
            yield Problem(field, f"holds {quoted(character)}, which tags may not; {rule}")
            return


def instance_state_problems(document: Document) -> list[Problem]:
    """The status that UpdateContainerInstancesState sets, and of an interruption when and why."""
    seconds, reason = document.get("interruptionSeconds"), document.get("reason")
    problems = [
        *required("", document, "status"),
        *one_of("status", document.get("status"), ("ACTIVE", "DRAINING")),
        *no_longer_than("reason", reason, INTERRUPTION_REASON_CHARACTERS_MAX),
    ]
    if seconds is not None and document.get("status") != "DRAINING":
        problems.append(Problem("interruptionSeconds", "goes with the status DRAINING: add that, or take this out"))
    if seconds is not None and not 1 <= seconds <= INTERRUPTION_SECONDS_MAX:
        problems.append(Problem("interruptionSeconds", f"must be from 1 to {INTERRUPTION_SECONDS_MAX}"))
    if reason and seconds is None:
        problems.append(Problem("reason", "is of an interruption: add interruptionSeconds, or take this out"))
    if reason and not reason.isprintable():
        problems.append(Problem("reason", "must be printable, without line breaks"))
    return problems
