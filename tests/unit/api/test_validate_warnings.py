"""Nothing is ignored silently: each field of the contract is run, refused or warned about."""

from pathlib import Path
from typing import Any

import pytest
from shoal import awsjson
from shoal.v1 import task_definition_pb2 as pb
from shoal_scheduler.api.validate_task_definition import task_definition_problems, task_definition_warnings

from tests.definitions import OWN, PUBLISHED
from tests.unit.api.definitions import Document, container, definition, of_container

C = "containerDefinitions[0]"

# Fields that are carried out as they stand.
RUN = {
    *("family", "networkMode", "containerDefinitions", "volumes", "placementConstraints", "cpu", "memory", "tags"),
    *("requiresCompatibilities", "runtimePlatform"),
}
RUN_OF_CONTAINER = {
    *("name", "image", "cpu", "memory", "memoryReservation", "portMappings", "essential", "entryPoint", "command"),
    *("environment", "mountPoints", "user", "workingDirectory", "hostname", "readonlyRootFilesystem", "dnsServers"),
    *("dnsSearchDomains", "extraHosts", "dockerLabels", "ulimits", "linuxParameters", "stopTimeout", "interactive"),
    *("pseudoTerminal", "systemControls", "disableNetworking", "links", "volumesFrom", "dependsOn", "startTimeout"),
    *("healthCheck", "restartPolicy"),
}
# A value for each of the others.
WARNED = {
    "taskRoleArn": "arn:aws:iam::111122223333:role/x",
    "executionRoleArn": "arn:aws:iam::111122223333:role/x",
    "pidMode": "host",
    "ipcMode": "host",
    "proxyConfiguration": {"type": "APPMESH", "containerName": "app"},
    "inferenceAccelerators": [{"deviceName": "d", "deviceType": "eia2.medium"}],
    "ephemeralStorage": {"sizeInGiB": 21},
    "enableFaultInjection": True,
    "trustedExecutionConfiguration": {"isolationMode": "x"},
}
WARNED_OF_CONTAINER: Document = {
    "repositoryCredentials": {"credentialsParameter": "x"},
    "environmentFiles": [{"type": "s3", "value": "x"}],
    "secrets": [{"name": "A", "valueFrom": "x"}],
    "versionConsistency": "enabled",
    "privileged": True,
    "dockerSecurityOptions": ["label:disable"],
    "logConfiguration": {"logDriver": "awslogs"},
    "resourceRequirements": [{"type": "NeuronDevice", "value": "ALL"}],
    "firelensConfiguration": {"type": "fluentd"},
    "credentialSpecs": ["credentialspec:x"],
}


def warnings_of(document: Document) -> dict[str, str]:
    assert task_definition_problems(document) == []
    return {warning.field: warning.message for warning in task_definition_warnings(document)}


def test_every_field_of_a_task_definition_is_accounted_for() -> None:
    fields = pb.RegisterTaskDefinitionRequest.DESCRIPTOR.fields
    assert {field.json_name for field in fields if field.number < 100} == RUN | WARNED.keys()
    assert not RUN & WARNED.keys()
    fields = pb.ContainerDefinition.DESCRIPTOR.fields
    assert {field.json_name for field in fields} == RUN_OF_CONTAINER | WARNED_OF_CONTAINER.keys()
    assert not RUN_OF_CONTAINER & WARNED_OF_CONTAINER.keys()


@pytest.mark.parametrize("field", WARNED)
def test_fields_of_the_task_that_do_nothing(field: str) -> None:
    found = warnings_of(definition(**{field: WARNED[field]}))
    assert list(found) == [field]


@pytest.mark.parametrize("field", WARNED_OF_CONTAINER)
def test_fields_of_a_container_that_do_nothing(field: str) -> None:
    document = definition(container(**{field: WARNED_OF_CONTAINER[field]}), container(name="other"))
    found = warnings_of(document)
    assert [name for name in found if name.startswith(f"{C}.{field}")]
    assert all(name.startswith(f"{C}.{field}") for name in found)


INSIDE: list[tuple[Document, list[str]]] = [
    (definition(networkMode="awsvpc"), ["networkMode"]),
    (definition(networkMode="default"), ["networkMode"]),
    (definition(networkMode="host"), []),
    (definition(pidMode="task", ipcMode="task"), []),
    (definition(requiresCompatibilities=["EC2", "MANAGED_INSTANCES"]), ["requiresCompatibilities[1]"]),
    (
        definition(runtimePlatform={"operatingSystemFamily": "WINDOWS_SERVER_2022_CORE"}),
        ["runtimePlatform.operatingSystemFamily"],
    ),
    (definition(volumes=[{"name": "v", "host": {"sourcePath": "/srv"}}]), ["volumes[0].host.sourcePath"]),
    (definition(volumes=[{"name": "v", "host": {}}, {"name": "w"}]), []),
    (definition(volumes=[{"name": "v", "configuredAtLaunch": True}]), ["volumes[0].configuredAtLaunch"]),
    (
        definition(
            volumes=[{"name": "v", "dockerVolumeConfiguration": {"driver": "nfs", "driverOpts": {"device": "/"}}}]
        ),
        [f"volumes[0].dockerVolumeConfiguration.{key}" for key in ("driver", "driverOpts")],
    ),
    (
        definition(volumes=[{"name": "v", "dockerVolumeConfiguration": {"scope": "shared", "autoprovision": False}}]),
        ["volumes[0].dockerVolumeConfiguration.autoprovision"],
    ),
    (
        of_container(portMappings=[{"containerPort": 80, "name": "a", "appProtocol": "grpc"}]),
        [f"{C}.portMappings[0].name", f"{C}.portMappings[0].appProtocol"],
    ),
    (of_container(portMappings=[{"containerPort": 80, "hostPort": 22}]), [f"{C}.portMappings[0].hostPort"]),
    (of_container(portMappings=[{"containerPort": 22}]), []),
    (of_container(portMappings=[{"containerPortRange": "80-90"}]), [f"{C}.portMappings[0].containerPortRange"]),
    (of_container(resourceRequirements=[{"type": "GPU", "value": "1"}]), []),
    (of_container(resourceRequirements=[{"type": "licence", "value": "1"}]), [f"{C}.resourceRequirements[0].type"]),
    (
        of_container(
            resourceRequirements=[
                {"type": "GPU", "sharingStrategy": {"nvidiaMps": {"memory": 9, "maxComputePercent": 50}}}
            ]
        ),
        [f"{C}.resourceRequirements[0].sharingStrategy.nvidiaMps.memory"],
    ),
    (
        of_container(resourceRequirements=[{"type": "GPU", "sharingStrategy": {"nvidiaMps": {"memory": 9}}}]),
        [f"{C}.resourceRequirements[0].sharingStrategy.nvidiaMps.{key}" for key in ("memory", "maxComputePercent")],
    ),
    (
        of_container(portMappings=[{"containerPort": 80}], disableNetworking=True),
        [f"{C}.portMappings"],
    ),
    (definition(container(hostname="x"), networkMode="host"), [f"{C}.hostname"]),
    (
        definition(container(portMappings=[{"containerPort": 8080, "hostPort": 80}]), networkMode="awsvpc"),
        ["networkMode", f"{C}.portMappings[0].hostPort"],
    ),
    (of_container(environment=[{"name": "A"}, {"name": "A"}]), [f"{C}.environment[1].name"]),
    (of_container(environment=[{"name": "TASK_FENCE"}]), [f"{C}.environment[0].name"]),
    (of_container(linuxParameters={"devices": [{"hostPath": "/dev/mem"}]}), [f"{C}.linuxParameters.devices"]),
    (of_container(linuxParameters={"swappiness": 60}), [f"{C}.linuxParameters.swappiness"]),
    (of_container(linuxParameters={"swappiness": 60, "maxSwap": 0}), []),
    (
        of_container(linuxParameters={"capabilities": {"add": ["NET_ADMIN", "ALL"]}}),
        [f"{C}.linuxParameters.capabilities.add[1]"],
    ),
    (of_container(dockerSecurityOptions=["no-new-privileges"]), []),
    (of_container(logConfiguration={"logDriver": "json-file", "options": {"max-size": "1m"}}), []),
    (
        of_container(logConfiguration={"logDriver": "json-file", "options": {"awslogs-group": "x"}}),
        [f"{C}.logConfiguration.options.awslogs-group"],
    ),
    (of_container(restartPolicy={"enabled": False}, versionConsistency="disabled", privileged=False), []),
]


@pytest.mark.parametrize(("document", "fields"), INSIDE, ids=[str(number) for number in range(len(INSIDE))])
def test_what_is_said_of_values(document: Document, fields: list[str]) -> None:
    assert list(warnings_of(document)) == fields


def registered(path: Path) -> Document:
    message, _ = awsjson.to_message(awsjson.loads(path.read_bytes()), pb.RegisterTaskDefinitionRequest)
    document: Document = awsjson.to_document(message)
    return document


FILES: dict[str, list[str]] = {
    "batch_worker": ["volumes[0].host.sourcePath"],
    "console_nulls": [],
    "described_wrapper": [],
    "gpu_training": ["taskRoleArn"],
    "numbers_for_strings": [],
    "task_sized": [f"{C}.repositoryCredentials"],
    "web_bridge": [],
}


@pytest.mark.parametrize("name", FILES)
def test_own_files(name: str) -> None:
    assert list(warnings_of(registered(OWN / f"{name}.json"))) == FILES[name]


@pytest.mark.skipif(not PUBLISHED.is_dir(), reason="no published task definitions beside the repository")
def test_published_files() -> None:
    files = {path.stem: warnings_of(registered(path)) for path in PUBLISHED.glob("*.json")}
    assert files["nginx_ec2"].keys() == {f"{C}.logConfiguration"}
    assert files["tomcat_ec2"].keys() == {
        *("networkMode", f"{C}.logConfiguration", f"{C}.portMappings[0].hostPort"),
    }
    assert "kept on the instance by the json-file driver" in files["nginx_ec2"][f"{C}.logConfiguration"]


def test_a_warning_says_what_happens_instead() -> None:
    document = definition(taskRoleArn="arn:aws:iam::111122223333:role/x", networkMode="awsvpc")
    found: dict[str, Any] = warnings_of(document)
    assert "routed addresses come later" in found["networkMode"]
    assert "cannot be run yet" in found["taskRoleArn"]


def test_what_a_task_has_once_is_the_first_containers() -> None:
    def both(web: Document, side: Document, **task: Any) -> set[str]:
        pair = definition(container(**web), container(name="side", **side), **task)
        return warnings_of(pair).keys() - {"networkMode"}

    port, other = {"portMappings": [{"containerPort": 80}]}, "containerDefinitions[1]"
    assert both(port, port, networkMode="awsvpc") == {f"{other}.portMappings[0].containerPort"}
    assert both(port, port) == set()
    assert both({"hostname": "a"}, {"hostname": "b"}, networkMode="awsvpc") == {f"{other}.hostname"}
    assert both({"hostname": "a"}, {"hostname": "a"}, networkMode="awsvpc") == set()
    big, small = ({"linuxParameters": {"sharedMemorySize": size}} for size in (64, 32))
    assert both(big, small, ipcMode="task") == {f"{other}.linuxParameters.sharedMemorySize"}
    assert both(big, small) == set()
