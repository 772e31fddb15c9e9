"""Fields that decide where a task runs."""

import pytest
from shoal_scheduler.api.validate_task_definition import task_definition_problems
from shoal_scheduler.control import inputs

from tests.fields.running import Document, container, definition
from tests.unit.scheduler.plane import Plane, instance


async def failures(document: Document) -> list[str]:
    """Why the only instance, of rack r1 and of x86_64, does not run it."""
    plane = Plane()
    attributes = {"rack": "r1", "ecs.os-type": "linux", "ecs.cpu-architecture": "x86_64"}
    await plane.prepare(instance("x", attributes=attributes), document=document)
    launched = await plane.one(inputs.RunTask(cluster="default", definition=document["family"]))
    return [failure.reason for failure in launched.failures]


@pytest.mark.parametrize(("rack", "reasons"), [("r1", []), ("r2", ["MEMBEROF"])])
async def test_placement_constraints(rack: str, reasons: list[str]) -> None:
    constraint = {"type": "memberOf", "expression": f"attribute:rack == {rack}"}
    assert await failures(definition(container(), placementConstraints=[constraint])) == reasons


@pytest.mark.parametrize(
    ("platform", "reasons"),
    [
        ({"cpuArchitecture": "X86_64", "operatingSystemFamily": "LINUX"}, []),
        ({"cpuArchitecture": "ARM64"}, ["ATTRIBUTE"]),
        ({"operatingSystemFamily": "WINDOWS_SERVER_2022_CORE"}, ["ATTRIBUTE"]),
    ],
)
async def test_runtime_platform(platform: dict[str, str], reasons: list[str]) -> None:
    assert await failures(definition(container(), runtimePlatform=platform)) == reasons


def test_compatibilities() -> None:
    """What the cloud would not run as FARGATE cannot be registered as that."""
    document = definition(container(privileged=True), networkMode="awsvpc", cpu="256", memory="512")
    assert task_definition_problems({**document, "requiresCompatibilities": ["EC2"]}) == []
    (problem,) = task_definition_problems({**document, "requiresCompatibilities": ["FARGATE"]})
    assert problem.field == "containerDefinitions[0].privileged"
