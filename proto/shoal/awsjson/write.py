"""Message to document."""

import base64
from typing import Any, Final

from google.protobuf.message import Message

from shoal.awsjson.plan import FieldPlan, Kind, MessagePlan, plan_of

# Of all other kinds the value itself is what JSON has.
_CONVERTED: Final[frozenset[Kind]] = frozenset({"message", "time", "bytes"})


def to_document(message: Message) -> dict[str, Any]:
    """The message as AWS-style JSON: camelCase, only what is set, no empty lists or maps, times in seconds.

    An explicit 0, false or "" is set, and so is an empty message ({}). A request's read-only fields are dropped.
    """
    return _document(message, plan_of(message.DESCRIPTOR))


def _document(message: Message, plan: MessagePlan) -> dict[str, Any]:
    document: dict[str, Any] = {}
    for descriptor, value in message.ListFields():
        field = plan.by_number.get(descriptor.number)
        if field is None or field.read_only:
            continue
        if field.shape == "list":
            plain = field.kind not in _CONVERTED
            document[field.json_name] = list(value) if plain else [_value(field, item) for item in value]
        elif field.shape == "map":
            document[field.json_name] = {key: _value(field, value[key]) for key in sorted(value)}
        else:
            document[field.json_name] = _value(field, value)
    return document


def _value(field: FieldPlan, value: Any) -> Any:
    kind = field.kind
    if kind == "message":
        return _document(value, field.fields())
    if kind == "time":
        return value // 1000 if value % 1000 == 0 else value / 1000
    if kind == "bytes":
        return base64.b64encode(value).decode("ascii")
    return value
