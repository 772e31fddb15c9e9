"""Documents to messages and back: what is kept, what is refused and how it is said."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
from shoal import awsjson
from shoal.awsjson import BadDocument, Problem, to_document, to_message
from shoal.v1.container_instance_pb2 import ContainerInstance
from shoal.v1.event_pb2 import Event
from shoal.v1.log_pb2 import LogEvent, ReadLogsRequest
from shoal.v1.resource_pb2 import Resource
from shoal.v1.task_definition_pb2 import RegisterTaskDefinitionRequest, TaskDefinition
from shoal.v1.task_pb2 import RunTaskRequest, RunTasksResponse, Task

from tests.definitions import all_files


def register(document: object, **options: bool) -> tuple[RegisterTaskDefinitionRequest, list[Problem]]:
    return to_message(document, RegisterTaskDefinitionRequest, **options)


def problems(document: object, message_type: Any = RegisterTaskDefinitionRequest, **options: bool) -> dict[str, str]:
    with pytest.raises(BadDocument) as refused:
        to_message(document, message_type, **options)
    return {problem.field: problem.message for problem in refused.value.problems}


def without_nothing(value: Any) -> Any:
    """The document without the nulls, [] and {} of its objects."""
    if isinstance(value, dict):
        kept = {key: without_nothing(item) for key, item in value.items()}
        return {key: item for key, item in kept.items() if item is not None and item != [] and item != {}}
    return [without_nothing(item) for item in value] if isinstance(value, list) else value


READ_ONLY = {
    *("taskDefinitionArn", "revision", "status", "requiresAttributes", "compatibilities"),
    *("registeredAt", "registeredBy"),
}


@pytest.mark.parametrize("path", all_files())
def test_a_file_survives_the_round_trip(path: Path) -> None:
    document = awsjson.loads(path.read_bytes())
    message, warnings = register(document)
    assert warnings == []

    expected = json.loads(path.read_text())
    if "taskDefinition" in expected:
        expected = {**expected["taskDefinition"], "tags": expected["tags"]}
    expected = {key: value for key, value in without_nothing(expected).items() if key not in READ_ONLY}
    for key in ("cpu", "memory"):
        if key in expected:
            expected[key] = str(expected[key])
    again = to_document(message)
    assert without_nothing(again) == expected
    assert register(again) == (message, [])


def test_zero_false_and_empty_text_are_kept() -> None:
    container = {"name": "a", "cpu": 0, "essential": False, "portMappings": [{"hostPort": 0}], "user": ""}
    message, _ = register({"containerDefinitions": [container]})
    assert message.container_definitions[0].HasField("cpu")
    assert to_document(message) == {"containerDefinitions": [container]}


def test_null_is_absence_everywhere() -> None:
    message, warnings = register(
        {"family": None, "nonsense": None, "containerDefinitions": [{"cpu": None, "dockerLabels": {"a": None}}]}
    )
    assert to_document(message) == {"containerDefinitions": [{}]}
    assert warnings == []


def test_an_empty_object_is_there() -> None:
    message, _ = register({"volumes": [{"name": "scratch", "host": {}}]})
    assert message.volumes[0].HasField("host")
    assert to_document(message) == {"volumes": [{"name": "scratch", "host": {}}]}


@pytest.mark.parametrize(("given", "kept"), [(256, "256"), ("256", "256"), ("1 vCPU", "1 vCPU"), (0.5, "0.5")])
def test_task_level_sizes_may_be_numbers(given: object, kept: str) -> None:
    message, _ = register({"cpu": given, "memory": given})
    assert (message.cpu, message.memory) == (kept, kept)


WRONG_TYPES = [
    ({"family": 5}, "family", 'must be a string, not the number 5; write it in quotes, "5"'),
    ({"family": ["a"]}, "family", "must be a string, not a list of 1"),
    ({"family": "\ud800"}, "family", "surrogate"),
    ({"cpu": True}, "cpu", "must be a string or a number, not true"),
    ({"cpu": 10**4000}, "cpu", "digits"),
    ({"enableFaultInjection": "yes"}, "enableFaultInjection", "must be true or false"),
    ({"enableFaultInjection": 1}, "enableFaultInjection", "must be true or false, not the number 1"),
    ({"containerDefinitions": {}}, "containerDefinitions", "must be a list [...]"),
    ({"containerDefinitions": [7]}, "containerDefinitions[0]", "must be an object"),
    ({"containerDefinitions": [None]}, "containerDefinitions[0]", "null inside a list"),
    ({"containerDefinitions": [{"memory": "８0"}]}, "containerDefinitions[0].memory", "whole number"),
    ({"containerDefinitions": [{"memory": "1e3"}]}, "containerDefinitions[0].memory", "whole number"),
    ({"containerDefinitions": [{"memory": 80.0}]}, "containerDefinitions[0].memory", "write 80"),
    ({"containerDefinitions": [{"memory": 80.5}]}, "containerDefinitions[0].memory", "whole number"),
    ({"containerDefinitions": [{"memory": True}]}, "containerDefinitions[0].memory", "whole number, not true"),
    ({"containerDefinitions": [{"memory": 2**31}]}, "containerDefinitions[0].memory", "between -2147483648 and"),
    ({"containerDefinitions": [{"memory": 10**18}]}, "containerDefinitions[0].memory", "1000000000000000000"),
    ({"containerDefinitions": [{"command": "ls -l"}]}, "containerDefinitions[0].command", "must be a list"),
    ({"containerDefinitions": [{"command": ["ls", 5]}]}, "containerDefinitions[0].command[1]", "a string"),
    ({"containerDefinitions": [{"dockerLabels": {"a.b": 5}}]}, 'containerDefinitions[0].dockerLabels["a.b"]', "5"),
    ({"containerDefinitions": [{"dockerLabels": []}]}, "containerDefinitions[0].dockerLabels", "an object"),
    ({"runtimePlatform": "LINUX"}, "runtimePlatform", "must be an object"),
    ([], "", "the document must be an object {...}, not a list of 0"),
    ("text", "", "the document must be an object"),
    (None, "", "the document must be an object"),
]


@pytest.mark.parametrize(("document", "field", "message"), WRONG_TYPES)
def test_wrong_types_are_refused_where_they_are(document: object, field: str, message: str) -> None:
    found = problems(document)
    assert list(found) == [field]
    assert message in found[field]


def test_all_errors_are_collected() -> None:
    found = problems(
        {
            "family": 1,
            "containerDefinitions": [{"cpu": "x", "portMappings": [{"hostPort": "http"}]}, {"essential": "no"}],
        }
    )
    assert list(found) == [
        "family",
        "containerDefinitions[0].cpu",
        "containerDefinitions[0].portMappings[0].hostPort",
        "containerDefinitions[1].essential",
    ]


def test_more_errors_than_anybody_reads_end_early() -> None:
    started = time.process_time()
    found = problems({"containerDefinitions": [{"environment": [{"name": 5}] * 100_000}]})
    assert len(found) == 51
    assert time.process_time() - started < 0.1


def test_each_unknown_field_is_named_with_what_was_probably_meant() -> None:
    document = {
        "famly": "x",
        "containerDefinitions": [{"container_path": "x", "Image": "nginx", "portMappings": [{"zzz": 1}]}],
        "\x1b[2J": 1,
    }
    _, warnings = register(document)
    assert [(warning.field, warning.message) for warning in warnings] == [
        ("famly", 'unknown field, ignored; did you mean "family"?'),
        ("containerDefinitions[0].container_path", "unknown field, ignored"),
        ("containerDefinitions[0].Image", 'unknown field, ignored; did you mean "image"?'),
        ("containerDefinitions[0].portMappings[0].zzz", "unknown field, ignored"),
        ('["\\u001b[2J"]', "unknown field, ignored"),
    ]
    found = problems(document, strict=True)
    assert list(found) == [warning.field for warning in warnings]
    assert found["famly"] == 'unknown field; did you mean "family"?'


@pytest.mark.parametrize("keys", [[f"contanerDefinition{i}" for i in range(5000)], ["x" * 1_000_000]])
def test_floods_of_unknown_fields_are_cut_short(keys: list[str]) -> None:
    started = time.process_time()
    _, warnings = register(dict.fromkeys(keys, 1))
    assert 1 <= len(warnings) <= 51
    assert sum(len(str(warning)) for warning in warnings) < 10_000
    assert time.process_time() - started < 0.1


def test_the_wrapper_of_describe_is_taken_off() -> None:
    inner = {"family": "web", "revision": 3, "registeredAt": 1700000000.5, "status": ["whatever"]}
    message, warnings = register({"taskDefinition": inner, "tags": [{"key": "a", "value": "b"}]})
    assert to_document(message) == {"family": "web", "tags": [{"key": "a", "value": "b"}]}
    assert warnings == []


def test_what_stands_beside_a_wrapped_definition_is_not_lost_silently() -> None:
    wrapped = {"taskDefinition": {"family": "web"}, "tag": [], "ResponseMetadata": {"RequestId": "1"}}
    _, warnings = register(wrapped)
    assert [warning.field for warning in warnings] == ["tag"]
    assert list(problems(wrapped, strict=True)) == ["tag"]
    tags = [{"key": "a", "value": "b"}]
    assert list(problems({"taskDefinition": {"family": "web", "tags": tags}, "tags": tags})) == ["tags"]


def test_read_only_fields_set_by_a_grpc_client_are_dropped() -> None:
    assert to_document(RegisterTaskDefinitionRequest(family="web", revision=4, status="ACTIVE")) == {"family": "web"}


TIMES = [
    (1700000000, 1700000000000, 1700000000),
    (1700000000.123, 1700000000123, 1700000000.123),
    (0, 0, 0),
    ("2023-11-14T22:13:20Z", 1700000000000, 1700000000),
    ("2023-11-14T23:13:20.5+01:00", 1700000000500, 1700000000.5),
]


@pytest.mark.parametrize(("given", "millis", "seconds"), TIMES)
def test_times_are_seconds_in_json_and_milliseconds_in_messages(given: object, millis: int, seconds: float) -> None:
    message, _ = to_message({"createdAt": given}, Task)
    assert message.created_at == millis
    assert to_document(message) == {"createdAt": seconds}
    assert isinstance(to_document(message)["createdAt"], type(seconds))


@pytest.mark.parametrize("given", ["yesterday", "2023-11-14T22:13:20", -1, 1e300, float("nan"), True, [], 10**30])
def test_what_is_not_a_time(given: object) -> None:
    assert list(problems({"since": given}, ReadLogsRequest)) == ["since"]


def test_names_that_differ_from_the_default_are_honoured() -> None:
    document = {"enableECSManagedTags": True, "overrides": {"cpu": 512}}
    message, warnings = to_message(document, RunTaskRequest)
    assert (message.enable_ecs_managed_tags, message.overrides.cpu, warnings) == (True, "512", [])
    assert to_document(message) == {"enableECSManagedTags": True, "overrides": {"cpu": "512"}}


def test_other_kinds() -> None:
    message, _ = to_message({"doubleValue": 2, "longValue": -(2**63), "stringSetValue": ["80"]}, Resource)
    assert to_document(message) == {"doubleValue": 2.0, "longValue": -(2**63), "stringSetValue": ["80"]}
    assert list(problems({"doubleValue": float("inf")}, Resource)) == ["doubleValue"]
    assert list(problems({"longValue": 2**63}, Resource)) == ["longValue"]
    line, _ = to_message({"message": "aGVsbG8="}, LogEvent)
    assert (line.message, to_document(line)) == (b"hello", {"message": "aGVsbG8="})
    assert list(problems({"message": "not base64!"}, LogEvent)) == ["message"]


def test_every_message_of_the_contract_has_a_form() -> None:
    for message_type in (Task, TaskDefinition, ContainerInstance, Event, RunTasksResponse):
        assert to_document(message_type()) == {}


def test_numbers_and_booleans_in_quotes_are_read_as_meant_and_said_so() -> None:
    document = {
        "containerDefinitions": [{"memory": "80", "portMappings": [{"hostPort": "8080"}], "essential": "false"}]
    }
    message, warnings = register(document)
    assert message.container_definitions[0].HasField("essential")
    assert not message.container_definitions[0].essential
    assert message.container_definitions[0].memory == 80
    assert message.container_definitions[0].port_mappings[0].host_port == 8080
    assert [warning.field for warning in warnings] == [
        "containerDefinitions[0].memory",
        "containerDefinitions[0].portMappings[0].hostPort",
        "containerDefinitions[0].essential",
    ]
    assert problems(document, strict=True)["containerDefinitions[0].memory"].endswith("write 80 without quotes")
