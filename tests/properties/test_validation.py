"""The validators answer for every document of the right types: they never fail, and what they say can be shown."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from shoal.awsjson import to_document, to_message
from shoal.quantity import cpu_units, memory_mib
from shoal.v1.task_definition_pb2 import ContainerDefinition, RegisterTaskDefinitionRequest
from shoal.v1.task_pb2 import RunTaskRequest, StartTaskRequest
from shoal_scheduler.api.validate_image import image_problems
from shoal_scheduler.api.validate_names import name_problems, tags_problems
from shoal_scheduler.api.validate_run_task import run_task_problems, run_task_warnings, start_task_problems
from shoal_scheduler.api.validate_task_definition import (
    runnable_problems,
    task_definition_problems,
    task_definition_warnings,
)

from tests.properties.documents import documents
from tests.unit.api.definitions import CONTAINER


def as_received(document: dict[str, Any], message_type: Any) -> dict[str, Any]:
    received: dict[str, Any] = to_document(to_message(document, message_type)[0])
    return received


@given(
    document=documents(RegisterTaskDefinitionRequest.DESCRIPTOR),
    container=documents(ContainerDefinition.DESCRIPTOR),
)
@settings(max_examples=300, deadline=None)
def test_any_definition_gets_an_answer(document: dict[str, Any], container: dict[str, Any]) -> None:
    received = as_received(
        {**document, "containerDefinitions": [{**CONTAINER, **container}]}, RegisterTaskDefinitionRequest
    )
    problems = task_definition_problems(received)
    shown = [*problems, *runnable_problems(received)]
    if not problems:
        shown += task_definition_warnings(received)
    for problem in shown:
        assert str(problem).isascii()
        assert str(problem).isprintable()
    assert task_definition_problems(as_received(document, RegisterTaskDefinitionRequest)) is not None


@given(document=documents(RunTaskRequest.DESCRIPTOR), started=documents(StartTaskRequest.DESCRIPTOR))
@settings(max_examples=200, deadline=None)
def test_any_request_gets_an_answer(document: dict[str, Any], started: dict[str, Any]) -> None:
    known = {"containerDefinitions": [CONTAINER]}
    received = as_received(document, RunTaskRequest)
    starting = as_received(started, StartTaskRequest)
    for problem in [
        *run_task_problems(received),
        *run_task_problems(received, known),
        *run_task_warnings(received),
        *start_task_problems(starting, known),
        *run_task_warnings(starting),
    ]:
        assert str(problem).isascii()


@given(text=st.text(max_size=40) | st.from_regex(r"[a-zA-Z0-9:/@._\[\]-]{0,40}", fullmatch=True))
@settings(max_examples=300, deadline=None)
def test_any_text_is_a_name_or_not(text: str) -> None:
    for problems in (
        image_problems("image", text),
        name_problems("name", text),
        tags_problems("tags", [{"key": text}]),
    ):
        assert all(str(problem).isascii() for problem in problems)
    for parse in (cpu_units, memory_mib):
        try:
            assert parse(text) >= 0
        except ValueError as error:
            assert str(error).isascii()
