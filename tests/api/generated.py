"""Messages from their descriptors, mostly nearly right: words that exist here beside words that break things."""

from collections.abc import Sequence
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import strategies as st

FIELDS_MAX = 5
DEPTH_MAX = 5

NASTY = (
    "", " ", ".", "..", "/", "a/b", "a\n", "\0", "\x1b[2J", "{{7*7}}", "<script>", "x" * 300, "é", "e\u0301", "\u202e",
    "-1", "0", "1e999", "NaN", "１２", "(((", "not not", "arn:", "arn:shoal:ecs:local:000000000000:task/", "[" * 200,
    "9" * 400, "%00", "$(id)", "\u200b", "null", "true", "web:0", "web:-1", "a" * 65536,
)  # fmt: skip
NUMBERS = (0, 1, 2, 3, 8, 64, 80, 100, 1000, -1, -2, 10_000, 10_001, 65_535, 65_536, 2**31 - 1, -(2**31))
LONG_NUMBERS = (*NUMBERS, 2**31, 2**62, 2**63 - 1, -(2**63))

_BOUNDS = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
}


class Words:
    """Strategies of whole messages, given by field name the words that mean something here."""

    def __init__(self, known: dict[str, Sequence[str]]) -> None:
        self._known = known

    def messages(self, descriptor: Descriptor, depth: int = 0) -> st.SearchStrategy[Message]:
        return st.composite(self._message)(descriptor, depth)

    def _message(self, draw: st.DrawFn, descriptor: Descriptor, depth: int) -> Message:
        fields = [each for each in descriptor.fields if depth < DEPTH_MAX or each.message_type is None]
        if not fields:
            return GetMessageClass(descriptor)()
        chosen = draw(st.lists(st.sampled_from(fields), max_size=FIELDS_MAX, unique_by=lambda each: each.name))
        values = {each.name: draw(self._values(each, depth)) for each in chosen}
        return GetMessageClass(descriptor)(**values)

    def _values(self, field: FieldDescriptor, depth: int) -> st.SearchStrategy[Any]:
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            entry = field.message_type.fields_by_name
            return st.dictionaries(self._one(entry["key"], depth), self._one(entry["value"], depth), max_size=3)
        if field.is_repeated:
            return st.lists(self._one(field, depth), max_size=3)
        return self._one(field, depth)

    def _one(self, field: FieldDescriptor, depth: int) -> st.SearchStrategy[Any]:
        if field.message_type is not None:
            return self.messages(field.message_type, depth + 1)
        match field.cpp_type:
            case FieldDescriptor.CPPTYPE_BOOL:
                return st.booleans()
            case FieldDescriptor.CPPTYPE_DOUBLE | FieldDescriptor.CPPTYPE_FLOAT:
                return st.floats()
            case FieldDescriptor.CPPTYPE_STRING if field.type == FieldDescriptor.TYPE_BYTES:
                return st.binary(max_size=50)
            case FieldDescriptor.CPPTYPE_STRING:
                return self._texts(field.name)
        low, high = _BOUNDS[field.cpp_type]
        return st.sampled_from([n for n in LONG_NUMBERS if low <= n <= high]) | st.integers(low, high)

    def _texts(self, name: str) -> st.SearchStrategy[str]:
        wrong = st.sampled_from(NASTY) | st.text(st.characters(codec="utf-8"), max_size=40)
        if name not in self._known:
            return st.sampled_from(("app", "a", "b")) | wrong
        right = st.sampled_from(self._known[name])
        return right | right | right | wrong  # in three of four cases what exists
