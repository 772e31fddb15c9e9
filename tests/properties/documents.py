"""Hypothesis strategies for AWS-style JSON, made from the descriptors of the contract."""

from typing import Any

from google.protobuf.descriptor import Descriptor
from hypothesis import strategies as st
from shoal.awsjson.plan import FieldPlan, MessagePlan, plan_of

_MILLIS_MAX = 253_402_300_799_000
_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
_SCALARS: dict[str, st.SearchStrategy[Any]] = {
    "string": _texts,
    "text": _texts | st.integers(-(2**63) + 1, 2**63 - 1),
    "boolean": st.booleans(),
    "number": st.floats(allow_nan=False, allow_infinity=False),
    "time": st.integers(0, _MILLIS_MAX).map(lambda millis: millis / 1000),
    "bytes": st.sampled_from(["", "aGVsbG8=", "AA=="]),
}
anything: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=8), children, max_size=4),
    max_leaves=12,
)


def documents(descriptor: Descriptor) -> st.SearchStrategy[dict[str, Any]]:
    """Documents that the message type takes whole: any subset of its fields, each of the right type or null."""
    return _members(plan_of(descriptor))


def _members(plan: MessagePlan) -> st.SearchStrategy[dict[str, Any]]:
    fields = [field for field in plan.by_json_name.values() if not field.read_only]
    chosen = (
        st.lists(st.sampled_from(fields), max_size=6, unique_by=lambda field: field.json_name)
        if fields
        else st.just([])
    )
    return chosen.flatmap(
        lambda some: st.fixed_dictionaries({field.json_name: st.none() | _field(field) for field in some})
    )


def _field(field: FieldPlan) -> st.SearchStrategy[Any]:
    one = st.deferred(lambda: _value(field))
    if field.shape == "list":
        return st.lists(one, max_size=3)
    if field.shape == "map":
        return st.dictionaries(_texts, one, max_size=3)
    return one


def _value(field: FieldPlan) -> st.SearchStrategy[Any]:
    if field.kind == "message":
        return _members(field.fields())
    if field.kind == "integer":
        return st.integers(field.low, field.high)
    return _SCALARS[field.kind]
