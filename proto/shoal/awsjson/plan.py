"""What the codec has to know of a message type, read once from its descriptor."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Final, Literal

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from shoal.v1 import options_pb2

Kind = Literal["string", "text", "integer", "number", "boolean", "bytes", "time", "message"]
Shape = Literal["one", "list", "map"]

_F = FieldDescriptor
_KINDS: Final[dict[int, Kind]] = {
    _F.TYPE_STRING: "string",
    _F.TYPE_BOOL: "boolean",
    _F.TYPE_BYTES: "bytes",
    _F.TYPE_DOUBLE: "number",
    _F.TYPE_FLOAT: "number",
    _F.TYPE_MESSAGE: "message",
}
_INT32: Final = (-(2**31), 2**31 - 1)
_INT64: Final = (-(2**63), 2**63 - 1)
_UINT32: Final = (0, 2**32 - 1)
_UINT64: Final = (0, 2**64 - 1)
_RANGES: Final[dict[int, tuple[int, int]]] = {
    _F.TYPE_INT32: _INT32,
    _F.TYPE_SINT32: _INT32,
    _F.TYPE_SFIXED32: _INT32,
    _F.TYPE_INT64: _INT64,
    _F.TYPE_SINT64: _INT64,
    _F.TYPE_SFIXED64: _INT64,
    _F.TYPE_UINT32: _UINT32,
    _F.TYPE_FIXED32: _UINT32,
    _F.TYPE_UINT64: _UINT64,
    _F.TYPE_FIXED64: _UINT64,
}


@dataclass(frozen=True, slots=True)
class FieldPlan:
    """One field.

    name       of the message's attribute
    json_name  of the document's member
    kind       of one value; "text" is a string that JSON may write as a number, "time" an int64 of
               milliseconds that JSON writes in seconds
    shape      how many values
    low, high  of a whole number, both included
    message    gives the plan of a message's own fields (later, because types may refer to each other)
    """

    name: str
    json_name: str
    kind: Kind
    shape: Shape
    read_only: bool = False
    low: int = 0
    high: int = 0
    message: "Callable[[], MessagePlan] | None" = None

    def fields(self) -> "MessagePlan":
        if self.message is None:
            raise TypeError(f"{self.name} is not a message")
        return self.message()


@dataclass(frozen=True, slots=True)
class MessagePlan:
    """The fields of a message type, by their names in JSON and by their numbers."""

    full_name: str
    by_json_name: dict[str, FieldPlan]
    by_number: dict[int, FieldPlan]


@cache
def plan_of(descriptor: Descriptor) -> MessagePlan:
    fields = {field.number: _field_plan(field) for field in descriptor.fields}
    return MessagePlan(descriptor.full_name, {plan.json_name: plan for plan in fields.values()}, fields)


def _field_plan(field: FieldDescriptor) -> FieldPlan:
    options = field.GetOptions().Extensions
    value, shape = field, _shape(field)
    if shape == "map" and field.message_type is not None:
        value = field.message_type.fields_by_name["value"]
    low, high = _RANGES.get(value.type, (0, 0))
    return FieldPlan(
        field.name,
        field.json_name,
        _kind(value, options[options_pb2.epoch_millis], options[options_pb2.number_or_string]),
        shape,
        options[options_pb2.read_only],
        low,
        high,
        _later(value.message_type) if value.message_type is not None else None,
    )


def _shape(field: FieldDescriptor) -> Shape:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        return "map"
    return "list" if field.is_repeated else "one"


def _kind(field: FieldDescriptor, epoch_millis: bool, number_or_string: bool) -> Kind:
    if epoch_millis:
        return "time"
    if number_or_string:
        return "text"
    if field.type in _RANGES:
        return "integer"
    if field.type not in _KINDS:
        raise TypeError(f"{field.full_name} has a type that AWS-style JSON has no form for")
    return _KINDS[field.type]


def _later(descriptor: Descriptor) -> Callable[[], MessagePlan]:
    return lambda: plan_of(descriptor)
