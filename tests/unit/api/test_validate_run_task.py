import time
from typing import Any

import pytest
from shoal_scheduler.api.validate_run_task import run_task_problems, run_task_warnings, start_task_problems

from tests.unit.api.definitions import container, definition

OVERRIDE = "overrides.containerOverrides[0]"


def fields_of(fields: dict[str, Any], known: dict[str, Any] | None = None) -> list[str]:
    started = time.process_time()
    found = run_task_problems({"taskDefinition": "web:1", **fields}, known)
    assert time.process_time() - started < 0.1
    for problem in found:
        assert problem.message.isascii()
        assert problem.message.isprintable()
        assert len(problem.message) < 400
    return [problem.field for problem in found]


def overriding(**fields: Any) -> dict[str, Any]:
    return {"overrides": {"containerOverrides": [{"name": "app", **fields}]}}


BAD: list[tuple[dict[str, Any], str]] = [
    ({"taskDefinition": ""}, "taskDefinition"),
    *[({"count": count}, "count") for count in (0, -1, 10_001, 10**18)],
    *[({"cluster": cluster}, "cluster") for cluster in ("a b", "../x", "-x", "x" * 256, "{{7*7}}")],
    *[({"group": group}, "group") for group in ("", "a b", "x" * 256, "a\n", "<script>")],
    *[({"startedBy": name}, "startedBy") for name in ("", "a b", "x" * 129, "a\x1b")],
    *[({"clientToken": token}, "clientToken") for token in ("", "a b", "x" * 65, "é", "a\n")],
    ({"launchType": "LAMBDA"}, "launchType"),
    ({"propagateTags": "SERVICE"}, "propagateTags"),
    ({"tags": [{"key": "aws:x"}]}, "tags[0].key"),
    ({"tags": [{"key": f"k{i}"} for i in range(51)]}, "tags"),
    ({"capacityProviderStrategy": [{"capacityProvider": "x"}]}, "capacityProviderStrategy"),
    ({"volumeConfigurations": [{"name": "x"}]}, "volumeConfigurations"),
    ({"placementStrategy": [{"type": "random"}] * 6}, "placementStrategy"),
    ({"placementStrategy": [{}]}, "placementStrategy[0].type"),
    ({"placementStrategy": [{"type": "best"}]}, "placementStrategy[0].type"),
    ({"placementStrategy": [{"type": "random", "field": "cpu"}]}, "placementStrategy[0].field"),
    ({"placementStrategy": [{"type": "fragmentation", "field": "gpu"}]}, "placementStrategy[0].field"),
    ({"placementStrategy": [{"type": "binpack"}]}, "placementStrategy[0].field"),
    ({"placementStrategy": [{"type": "binpack", "field": "disk"}]}, "placementStrategy[0].field"),
    ({"placementStrategy": [{"type": "spread"}]}, "placementStrategy[0].field"),
    ({"placementStrategy": [{"type": "spread", "field": "ecs.availability-zone"}]}, "placementStrategy[0].field"),
    ({"placementStrategy": [{"type": "spread", "field": "attribute:"}]}, "placementStrategy[0].field"),
    ({"placementStrategy": [{"type": "spread", "field": "attribute:a b"}]}, "placementStrategy[0].field"),
    ({"placementConstraints": [{"type": "distinctInstance"}] * 11}, "placementConstraints"),
    ({"placementConstraints": [{"type": "affinity"}]}, "placementConstraints[0].type"),
    ({"placementConstraints": [{"type": "memberOf"}]}, "placementConstraints[0].expression"),
    ({"placementConstraints": [{"type": "memberOf", "expression": "x" * 2001}]}, "placementConstraints[0].expression"),
    (
        {"placementConstraints": [{"type": "distinctInstance", "expression": "x"}]},
        "placementConstraints[0].expression",
    ),
    ({"overrides": {"cpu": "1Gi"}}, "overrides.cpu"),
    ({"overrides": {"memory": "0"}}, "overrides.memory"),
    ({"overrides": {"taskRoleArn": "x"}}, "overrides.taskRoleArn"),
    ({"overrides": {"ephemeralStorage": {"sizeInGiB": 30}}}, "overrides.ephemeralStorage"),
    ({"overrides": {"containerOverrides": [{"cpu": 1}]}}, f"{OVERRIDE}.name"),
    ({"overrides": {"containerOverrides": [{"name": "app"}] * 2}}, "overrides.containerOverrides[1].name"),
    (overriding(cpu=-1), f"{OVERRIDE}.cpu"),
    (overriding(memory=0), f"{OVERRIDE}.memory"),
    (overriding(memory=64, memoryReservation=128), f"{OVERRIDE}.memory"),
    (overriding(command=["\0"]), f"{OVERRIDE}.command[0]"),
    (overriding(environment=[{"name": "A=B"}]), f"{OVERRIDE}.environment[0].name"),
    (overriding(environment=[{"name": "A", "value": "\0"}]), f"{OVERRIDE}.environment[0].value"),
    (overriding(environmentFiles=[{"type": "s3", "value": "x"}]), f"{OVERRIDE}.environmentFiles[0].value"),
    (overriding(environmentFiles=[{"type": "file", "value": "x"}]), f"{OVERRIDE}.environmentFiles[0].value"),
    (overriding(resourceRequirements=[{"type": "GPU", "value": "x"}]), f"{OVERRIDE}.resourceRequirements[0].value"),
    (overriding(resourceRequirements=[{"type": "GPU", "value": "ALL"}]), f"{OVERRIDE}.resourceRequirements[0].value"),
    (overriding(resourceRequirements=[{"type": "gpu", "value": "1"}]), f"{OVERRIDE}.resourceRequirements[0].type"),
    (
        overriding(resourceRequirements=[{"type": "NeuronDevice", "value": "ALL"}]),
        f"{OVERRIDE}.resourceRequirements[0].type",
    ),
    (overriding(command=["x" * 8192]), "overrides"),
    (overriding(environment=[{"name": "A"}] * 100_000), "overrides"),
]


@pytest.mark.parametrize(("fields", "field"), BAD, ids=[f"{number}-{row[1]}" for number, row in enumerate(BAD)])
def test_bad(fields: dict[str, Any], field: str) -> None:
    assert fields_of(fields) == [field]


GOOD: list[dict[str, Any]] = [
    {},
    {"count": 1},
    {"count": 10_000, "cluster": "prod", "group": "family:web", "startedBy": "events-rule/nightly_1"},
    {"cluster": "arn:shoal:ecs:local:000000000000:cluster/default", "clientToken": "!" * 64},
    {"launchType": "FARGATE", "propagateTags": "TASK_DEFINITION", "tags": [{"key": "a", "value": ""}]},
    {
        "placementStrategy": [
            {"type": "spread", "field": "attribute:ecs.availability-zone"},
            {"type": "spread", "field": "instanceId"},
            {"type": "spread", "field": "host"},
            {"type": "binpack", "field": "memory"},
            {"type": "random"},
        ]
    },
    {
        "placementStrategy": [
            {"type": "fragmentation"},
            {"type": "binpack", "field": "gpu"},
            {"type": "binpack", "field": "CPU"},
        ]
    },
    {"placementConstraints": [{"type": "distinctInstance"}, {"type": "memberOf", "expression": "task:group == a"}]},
    {"overrides": {"cpu": "1 vCPU", "memory": "2 GB"}},
    overriding(resourceRequirements=[{"type": "GPU", "value": "2"}, {"type": "licence", "value": "1"}]),
    overriding(command=["ls"], environment=[{"name": "A"}], cpu=0, memory=64, memoryReservation=64),
]


@pytest.mark.parametrize("fields", GOOD)
def test_good(fields: dict[str, Any]) -> None:
    assert fields_of(fields) == []


def test_overrides_are_held_against_the_definition() -> None:
    known = definition(container(memory=128, memoryReservation=64))
    assert fields_of(overriding(memory=64), known) == []
    assert fields_of(overriding(memory=32), known) == [f"{OVERRIDE}.memory"]
    assert fields_of(overriding(memory=32)) == []
    assert fields_of({"overrides": {"containerOverrides": [{"name": "db"}]}}, known) == [f"{OVERRIDE}.name"]


def test_devices_of_overrides_are_held_against_those_of_the_other_containers() -> None:
    whole, half = ([{"type": "GPU", "value": value}] for value in ("1", "0.5"))
    known = definition(container(resourceRequirements=whole), container(name="b", resourceRequirements=whole))
    assert fields_of(overriding(resourceRequirements=half), known) == ["overrides.containerOverrides"]
    alone = definition(container(resourceRequirements=whole), container(name="b"))
    assert fields_of(overriding(resourceRequirements=half), alone) == []


def test_the_constraints_of_the_definition_count_too() -> None:
    def constraints(number: int) -> dict[str, Any]:
        return {"placementConstraints": [{"type": "memberOf", "expression": "agentVersion > 1"}] * number}

    assert fields_of(constraints(6), definition(**constraints(4))) == []
    assert fields_of(constraints(7), definition(**constraints(4))) == ["placementConstraints"]
    assert fields_of(constraints(10), definition()) == []
    assert fields_of({}, definition(**constraints(10))) == []


def test_start_task_names_its_instances() -> None:
    def fields(instances: list[str]) -> list[str]:
        found = start_task_problems({"taskDefinition": "web", "containerInstances": instances})
        return [problem.field for problem in found]

    assert fields(["a", "b"]) == []
    assert fields([]) == ["containerInstances"]
    assert fields([str(number) for number in range(11)]) == ["containerInstances"]
    assert fields(["a", "b", "a"]) == ["containerInstances[2]"]


def test_what_does_nothing_is_named() -> None:
    document = {
        "taskDefinition": "web",
        "launchType": "FARGATE",
        "networkConfiguration": {"awsvpcConfiguration": {"subnets": ["subnet-1"]}},
        "enableExecuteCommand": True,
        "enableECSManagedTags": False,
        "overrides": {"executionRoleArn": "x"},
    }
    assert [warning.field for warning in run_task_warnings(document)] == [
        "networkConfiguration",
        "enableExecuteCommand",
        "launchType",
        "overrides.executionRoleArn",
    ]
    assert run_task_warnings({"taskDefinition": "web"}) == []
