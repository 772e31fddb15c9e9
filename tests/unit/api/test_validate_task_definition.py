"""Rules about the definition as a whole, and between its containers."""

import time
from pathlib import Path
from typing import Any

import pytest
from shoal import awsjson
from shoal.v1.task_definition_pb2 import RegisterTaskDefinitionRequest
from shoal_scheduler.api.validate_task_definition import (
    DOCUMENT_BYTES_MAX,
    runnable_problems,
    task_definition_problems,
)
from shoal_scheduler.api.validate_values import size_problems

from tests.definitions import all_files
from tests.unit.api.definitions import container, definition

C = "containerDefinitions"
EXAMPLES = Path(__file__).parents[3] / "deploy" / "examples"
SERVICES = {EXAMPLES / "web-service.json"}
FARGATE: dict[str, Any] = {
    "requiresCompatibilities": ["FARGATE"],
    "networkMode": "awsvpc",
    "cpu": "256",
    "memory": "512",
}


def fields_of(document: dict[str, Any]) -> list[str]:
    started = time.process_time()
    found = task_definition_problems(document)
    assert time.process_time() - started < 0.1
    return [problem.field for problem in found]


@pytest.mark.parametrize("path", all_files())
def test_real_definitions_have_no_problems(path: Path) -> None:
    message, _ = awsjson.to_message(awsjson.loads(path.read_bytes()), RegisterTaskDefinitionRequest)
    assert task_definition_problems(awsjson.to_document(message)) == []


@pytest.mark.parametrize("path", sorted({*EXAMPLES.glob("*.json")} - SERVICES), ids=lambda path: path.name)
def test_our_examples_can_be_run(path: Path) -> None:
    message, _ = awsjson.to_message(awsjson.loads(path.read_bytes()), RegisterTaskDefinitionRequest)
    document = awsjson.to_document(message)
    assert (task_definition_problems(document), runnable_problems(document)) == ([], [])


SIZES = ["-1", "0", "NaN", "1e-9", "1e18", "1000000000000000000", "1Gi ", "１２", "", " ", "127 MB"]
BAD: list[tuple[dict[str, Any], str]] = [
    *[({"cpu": size}, "cpu") for size in [*SIZES, "127", "196609", "0.1 vCPU", "193 vCPU"]],
    *[({"memory": size}, "memory") for size in [*SIZES, "5"]],
    ({"family": None}, "family"),
    ({"family": "a b"}, "family"),
    ({"family": "x" * 256}, "family"),
    ({"networkMode": "Bridge"}, "networkMode"),
    ({"networkMode": "container:other"}, "networkMode"),
    ({"pidMode": "container"}, "pidMode"),
    ({"ipcMode": "shareable"}, "ipcMode"),
    ({"requiresCompatibilities": ["EC2", "LAMBDA"]}, "requiresCompatibilities[1]"),
    ({"runtimePlatform": {"cpuArchitecture": "amd64"}}, "runtimePlatform.cpuArchitecture"),
    ({"runtimePlatform": {"operatingSystemFamily": "BSD"}}, "runtimePlatform.operatingSystemFamily"),
    ({"containerDefinitions": []}, "containerDefinitions"),
    ({"cpu": "256", "containerDefinitions": [container(cpu=257)]}, "cpu"),
    ({"memory": "512", "containerDefinitions": [container(memory=513, memoryReservation=6)]}, f"{C}[0].memory"),
    ({"volumes": [{"host": {}}]}, "volumes[0].name"),
    ({"volumes": [{"name": "a/../../etc"}]}, "volumes[0].name"),
    ({"volumes": [{"name": "v"}, {"name": "v"}]}, "volumes[1].name"),
    ({"volumes": [{"name": "v", "host": {}, "dockerVolumeConfiguration": {}}]}, "volumes[0]"),
    *[
        ({"volumes": [{"name": "v", "host": {"sourcePath": path}}]}, "volumes[0].host.sourcePath")
        for path in ("data", "./data", "/data/../etc", "/..", "/data\0", "~/data")
    ],
    (
        {"volumes": [{"name": "v", "dockerVolumeConfiguration": {"scope": "cluster"}}]},
        "volumes[0].dockerVolumeConfiguration.scope",
    ),
    (
        {"volumes": [{"name": "v", "dockerVolumeConfiguration": {"autoprovision": True}}]},
        "volumes[0].dockerVolumeConfiguration.autoprovision",
    ),
    (
        {"volumes": [{"name": "v", "dockerVolumeConfiguration": {"labels": {"shoal.task": "x"}}}]},
        'volumes[0].dockerVolumeConfiguration.labels["shoal.task"]',
    ),
    (
        {"volumes": [{"name": "v", "efsVolumeConfiguration": {}}]},
        "volumes[0].efsVolumeConfiguration.fileSystemId",
    ),
    (
        {"volumes": [{"name": name, "configuredAtLaunch": True} for name in ("v", "w")]},
        "volumes[1].configuredAtLaunch",
    ),
    (
        {"placementConstraints": [{"type": "memberOf", "expression": "runningTasksCount < 3"}] * 11},
        "placementConstraints",
    ),
    ({"placementConstraints": [{"type": "distinctInstance"}]}, "placementConstraints[0].type"),
    ({"placementConstraints": [{"expression": "a"}]}, "placementConstraints[0].type"),
    ({"placementConstraints": [{"type": "memberOf"}]}, "placementConstraints[0].expression"),
    (
        {"placementConstraints": [{"type": "memberOf", "expression": "x" * 2001}]},
        "placementConstraints[0].expression",
    ),
    ({"tags": [{"key": "aws:x"}]}, "tags[0].key"),
    ({"proxyConfiguration": {"containerName": "envoy"}}, "proxyConfiguration.containerName"),
    ({"inferenceAccelerators": [{"deviceName": "d"}]}, "inferenceAccelerators[0].deviceType"),
    ({"ephemeralStorage": {"sizeInGiB": 20}}, "ephemeralStorage.sizeInGiB"),
    ({"ephemeralStorage": {}}, "ephemeralStorage.sizeInGiB"),
    ({"requiresCompatibilities": ["FARGATE"], "networkMode": "awsvpc", "memory": "512"}, "cpu"),
    ({"requiresCompatibilities": ["FARGATE"], "networkMode": "awsvpc", "cpu": "256"}, "memory"),
    ({**FARGATE, "networkMode": "bridge"}, "networkMode"),
    ({**FARGATE, "pidMode": "host"}, "pidMode"),
    ({**FARGATE, "placementConstraints": [{"type": "memberOf", "expression": "a"}]}, "placementConstraints"),
    ({**FARGATE, "containerDefinitions": [container(privileged=True)]}, f"{C}[0].privileged"),
    (
        {"networkMode": "none", "containerDefinitions": [container(portMappings=[{"containerPort": 1}])]},
        f"{C}[0].portMappings",
    ),
    (
        {
            "networkMode": "host",
            "containerDefinitions": [container(portMappings=[{"containerPort": 80, "hostPort": 81}])],
        },
        f"{C}[0].portMappings[0].hostPort",
    ),
]


@pytest.mark.parametrize(("fields", "field"), BAD, ids=[f"{number}-{row[1]}" for number, row in enumerate(BAD)])
def test_bad(fields: dict[str, Any], field: str) -> None:
    document = {key: value for key, value in definition(**fields).items() if value is not None}
    assert fields_of(document) == [field]


def test_nothing_at_all() -> None:
    assert fields_of({}) == ["family", "containerDefinitions"]


def test_a_size_is_required_somewhere() -> None:
    unsized = {"name": "a", "image": "nginx"}
    assert fields_of(definition(unsized)) == [f"{C}[0].memory"]
    assert fields_of(definition(unsized, memory="512")) == []
    assert fields_of(definition({**unsized, "memoryReservation": 64})) == []


def test_containers_fit_into_their_task() -> None:
    pair = [container(name="a", memory=300), container(name="b", memory=300)]
    assert fields_of(definition(*pair, memory="512")) == ["memory"]
    assert fields_of(definition(*pair, memory="600")) == []
    reserving = [{**each, "memoryReservation": 200} for each in pair]
    assert fields_of(definition(*reserving, memory="512")) == []


def test_names_are_unique_and_something_is_essential() -> None:
    assert fields_of(definition(container(), container())) == [f"{C}[1].name"]
    assert fields_of(definition(container(essential=False))) == [C]
    assert fields_of(definition(container(essential=False), container(name="b"))) == []


def test_a_definition_has_at_most_ten_containers() -> None:
    containers = [container(name=f"c{number}") for number in range(2000)]
    assert fields_of(definition(*containers[:10])) == []
    assert fields_of(definition(*containers[:11])) == [C]


@pytest.mark.parametrize("mode", ["bridge", "host"])
def test_a_port_of_the_instance_goes_to_one_container(mode: str) -> None:
    mapping = {"containerPort": 80, "hostPort": 80}
    both = definition(container(portMappings=[mapping]), container(name="b", portMappings=[mapping]), networkMode=mode)
    assert fields_of(both) == [f"{C}[1].portMappings[0].hostPort"]


def test_an_awsvpc_task_may_name_another_host_port() -> None:
    mapping = {"containerPort": 8080, "hostPort": 80}
    assert fields_of(definition(container(portMappings=[mapping]), networkMode="awsvpc")) == []


def depends(name: str, *targets: tuple[str, str], **fields: Any) -> dict[str, Any]:
    waits = [{"containerName": target, "condition": condition} for target, condition in targets]
    return container(name=name, dependsOn=waits, **fields)


@pytest.mark.parametrize(
    ("containers", "fields"),
    [
        ([depends("a", ("b", "START")), depends("b")], []),
        ([depends("a", ("b", "SUCCESS")), depends("b", essential=False)], []),
        ([depends("a", ("b", "SUCCESS")), depends("b")], [f"{C}[0].dependsOn[0].condition"]),
        ([depends("a", ("b", "COMPLETE")), depends("b")], [f"{C}[0].dependsOn[0].condition"]),
        ([depends("a", ("b", "HEALTHY")), depends("b")], [f"{C}[0].dependsOn[0].condition"]),
        ([depends("a", ("b", "STARTED")), depends("b")], [f"{C}[0].dependsOn[0].condition"]),
        ([depends("a", ("b", "START")), depends("b", ("a", "START"))], [C]),
        ([depends("a", ("b", "START")), depends("b", ("c", "START")), depends("c", ("b", "START"))], [C]),
        ([depends("a", ("b", "START")), container(name="b", links=["a:x"])], [C]),
        ([depends("a", ("b", "START")), container(name="b", volumesFrom=[{"sourceContainer": "a"}])], [C]),
    ],
)
def test_the_order_of_containers(containers: list[dict[str, Any]], fields: list[str]) -> None:
    assert fields_of(definition(*containers)) == fields


def test_a_circle_is_drawn() -> None:
    document = definition(depends("a", ("b", "START")), depends("b", ("c", "START")), depends("c", ("b", "START")))
    (problem,) = task_definition_problems(document)
    assert '"b" -> "c" -> "b"' in problem.message


@pytest.mark.parametrize(
    "fields",
    [
        {"environment": [{"name": f"V{number}", "value": "x"} for number in range(10_000)]},
        {"command": ["x" * 65_536]},
        {"dockerLabels": {f"k{number}": "v" for number in range(10_000)}},
    ],
    ids=["variables", "command", "labels"],
)
def test_a_document_has_at_most_64_kib(fields: dict[str, Any]) -> None:
    (problem,) = task_definition_problems(definition(container(**fields)))
    assert problem.field == ""
    assert "64 KiB" in problem.message


def test_a_message_too_large_is_refused_before_it_is_read() -> None:
    assert list(size_problems(DOCUMENT_BYTES_MAX, DOCUMENT_BYTES_MAX)) == []
    (problem,) = size_problems(DOCUMENT_BYTES_MAX + 1, DOCUMENT_BYTES_MAX)
    assert "at most 64 KiB" in problem.message


@pytest.mark.parametrize(
    "fields",
    [
        {"environment": [{"name": "="}] * 4000},
        {"portMappings": [{"containerPort": 80}] * 3000},
        {"portMappings": [{"containerPortRange": "1-65535"}] * 1500},
        {"links": ["x"] * 10_000},
        {"dependsOn": [{"containerName": "x", "condition": "y"}] * 1000},
        {"ulimits": [{"name": "nofil", "softLimit": 2, "hardLimit": 1}] * 1000},
    ],
)
def test_floods_of_problems_are_cut_short(fields: dict[str, Any]) -> None:
    assert 0 < len(fields_of(definition(container(**fields)))) <= 50


def test_what_cannot_be_run_yet_is_refused_by_name() -> None:
    document = definition(
        container(
            secrets=[{"name": "A", "valueFrom": "x"}],
            environmentFiles=[{"type": "s3", "value": "x"}],
            resourceRequirements=[{"type": "GPU", "value": "1"}, {"type": "NeuronDevice", "value": "ALL"}],
        ),
        container(name="b"),
        taskRoleArn="arn:aws:iam::111122223333:role/x",
        volumes=[{"name": "v", "efsVolumeConfiguration": {"fileSystemId": "fs-1"}}],
    )
    assert task_definition_problems(document) == []
    assert [problem.field for problem in runnable_problems(document)] == [
        "taskRoleArn",
        "containerDefinitions[0].secrets",
        "containerDefinitions[0].environmentFiles[0].value",
        "containerDefinitions[0].resourceRequirements[1].type",
        "volumes[0].efsVolumeConfiguration",
    ]
    assert runnable_problems(definition()) == []
    assert runnable_problems(definition(taskRoleArn="")) == []
