"""What a task definition and the overrides of a submission take of an instance."""

from typing import Any

import pytest
from shoal_scheduler.model import ask
from shoal_scheduler.model.ask import Port, Resources, platform_of, resources_of
from shoal_scheduler.model.definition import Definition


def registered(*containers: dict[str, Any], **document: Any) -> Definition:
    named = [{"name": f"c{number}", **container} for number, container in enumerate(containers)]
    return Definition(family="web", revision=1, registered_at=0, document={"containerDefinitions": named, **document})


def overriding(**fields: Any) -> dict[str, Any]:
    return {"containerOverrides": [{"name": "c0", **fields}]}


def gpu(value: str) -> dict[str, Any]:
    return {"type": "GPU", "value": value}


SHARED = {"type": "GPU", "sharingStrategy": {"nvidiaMps": {"memory": 1024, "maxComputePercent": 25}}}


def test_the_reservation_is_what_is_subtracted() -> None:
    both = registered({"cpu": 10, "memory": 100, "memoryReservation": 60}, {"cpu": 5, "memory": 40})
    assert resources_of(both, {}) == Resources(15, 100)
    assert resources_of(registered({"cpu": 10, "memory": 9}, cpu="1 vCPU", memory="1 GB"), {}) == Resources(1024, 1024)


@pytest.mark.parametrize(
    ("requirements", "gpus"),
    [
        ([[gpu("2")], [gpu("1")]], (3, 1000)),
        ([[gpu("2")], []], (2, 1000)),
        ([[], []], (0, 1000)),
        ([[SHARED]], (1, 250)),
        ([[SHARED], [SHARED]], (1, 500)),  # containers that share a GPU share one, as in ECS
        ([[gpu("0.5")]], (1, 500)),
        ([[gpu(".125")]], (1, 125)),
        ([[{"type": "GPU", "sharingStrategy": {"nvidiaMps": {"memory": 1024}}}]], (1, 1000)),
    ],
)
def test_gpus(requirements: list[list[dict[str, Any]]], gpus: tuple[int, int]) -> None:
    found = resources_of(registered(*({"resourceRequirements": each} for each in requirements)), {})
    assert (found.gpus, found.gpu_milli) == gpus


def test_resources_of_ones_own_are_summed_and_in_order() -> None:
    fpga, licence = ({"type": name, "value": "2"} for name in ("fpga", "licence"))
    both = registered({"resourceRequirements": [licence, fpga]}, {"resourceRequirements": [licence, gpu("1")]})
    assert resources_of(both, {}) == Resources(gpus=1, custom=(("fpga", 2), ("licence", 4)))


def test_overrides_replace_requirements_of_their_type() -> None:
    licence = {"type": "licence", "value": "2"}
    both = registered({"resourceRequirements": [gpu("1"), licence]}, {"resourceRequirements": [gpu("1")]})
    changed = resources_of(both, overriding(resourceRequirements=[gpu("4")]))
    assert changed == Resources(gpus=5, custom=(("licence", 2),))
    assert resources_of(both, overriding(cpu=7)).cpu == 7
    assert resources_of(both, {"memory": "1 GB"}).memory_mib == 1024


@pytest.mark.parametrize(
    ("mode", "mapping", "ports"),
    [
        ("bridge", {"containerPort": 80, "hostPort": 8080}, (Port("tcp", 8080, 8080),)),
        ("bridge", {"containerPort": 80}, ()),
        ("bridge", {"containerPort": 80, "hostPort": 0}, ()),
        ("bridge", {"containerPortRange": "8000-8010"}, ()),
        ("host", {"containerPort": 80, "protocol": "udp"}, (Port("udp", 80, 80),)),
        ("host", {"containerPortRange": "8000-8010"}, (Port("tcp", 8000, 8010),)),
        ("awsvpc", {"containerPort": 80, "hostPort": 80}, ()),
        ("none", {}, ()),
    ],
)
def test_ports(mode: str, mapping: dict[str, Any], ports: tuple[Port, ...]) -> None:
    assert resources_of(registered({"portMappings": [mapping]}, networkMode=mode), {}).ports == ports


def test_a_container_without_network_takes_no_ports() -> None:
    alone = registered({"portMappings": [{"containerPort": 80, "hostPort": 80}], "disableNetworking": True})
    assert resources_of(alone, {}).ports == ()


def test_a_definition_is_worked_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where overrides change no size; and never is one taken for another of the same name."""
    first, second = registered({"cpu": 1}), registered({"cpu": 2})
    assert (resources_of(first, {}).cpu, resources_of(second, {}).cpu) == (1, 2)
    monkeypatch.setattr(ask, "_resources", None)
    assert resources_of(first, {}).cpu == 1
    assert resources_of(first, overriding(command=["ls"])).cpu == 1
    assert resources_of(second, {"taskRoleArn": "x"}).cpu == 2


def test_platforms_are_matched_exactly() -> None:
    def wanted(**platform: str) -> dict[str, str]:
        return dict(platform_of({"runtimePlatform": platform}))

    assert platform_of({}) == ()
    assert wanted(operatingSystemFamily="LINUX", cpuArchitecture="ARM64") == {
        "ecs.os-type": "linux",
        "ecs.cpu-architecture": "arm64",
    }
    assert wanted(operatingSystemFamily="WINDOWS_SERVER_2022_CORE", cpuArchitecture="X86_64") == {
        "ecs.os-family": "WINDOWS_SERVER_2022_CORE",
        "ecs.cpu-architecture": "x86_64",
    }
