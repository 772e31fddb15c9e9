"""Document to message: strict about types, plain about what is wrong, never silent about what it drops."""

import base64
import binascii
import math
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar

from google.protobuf.message import Message

from shoal.awsjson.parse import HALF_A_PAIR, BadDocument, encodes
from shoal.awsjson.plan import FieldPlan, MessagePlan, plan_of
from shoal.awsjson.unknown import unknown_field
from shoal.problems import Problem, member, quoted

M = TypeVar("M", bound=Message)

_PROBLEMS_MAX: Final = 50
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SECONDS_MAX: Final = 253_402_300_799  # the end of the year 9999
_WHOLE: Final = re.compile(r"-?[0-9]{1,19}")
_REGISTER_REQUEST: Final = "shoal.v1.RegisterTaskDefinitionRequest"

# A path while reading: the parent's and one step. It becomes text only if there is something to say.
_Path = tuple["_Path", str | int] | None


class _TooManyError(Exception):
    """More problems than anybody reads."""


class _WrongError(Exception):
    """A value of the wrong type; the argument is the sentence that says so."""


class _Findings:
    __slots__ = ("errors", "strict", "warnings")

    def __init__(self, strict: bool) -> None:
        self.strict = strict
        self.errors: list[Problem] = []
        self.warnings: list[Problem] = []

    def error(self, path: _Path, message: str) -> None:
        self.errors.append(Problem(_text(path), message if path else f"the document {message}"))
        if len(self.errors) >= _PROBLEMS_MAX:
            raise _TooManyError

    def unknown(self, path: _Path, key: str, plan: MessagePlan) -> None:
        seen = self.errors if self.strict else self.warnings
        if len(seen) > _PROBLEMS_MAX:
            return
        message = unknown_field(key, plan.by_json_name, ignored=not self.strict)
        if len(seen) == _PROBLEMS_MAX:
            seen.append(Problem("", f"over {_PROBLEMS_MAX} fields are unknown; these are the first"))
        else:
            seen.append(Problem(_text((path, key)), message))


def to_message(document: object, message_type: type[M], *, strict: bool = False) -> tuple[M, list[Problem]]:
    """The document as a message, and warnings: one for each unknown field, with its path.

    null is absence. Fields that only described objects have are accepted and dropped, and a task definition
    may come wrapped as `aws ecs describe-task-definition` prints it, `{"taskDefinition": {...}, "tags": [...]}`
    (paths are those inside). Raises BadDocument with every problem found (the first 50): wrong types, numbers
    out of range, and unknown fields if `strict`.
    """
    findings = _Findings(strict)
    message = message_type()
    plan = plan_of(message.DESCRIPTOR)
    try:
        if plan.full_name == _REGISTER_REQUEST:
            document = _unwrapped(document, findings)
        _read_message(document, message, plan, None, findings)
    except _TooManyError:
        findings.errors.append(Problem("", "and possibly more; these are the first"))
    if findings.errors:
        raise BadDocument(*findings.errors)
    return message, findings.warnings


def _unwrapped(document: object, findings: _Findings) -> object:
    """What `describe-task-definition` prints, as what registers it."""
    if not isinstance(document, dict) or not isinstance(document.get("taskDefinition"), dict):
        return document
    definition = document["taskDefinition"]
    beside = {key: value for key, value in document.items() if key != "taskDefinition" and value is not None}
    tags = beside.pop("tags", None)
    beside.pop("ResponseMetadata", None)  # what the Python SDK puts beside every answer
    for key in beside:
        message = "unknown field beside taskDefinition" + ("" if findings.strict else ", ignored")
        (findings.errors if findings.strict else findings.warnings).append(Problem(member("", key), message))
    if tags is None:
        return definition
    if definition.get("tags"):
        findings.error((None, "tags"), "given inside and beside taskDefinition; keep one of them")
    return {**definition, "tags": tags}


def _read_message(document: object, message: Message, plan: MessagePlan, path: _Path, findings: _Findings) -> None:
    if not isinstance(document, dict):
        findings.error(path, f"must be an object {{...}}, not {_shown(document)}")
        return
    fields = plan.by_json_name
    if not fields:  # refused whole by whom it is for, so nothing of it can be right or wrong
        return
    for key, value in document.items():
        if value is None:
            continue
        field = fields.get(key)
        if field is None:
            findings.unknown(path, str(key), plan)
        elif not field.read_only:
            _read_field(value, message, field, (path, key), findings)


def _read_field(value: Any, message: Message, field: FieldPlan, path: _Path, findings: _Findings) -> None:
    if field.shape == "list":
        _read_list(value, getattr(message, field.name), field, path, findings)
    elif field.shape == "map":
        _read_map(value, getattr(message, field.name), field, path, findings)
    elif field.kind == "message":
        child = getattr(message, field.name)
        child.SetInParent()
        _read_message(value, child, field.fields(), path, findings)
    else:
        for scalar in _scalars(value, field, path, findings):
            setattr(message, field.name, scalar)


def _read_list(value: Any, target: Any, field: FieldPlan, path: _Path, findings: _Findings) -> None:
    if not isinstance(value, list):
        findings.error(path, f"must be a list [...], not {_shown(value)}")
        return
    for index, item in enumerate(value):
        if item is None:
            findings.error((path, index), "null inside a list; take it out")
        elif field.kind == "message":
            _read_message(item, target.add(), field.fields(), (path, index), findings)
        else:
            target.extend(_scalars(item, field, (path, index), findings))


def _read_map(value: Any, target: Any, field: FieldPlan, path: _Path, findings: _Findings) -> None:
    if not isinstance(value, dict):
        findings.error(path, f"must be an object {{...}}, not {_shown(value)}")
        return
    for key, item in value.items():
        if item is None:
            continue
        if not isinstance(key, str) or not encodes(key):
            findings.error((path, str(key)), "holds half of a surrogate pair in its name; write the character itself")
        elif field.kind == "message":
            _read_message(item, target[key], field.fields(), (path, key), findings)
        else:
            for scalar in _scalars(item, field, (path, key), findings):
                target[key] = scalar


def _scalars(value: Any, field: FieldPlan, path: _Path, findings: _Findings) -> Iterator[Any]:
    """The value as its field takes it; nothing if it is wrong, which is noted."""
    if isinstance(value, str) and not findings.strict:
        meant = _meant(value, field)
        if meant is not None:
            findings.warnings.append(Problem(_text(path), f"is the string {quoted(value)}; it is read as {value}"))
            value = meant
    try:
        yield _SCALARS[field.kind](value, field)
    except _WrongError as wrong:
        findings.error(path, str(wrong))


def _meant(text: str, field: FieldPlan) -> int | bool | None:
    """Published files write whole numbers and booleans as strings now and then: what they mean by it."""
    if field.kind == "integer" and _WHOLE.fullmatch(text):
        return int(text)
    if field.kind == "boolean" and text in ("true", "false"):
        return text == "true"
    return None


def _string(value: Any, field: FieldPlan) -> str:
    if type(value) is str:
        if encodes(value):
            return value
        raise _WrongError(HALF_A_PAIR)
    if isinstance(value, bool | int | float):
        raise _WrongError(f'must be a string, not {_shown(value)}; write it in quotes, "{quoted(value)}"')
    raise _WrongError(f"must be a string, not {_shown(value)}")


def _string_or_number(value: Any, field: FieldPlan) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 2**63:
        return str(value)
    if isinstance(value, str):
        return _string(value, field)
    raise _WrongError(f"must be a string or a number, not {_shown(value)}")


def _boolean(value: Any, field: FieldPlan) -> bool:
    if value is True or value is False:
        return value
    if isinstance(value, str) and value.lower() in ("true", "false"):
        raise _WrongError(f"must be true or false, not the string {quoted(value)}; write it without quotes")
    raise _WrongError(f"must be true or false, not {_shown(value)}")


def _integer(value: Any, field: FieldPlan) -> int:
    if type(value) is not int:
        raise _WrongError(f"must be a whole number, not {_shown(value)}{_advice(value)}")
    if not field.low <= value <= field.high:
        raise _WrongError(f"must be between {field.low} and {field.high}, not {quoted(value)}")
    return value


def _number(value: Any, field: FieldPlan) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _WrongError(f"must be a number, not {_shown(value)}{_advice(value)}")
    if not (isinstance(value, int) and abs(value) < 2**63) and not math.isfinite(value):
        raise _WrongError(f"must be a finite number, not {value}")
    return float(value)


def _time(value: Any, field: FieldPlan) -> int:
    """Milliseconds of a number of seconds, or of the ISO 8601 that the AWS command line prints."""
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            raise _WrongError(
                f"must be seconds since the epoch or an ISO 8601 time, not {_shown(value)}; write "
                '1700000000.5 or "2026-01-31T12:00:00Z"'
            ) from None
        if moment.tzinfo is None:
            raise _WrongError(f"has no time zone: {quoted(value)}; add one, as Z or +02:00")
        return (moment - _EPOCH) // timedelta(milliseconds=1)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _WrongError(f"must be seconds since the epoch or an ISO 8601 time, not {_shown(value)}")
    if not 0 <= value <= _SECONDS_MAX:
        raise _WrongError(f"must be seconds since the epoch, from 0 to {_SECONDS_MAX}, not {quoted(value)}")
    return round(value * 1000)


def _bytes(value: Any, field: FieldPlan) -> bytes:
    if not isinstance(value, str):
        raise _WrongError(f"must be a base64 string, not {_shown(value)}")
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise _WrongError(f"is not base64: {quoted(value)}") from None


_SCALARS: Final = {
    "string": _string,
    "text": _string_or_number,
    "boolean": _boolean,
    "integer": _integer,
    "number": _number,
    "time": _time,
    "bytes": _bytes,
}


def _shown(value: object) -> str:
    if isinstance(value, bool) or value is None:
        return quoted(value)
    if isinstance(value, int | float):
        return f"the number {quoted(value)}" if abs(value) < 10**24 else quoted(value)
    return f"the string {quoted(value)}" if isinstance(value, str) else quoted(value)


def _advice(value: object) -> str:
    """How a number that came as something else is written."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**63:
        return f"; write {int(value)}"
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        return f"; write {value} without quotes"
    return ""


def _text(path: _Path) -> str:
    steps: list[str | int] = []
    while path is not None:
        path, step = path
        steps.append(step)
    text = ""
    for step in reversed(steps):
        text = f"{text}[{step}]" if isinstance(step, int) else member(text, step)
    return text
