"""What a job definition may say: each fault told with the job definition's own field."""

import json
import time
from typing import Any

import pytest
from shoal.v1 import job_definition_pb2 as pb
from shoal_scheduler.api.batch.validate_job_definition import (
    DOCUMENT_BYTES_MAX,
    job_definition_problems,
    job_definition_warnings,
)
from shoal_scheduler.control.batch.task_definition import task_definition_of

SIZES = [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "512"}]
CONTAINER: dict[str, Any] = {"image": "flip", "command": ["flip", "Ref::in"], "resourceRequirements": SIZES}
C = "containerProperties"
T = "ecsProperties.taskProperties[0]"


def definition(container: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """None among the fields takes them out."""
    fields = {"image": "flip", "resourceRequirements": SIZES, **(container or {})}
    document = {
        "jobDefinitionName": "flip",
        "type": "container",
        C: {key: value for key, value in fields.items() if value is not None},
        **more,
    }
    return {key: value for key, value in document.items() if value is not None}


def several(*containers: dict[str, Any], **task: Any) -> dict[str, Any]:
    properties = {"taskProperties": [{"containers": list(containers), **task}]}
    return definition(containerProperties=None, ecsProperties=properties)


def fields_of(document: dict[str, Any]) -> list[str]:
    started = time.process_time()
    found = job_definition_problems(document)
    assert time.process_time() - started < 0.1
    return [problem.field for problem in found]


def sized(*requirements: tuple[str, str]) -> dict[str, Any]:
    return {"resourceRequirements": [{"type": kind, "value": value} for kind, value in requirements]}


GOOD: list[dict[str, Any]] = [
    definition(),
    definition(CONTAINER, parameters={"in": "a.png"}, schedulingPriority=9999, propagateTags=True),
    definition({"resourceRequirements": None, "vcpus": 2, "memory": 64}),
    definition(sized(("VCPU", "0.25"), ("MEMORY", "64"), ("GPU", "1"))),
    definition(sized(("VCPU", ".5"), ("MEMORY", "64"), ("licence", "2"))),
    definition(retryStrategy={"attempts": 10}),
    definition(retryStrategy={"attempts": 1, "hostLosses": 0}),
    definition(
        retryStrategy={
            "attempts": 2,
            "evaluateOnExit": [
                {"onStatusReason": "Host EC2*", "action": "RETRY"},
                {"onReason": "CannotPull*", "action": "exit"},
                {"onExitCode": "13*", "action": "EXIT"},
                {"onExitCode": "1", "onReason": "x", "action": "EXIT"},
                {"onReason": "*", "action": "RETRY"},
            ],
        }
    ),
    definition(timeout={"attemptDurationSeconds": 60}),
    definition(platformCapabilities=["FARGATE"]),
    definition(
        {
            "user": "nobody",
            "readonlyRootFilesystem": True,
            "privileged": False,
            "volumes": [{"name": "pictures", "host": {"sourcePath": "/srv/pictures"}}],
            "mountPoints": [{"sourceVolume": "pictures", "containerPath": "/pictures", "readOnly": True}],
            "ulimits": [{"name": "nofile", "softLimit": 1024, "hardLimit": 2048}],
            "linuxParameters": {"initProcessEnabled": True, "sharedMemorySize": 64},
            "logConfiguration": {"logDriver": "json-file"},
            "environment": [{"name": "QUALITY", "value": "90"}],
            "executionRoleArn": "arn:aws:iam::1:role/x",
            "jobRoleArn": "arn:aws:iam::1:role/x",
            "enableExecuteCommand": True,
            "runtimePlatform": {"cpuArchitecture": "X86_64"},
        }
    ),
    definition(
        consumableResourceProperties={"consumableResourceList": [{"consumableResource": "licence", "quantity": 1}]}
    ),
    several(CONTAINER),
    several(
        {**CONTAINER, "name": "main", "dependsOn": [{"containerName": "side", "condition": "START"}]},
        {**CONTAINER, "name": "side", "essential": False},
        ipcMode="task",
    ),
]


@pytest.mark.parametrize("document", GOOD, ids=range(len(GOOD)))
def test_what_can_be_registered(document: dict[str, Any]) -> None:
    assert job_definition_problems(document) == []


R = "retryStrategy"
E = f"{R}.evaluateOnExit"
RULE = {"onReason": "x", "action": "EXIT"}


def retry(*rules: dict[str, Any], **more: Any) -> dict[str, Any]:
    return definition(retryStrategy={"attempts": 2, "evaluateOnExit": list(rules), **more})


OWN: list[tuple[dict[str, Any], str]] = [
    *[
        (definition(jobDefinitionName=name), "jobDefinitionName")
        for name in (None, "", "-a", "_a", "a b", "a:1", "ä", "x" * 129, "a\n")
    ],
    (definition(type=None), "type"),
    (definition(type="Container"), "type"),
    (definition(type="multinode"), "type"),
    (definition(nodeProperties={}), "nodeProperties"),
    (definition(eksProperties={}, containerProperties=None), "eksProperties"),
    (definition(containerProperties=None), C),
    (definition(ecsProperties={"taskProperties": [{"containers": [CONTAINER]}]}), "ecsProperties"),
    (definition(containerProperties=None, ecsProperties={}), "ecsProperties.taskProperties"),
    (definition(containerProperties=None, ecsProperties={"taskProperties": [{}]}), f"{T}.containers"),
    (
        definition(containerProperties=None, ecsProperties={"taskProperties": [{"containers": [CONTAINER]}] * 2}),
        "ecsProperties.taskProperties",
    ),
    *[(definition(schedulingPriority=number), "schedulingPriority") for number in (-1, 10_000, 2**31 - 1)],
    (definition(parameters={"": "x"}), "parameters"),
    (definition(parameters={"in": "a\0b"}), "parameters.in"),
    *[(definition(retryStrategy={"attempts": number}), f"{R}.attempts") for number in (-1, 0, 11)],
    *[(definition(retryStrategy={"hostLosses": number}), f"{R}.hostLosses") for number in (-1, 101)],
    (definition(retryStrategy={"evaluateOnExit": [RULE]}), f"{R}.attempts"),
    (retry(*[RULE] * 6), E),
    (retry({"onReason": "x"}), f"{E}[0].action"),
    (retry(RULE, {"onReason": "x", "action": "STOP"}), f"{E}[1].action"),
    (retry({"action": "RETRY"}), f"{E}[0]"),
    (retry({"action": "RETRY", "onReason": ""}), f"{E}[0]"),
    (retry({"action": "RETRY", "onReason": "x" * 100_000}), f"{E}[0].onReason"),
    (retry({"action": "RETRY", "onReason": "x" * 513}), f"{E}[0].onReason"),
    (retry({"action": "RETRY", "onReason": "*" * 500 + "a"}), f"{E}[0].onReason"),
    (retry({"action": "RETRY", "onReason": "**"}), f"{E}[0].onReason"),
    (retry({"action": "RETRY", "onStatusReason": "Host*terminated"}), f"{E}[0].onStatusReason"),
    *[
        (retry({"action": "RETRY", "onExitCode": code}), f"{E}[0].onExitCode")
        for code in ("one", "-1", "1?", "0x1", "１")
    ],
    *[
        (definition(timeout={"attemptDurationSeconds": number}), "timeout.attemptDurationSeconds")
        for number in (-1, 0, 59)
    ],
    (definition(timeout={}), "timeout.attemptDurationSeconds"),
    (definition(platformCapabilities=["EC2", "ec2"]), "platformCapabilities[1]"),
]


@pytest.mark.parametrize(("document", "field"), OWN, ids=range(len(OWN)))
def test_what_a_job_definition_itself_may_not_say(document: dict[str, Any], field: str) -> None:
    found = fields_of(document)
    # The first 50 KB of an over-long pattern are too much for the whole.
    assert field in found or (found == [""] and len(json.dumps(document)) > DOCUMENT_BYTES_MAX)


def listed(*entries: tuple[str | None, int | None]) -> dict[str, Any]:
    made = [{"consumableResource": name, "quantity": number} for name, number in entries]
    kept = [{key: value for key, value in entry.items() if value is not None} for entry in made]
    return definition(consumableResourceProperties={"consumableResourceList": kept})


L = "consumableResourceProperties.consumableResourceList"


@pytest.mark.parametrize(
    ("document", "field"),
    [
        (listed((None, 1)), f"{L}[0].consumableResource"),
        (listed(("a b", 1)), f"{L}[0].consumableResource"),
        (listed(("a", None)), f"{L}[0].quantity"),
        (listed(("a", 0)), f"{L}[0].quantity"),
        (listed(("a", -1)), f"{L}[0].quantity"),
        (listed(("a", 2**60)), f"{L}[0].quantity"),
        (
            listed(("a", 1), ("arn:shoal:batch:local:000000000000:consumable-resource/a", 1)),
            f"{L}[1].consumableResource",
        ),
    ],
)
def test_consumable_resources(document: dict[str, Any], field: str) -> None:
    assert fields_of(document) == [field]


Q = f"{C}.resourceRequirements"


@pytest.mark.parametrize(
    ("container", "field"),
    [
        *[(sized(("VCPU", text), ("MEMORY", "64")), f"{Q}[0].value") for text in ("", "0", "-1", "1e3", "NaN", "１")],
        *[(sized(("VCPU", "1"), ("MEMORY", text)), f"{Q}[1].value") for text in ("", "0", "5", "1.5", "1 GB")],
        (sized(("VCPU", "1000"), ("MEMORY", "64")), f"{Q}[0].value"),
        (sized(("VCPU", "1")), Q),
        (sized(("MEMORY", "64")), Q),
        ({"resourceRequirements": None}, Q),
        (sized(("VCPU", "1"), ("MEMORY", "64"), ("VCPU", "1")), f"{Q}[2].type"),
        (sized(("VCPU", "1"), ("MEMORY", "64"), ("GPU", "none")), f"{Q}[2].value"),
        (sized(("GPU", "ALL"), ("VCPU", "1"), ("MEMORY", "64")), f"{Q}[0].value"),
        (sized(("VCPU", "1"), ("gpu", "1"), ("MEMORY", "64")), f"{Q}[1].type"),
        ({"vcpus": 1}, f"{C}.vcpus"),
        ({"memory": 64}, f"{C}.memory"),
        ({"resourceRequirements": None, "vcpus": 0, "memory": 64}, f"{C}.vcpus"),
        ({"resourceRequirements": None, "vcpus": 1, "memory": 5}, f"{C}.memory"),
        ({"instanceType": "m5.large"}, f"{C}.instanceType"),
        ({"environment": [{"name": "A"}, {"name": "AWS_BATCH_X", "value": "1"}]}, f"{C}.environment[1].name"),
    ],
)
def test_sizes_and_names_of_a_container(container: dict[str, Any], field: str) -> None:
    assert set(fields_of(definition(container))) == {field}


@pytest.mark.parametrize(
    ("container", "field"),
    [
        ({"image": None}, f"{C}.image"),
        ({"image": "a b"}, f"{C}.image"),
        ({"command": ["a\0b"]}, f"{C}.command[0]"),
        ({"user": "a b"}, f"{C}.user"),
        ({"environment": [{"value": "1"}]}, f"{C}.environment[0].name"),
        ({"environment": [{"name": "A=B", "value": "1"}]}, f"{C}.environment[0].name"),
        ({"mountPoints": [{"sourceVolume": "x", "containerPath": "/x"}]}, f"{C}.mountPoints[0].sourceVolume"),
        (
            {"volumes": [{"name": "x"}], "mountPoints": [{"sourceVolume": "x", "containerPath": "../x"}]},
            f"{C}.mountPoints[0].containerPath",
        ),
        ({"volumes": [{"name": "a b"}]}, f"{C}.volumes[0].name"),
        ({"volumes": [{"name": "x", "host": {"sourcePath": "relative"}}]}, f"{C}.volumes[0].host.sourcePath"),
        (
            {"volumes": [{"name": "x", "efsVolumeConfiguration": {"fileSystemId": "fs-1"}}]},
            f"{C}.volumes[0].efsVolumeConfiguration",
        ),
        ({"ulimits": [{"name": "nofile", "softLimit": 2, "hardLimit": 1}]}, f"{C}.ulimits[0].softLimit"),
        ({"linuxParameters": {"swappiness": 101}}, f"{C}.linuxParameters.swappiness"),
        ({"logConfiguration": {"logDriver": "paper"}}, f"{C}.logConfiguration.logDriver"),
        ({"logConfiguration": {"logDriver": "awsfirelens"}}, f"{C}.logConfiguration.logDriver"),
        ({"secrets": [{"name": "A", "valueFrom": "arn:aws:ssm:x"}]}, f"{C}.secrets"),
        ({"repositoryCredentials": {"credentialsParameter": "arn"}}, f"{C}.repositoryCredentials"),
        ({"ephemeralStorage": {"sizeInGiB": 20}}, f"{C}.ephemeralStorage.sizeInGiB"),
        ({"runtimePlatform": {"cpuArchitecture": "PDP11"}}, f"{C}.runtimePlatform.cpuArchitecture"),
    ],
)
def test_what_registering_a_task_definition_refuses_is_told_with_the_field_of_the_job(
    container: dict[str, Any], field: str
) -> None:
    assert field in fields_of(definition(container))


def test_several_containers_are_told_apart() -> None:
    alone = {key: value for key, value in CONTAINER.items() if key != "image"}
    document = several(
        {**CONTAINER, "name": "a"},
        {**alone, "name": "a"},
        {**CONTAINER, "name": "c", "dependsOn": [{"containerName": "d", "condition": "START"}]},
        CONTAINER,
        {**CONTAINER, "name": "e", "resourceRequirements": SIZES[:1]},
        {**CONTAINER, "name": "f", "environment": [{"name": "AWS_BATCH_JOB_ID", "value": "x"}]},
        networkMode="wireless",
    )
    assert set(fields_of(document)) == {
        f"{T}.containers[1].image",
        f"{T}.containers[1].name",
        f"{T}.containers[2].dependsOn[0].containerName",
        f"{T}.containers[3].name",
        f"{T}.containers[4].resourceRequirements",
        f"{T}.containers[5].environment[0].name",
        f"{T}.networkMode",
    }
    assert fields_of(several(*[{**CONTAINER, "name": f"c{number}"} for number in range(11)])) == [f"{T}.containers"]
    assert fields_of(several({**CONTAINER, "name": "a", "essential": False})) == [f"{T}.containers"]


def test_a_definition_of_24_kib_is_the_longest() -> None:
    def padded(size_bytes: int) -> dict[str, Any]:
        empty = len(json.dumps(definition({"command": [""]}), separators=(",", ":")))
        return definition({"command": ["x" * (size_bytes - empty)]})

    assert fields_of(padded(DOCUMENT_BYTES_MAX)) == []
    (problem,) = job_definition_problems(padded(DOCUMENT_BYTES_MAX + 1))
    assert "24 KiB" in problem.message


def test_no_more_problems_than_anybody_reads() -> None:
    variables = [{"name": f"AWS_BATCH_{number}"} for number in range(300)]
    assert len(fields_of(definition({"environment": variables}))) == 50


def test_what_is_accepted_and_does_less_than_in_the_cloud() -> None:
    document = definition(
        {
            "command": ["flip a b"],
            "jobRoleArn": "arn:aws:iam::1:role/x",
            "executionRoleArn": "arn:aws:iam::1:role/x",
            "networkConfiguration": {"assignPublicIp": "ENABLED"},
            "fargatePlatformConfiguration": {"platformVersion": "LATEST"},
            "ephemeralStorage": {"sizeInGiB": 30},
            "privileged": True,
        },
        platformCapabilities=["FARGATE"],
    )
    assert job_definition_problems(document) == []
    assert {warning.field for warning in job_definition_warnings(document)} == {
        "platformCapabilities[0]",
        f"{C}.command[0]",
        f"{C}.jobRoleArn",
        f"{C}.executionRoleArn",
        f"{C}.networkConfiguration",
        f"{C}.fargatePlatformConfiguration",
        f"{C}.ephemeralStorage",
        f"{C}.privileged",
    }
    assert job_definition_warnings(definition()) == []


# By other ways than the task definition: sizes and the role under names of their own, at the launch, or said in words.
OTHERWISE = {
    *("vcpus", "memory", "resourceRequirements", "jobRoleArn", "enableExecuteCommand"),
    *("instanceType", "networkConfiguration", "fargatePlatformConfiguration", "platformVersion"),
}


@pytest.mark.parametrize(
    ("kind", "where"),
    [
        (pb.ContainerProperties, lambda fields: {C: fields}),
        (pb.EcsTaskProperties, lambda fields: {"ecsProperties": {"taskProperties": [fields]}}),
        (pb.TaskContainerProperties, lambda f: {"ecsProperties": {"taskProperties": [{"containers": [f]}]}}),
    ],
)
def test_no_field_is_dropped_on_the_way_to_the_task_definition(kind: Any, where: Any) -> None:
    for field in kind.DESCRIPTOR.fields:
        name = field.json_name
        if name in OTHERWISE or name == "containers":
            continue
        derived = task_definition_of(where({name: "marked"})).document
        told = (derived, *derived["containerDefinitions"])
        assert any(each.get(name) == "marked" for each in told), name
