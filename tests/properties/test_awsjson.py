"""What holds of the codec for every document, message and text."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shoal.awsjson import BadDocument, loads, to_document, to_message
from shoal.v1.container_instance_pb2 import ContainerInstance
from shoal.v1.task_definition_pb2 import ContainerDefinition, RegisterTaskDefinitionRequest, TaskDefinition
from shoal.v1.task_pb2 import RunTaskRequest, Task

from tests.properties.documents import anything, documents

TYPES: list[Any] = [RegisterTaskDefinitionRequest, TaskDefinition, RunTaskRequest, Task, ContainerInstance]


def without_nothing(value: Any) -> Any:
    """Without the nulls, [] and {} that are members of an object."""
    if isinstance(value, dict):
        kept = {key: without_nothing(item) for key, item in value.items()}
        return {key: item for key, item in kept.items() if item is not None and item != [] and item != {}}
    return [without_nothing(item) for item in value] if isinstance(value, list) else value


def top_sizes_as_text(document: dict[str, Any]) -> dict[str, Any]:
    """Task-level sizes as strings, which is what a number becomes there; a container's stay numbers."""
    changed = dict(document)
    if isinstance(changed.get("overrides"), dict):
        changed["overrides"] = top_sizes_as_text(changed["overrides"])
    for key in ("cpu", "memory"):
        if isinstance(changed.get(key), int):
            changed[key] = str(changed[key])
    return changed


@pytest.mark.parametrize("message_type", TYPES)
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_document_to_message_to_document_is_the_same(message_type: Any, data: st.DataObject) -> None:
    document = data.draw(documents(message_type.DESCRIPTOR))
    message, warnings = to_message(loads(json.dumps(document)), message_type, strict=True)
    assert warnings == []
    again = to_document(message)
    assert without_nothing(again) == without_nothing(top_sizes_as_text(document))

    copy, _ = to_message(loads(json.dumps(again)), message_type, strict=True)
    assert copy == message
    assert message_type.FromString(message.SerializeToString()) == message


@given(document=anything)
@settings(max_examples=300, deadline=None)
def test_any_document_is_taken_or_refused(document: Any) -> None:
    for message_type in (RegisterTaskDefinitionRequest, Task):
        try:
            message, warnings = to_message(document, message_type)
        except BadDocument as refused:
            assert refused.problems
            assert str(refused).isascii()
        else:
            assert isinstance(document, dict)
            to_document(message)
            assert all(str(warning).isascii() for warning in warnings)


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_one_wrong_value_anywhere_is_named_by_its_path(data: st.DataObject) -> None:
    container = data.draw(documents(ContainerDefinition.DESCRIPTOR))
    container["portMappings"] = [
        {"hostPort": data.draw(st.text(max_size=5).map("x".__add__) | st.booleans() | st.floats())}
    ]
    with pytest.raises(BadDocument) as refused:
        to_message({"containerDefinitions": [container]}, RegisterTaskDefinitionRequest)
    assert [problem.field for problem in refused.value.problems] == ["containerDefinitions[0].portMappings[0].hostPort"]


@given(text=st.text(max_size=60) | st.binary(max_size=60) | st.text('[]{},:"\\ud80e1.-N', max_size=60))
@settings(max_examples=500, deadline=None)
def test_any_text_is_read_or_refused(text: str | bytes) -> None:
    try:
        document = loads(text)
    except BadDocument as refused:
        assert refused.problems
    else:
        assert document == json.loads(text)


_texts = st.text(st.characters(exclude_categories=["Cs"]))


@given(
    document=st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**63) | _texts,
        lambda inner: st.lists(inner) | st.dictionaries(_texts, inner),
    )
)
@settings(max_examples=200, deadline=None)
def test_what_json_writes_is_read(document: Any) -> None:
    assert loads(json.dumps(document)) == loads(json.dumps(document, ensure_ascii=False).encode()) == document
