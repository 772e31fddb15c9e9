"""Task definitions that are wrong: an error with the path of the field, and nothing stored."""

from collections.abc import Iterator
from typing import Any

import pytest
from shoal.v1 import (
    resource_pb2,
    task_definition_pb2,
)

from tests.api.refusals import is_refused
from tests.api.requests import definition
from tests.fakes.scheduler import Scheduler

Container = task_definition_pb2.ContainerDefinition
KeyValuePair = resource_pb2.KeyValuePair
PortMapping = task_definition_pb2.PortMapping
C0 = "containerDefinitions[0]"


def containers(**fields: Any) -> dict[str, Any]:
    """A definition's first container with these fields."""
    return {"container_definitions": [Container(**{"name": "app", "image": "busybox", "memory": 32, **fields})]}


def ports(*mappings: PortMapping) -> dict[str, Any]:
    return containers(port_mappings=mappings)


def mounted(path: str) -> dict[str, Any]:
    volume = task_definition_pb2.Volume(name="v", host=task_definition_pb2.HostVolumeProperties(source_path=path))
    return {**containers(mount_points=[_mount("/data")]), "volumes": [volume]}


def _mount(path: str) -> task_definition_pb2.MountPoint:
    return task_definition_pb2.MountPoint(source_volume="v", container_path=path)


def depending(*pairs: tuple[str, str]) -> dict[str, Any]:
    """Containers of which each waits for another."""
    depends = task_definition_pb2.ContainerDependency
    return {
        "container_definitions": [
            Container(name=name, image="busybox", memory=32, depends_on=[depends(container_name=on, condition="START")])
            for name, on in pairs
        ]
    }


def _amounts() -> Iterator[tuple[str, dict[str, Any], str]]:
    for text in ("-1", "0", "NaN", "1e-9", "1e18", "1Gi ", "１２", "", "9" * 5000, "1 vCPU\n"):
        yield f"task cpu {text[:10]!r}", {"cpu": text}, "cpu"
        yield f"task memory {text[:10]!r}", {"memory": text}, "memory"
    for number in (-1, -(2**31), 2**31 - 1):
        yield f"cpu {number}", containers(cpu=number), f"{C0}.cpu"
        yield f"memory {number}", containers(memory=number), f"{C0}.memory"
    yield "limit below request", containers(memory=16, memory_reservation=64), f"{C0}.memory"


def _ports() -> Iterator[tuple[str, dict[str, Any], str]]:
    at = f"{C0}.portMappings[0]"
    for number in (-1, 65_536, 2**31 - 1):
        yield f"container port {number}", ports(PortMapping(container_port=number)), f"{at}.containerPort"
        yield f"host port {number}", ports(PortMapping(container_port=80, host_port=number)), f"{at}.hostPort"
    twice = ports(PortMapping(container_port=80, host_port=80), PortMapping(container_port=81, host_port=80))
    yield "a port twice", twice, f"{C0}.portMappings[1].hostPort"
    yield "a protocol", ports(PortMapping(container_port=80, protocol="sctp ")), f"{at}.protocol"
    yield "a range reversed", ports(PortMapping(container_port_range="90-80")), f"{at}.containerPortRange"


IMAGES = ("", "../x", "a@sha256:short", "Upper/Case", "registry:99999/x", "x" * 10_000, "a b", "a\x1b[2J", "/x", "x:")


def _containers() -> Iterator[tuple[str, dict[str, Any], str]]:
    for image in IMAGES:
        yield f"image {image[:20]!r}", containers(image=image), f"{C0}.image"
    for name in ("", "A=B", "A\0B", "A\nB"):
        variables = containers(environment=[KeyValuePair(name=name, value="x")])
        yield f"variable {name!r}", variables, f"{C0}.environment[0].name"
    yield "a value with NUL", containers(environment=[KeyValuePair(name="A", value="\0")]), f"{C0}.environment[0].value"
    yield "a command with NUL", containers(command=["a\0"]), f"{C0}.command[0]"
    yield "stop timeout 10^9", containers(stop_timeout=10**9), f"{C0}.stopTimeout"
    yield "stop timeout -1", containers(stop_timeout=-1), f"{C0}.stopTimeout"
    check = task_definition_pb2.HealthCheck(command=["CMD", "true"], interval=0)
    yield "health check every 0 s", containers(health_check=check), f"{C0}.healthCheck.interval"
    limit = task_definition_pb2.Ulimit(name="nofile", soft_limit=-2, hard_limit=-2)
    yield "ulimit -2", containers(ulimits=[limit]), f"{C0}.ulimits[0].softLimit"
    yield "a cycle", depending(("a", "b"), ("b", "a")), "containerDefinitions"
    yield "on itself", depending(("a", "a")), f"{C0}.dependsOn[0].containerName"
    yield "on nobody", depending(("a", "z")), f"{C0}.dependsOn[0].containerName"
    for path in ("relative", "/a/../../etc", "a/../../etc", "/a\n"):
        yield f"host path {path!r}", mounted(path), "volumes[0].host.sourcePath"
    yield "mounted over the root", containers(mount_points=[_mount("/")]), f"{C0}.mountPoints[0].containerPath"


def _wholes() -> Iterator[tuple[str, dict[str, Any], str]]:
    yield "no family", {"family": ""}, "family"
    yield "no containers", {"container_definitions": []}, "containerDefinitions"
    many = [Container(name=f"c{n}", image="busybox", memory=8) for n in range(11)]
    yield "eleven containers", {"container_definitions": many}, "containerDefinitions"
    yield "none essential", containers(essential=False), "containerDefinitions"
    yield "a network mode", {"network_mode": "{{7*7}}"}, "networkMode"
    yield "a namespace", {"pid_mode": "hosts"}, "pidMode"
    yield "a compatibility", {"requires_compatibilities": ["EC2", "MARS"]}, "requiresCompatibilities[1]"
    constraint = task_definition_pb2.TaskDefinitionPlacementConstraint(type="memberOf", expression="attribute:a ==")
    yield "an expression", {"placement_constraints": [constraint]}, "placementConstraints[0].expression"
    yield "too large", containers(docker_labels={f"k{n}": "x" * 1000 for n in range(100)}), ""


DEFINITIONS = {
    case: (fields, path) for rows in (_amounts(), _ports(), _containers(), _wholes()) for case, fields, path in rows
}


@pytest.mark.parametrize("case", DEFINITIONS)
async def test_task_definitions(scheduler: Scheduler, case: str) -> None:
    fields, path = DEFINITIONS[case]
    request = definition()
    for name in fields:
        request.ClearField(name)  # type: ignore[arg-type]
    request.MergeFrom(type(request)(**fields))
    await is_refused(scheduler, "RegisterTaskDefinition", request, "ClientException", path)
