"""GPUs, shares of GPUs and resources of the cluster's own in a definition: what may be registered, what may be run."""

from typing import Any

import pytest
from shoal.attributes import OPERATING_SYSTEMS
from shoal_scheduler.api.validate_task_definition import (
    runnable_problems,
    task_definition_problems,
)

from tests.unit.api.definitions import Document, container, definition, of_container

C = "containerDefinitions[0]"
R = f"{C}.resourceRequirements[0]"


def sharing(**mps: Any) -> Document:
    return {"type": "GPU", "sharingStrategy": {"nvidiaMps": mps}}


def wanting(*requirements: Document) -> Document:
    return of_container(resourceRequirements=list(requirements))


BAD: list[tuple[Document, str]] = [
    ({"value": "1"}, ".type"),
    ({"type": "", "value": "1"}, ".type"),
    ({"type": "GPU"}, ""),
    *[({"type": "GPU", "value": value}, ".value") for value in ("", "0", "-1", "1000", "1.5", "0.0", "0.0001", "all")],
    *[({"type": "GPU", "value": value}, ".value") for value in ("1\n", "\u0661", "1e1", "50%", ".")],
    ({"type": "GPU", "value": "1", "sharingStrategy": {}}, ""),
    ({"type": "GPU", "sharingStrategy": {}}, ".sharingStrategy.nvidiaMps"),
    (sharing(maxComputePercent=50), ".sharingStrategy.nvidiaMps.memory"),
    (sharing(memory=0), ".sharingStrategy.nvidiaMps.memory"),
    (sharing(memory=1, maxComputePercent=0), ".sharingStrategy.nvidiaMps.maxComputePercent"),
    (sharing(memory=1, maxComputePercent=101), ".sharingStrategy.nvidiaMps.maxComputePercent"),
    ({"type": "NeuronDevice", "value": "1"}, ".value"),
    ({"type": "InferenceAccelerator", "value": "d"}, ".value"),
    ({"type": "licence"}, ".value"),
    *[({"type": "licence", "value": value}, ".value") for value in ("0", "-1", "1.5", "2147483648", "ALL", "1 ")],
    ({"type": "licence", "value": "1", "sharingStrategy": {"nvidiaMps": {"memory": 1}}}, ".sharingStrategy"),
    *[({"type": name, "value": "1"}, ".type") for name in ("gpu", "Cpu", "CPU", "ports", "PORTS_UDP", "NEURONDEVICE")],
    *[({"type": name, "value": "1"}, ".type") for name in ("9lives", "a b", "x" * 64, "a\x1b", "lic\u00e9nce")],
]


@pytest.mark.parametrize(("requirement", "field"), BAD)
def test_bad(requirement: Document, field: str) -> None:
    (problem,) = task_definition_problems(wanting(requirement))
    assert problem.field == f"{R}{field}"
    assert problem.message.isascii()
    assert problem.message.isprintable()


GOOD: list[Document] = [
    {"type": "GPU", "value": "1"},
    {"type": "GPU", "value": "999"},
    {"type": "GPU", "value": "0.5"},
    {"type": "GPU", "value": ".125"},
    sharing(memory=1024, maxComputePercent=25),
    sharing(memory=1024),
    {"type": "licence", "value": "2147483647"},
    {"type": "x" * 63, "value": "1"},
    {"type": "A.b_c-9", "value": "2"},
]


@pytest.mark.parametrize("requirement", GOOD)
def test_good(requirement: Document) -> None:
    assert task_definition_problems(wanting(requirement)) == []
    assert runnable_problems(wanting(requirement)) == []


def test_a_name_in_another_case_is_asked_about() -> None:
    (problem,) = task_definition_problems(wanting({"type": "gpu", "value": "1"}))
    assert problem.message == '"gpu" is reserved; did you mean GPU?'
    (problem,) = task_definition_problems(wanting({"type": "CPU", "value": "1"}))
    assert problem.message == '"CPU" is a resource of every instance; ask for it by cpu'


def test_a_type_is_asked_for_once() -> None:
    once = [{"type": "GPU", "value": "1"}, {"type": "licence", "value": "1"}]
    assert task_definition_problems(wanting(*once)) == []
    found = [problem.field for problem in task_definition_problems(wanting(*once, *once))]
    assert found == [f"{C}.resourceRequirements[{number}].type" for number in (2, 3)]


def test_all_gpus_of_an_instance_can_be_registered_but_not_run() -> None:
    document = wanting({"type": "GPU", "value": "ALL"})
    assert task_definition_problems(document) == []
    (problem,) = runnable_problems(document)
    assert problem.field == f"{R}.value"


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ({"type": "GPU", "value": "2"}, {"type": "GPU", "value": "1"}, None),
        ({"type": "GPU", "value": "0.5"}, {"type": "GPU", "value": "0.5"}, None),
        (sharing(memory=9, maxComputePercent=50), {"type": "GPU", "value": "0.5"}, None),
        ({"type": "GPU", "value": "2"}, {"type": "GPU", "value": "0.5"}, "some take whole GPUs"),
        ({"type": "GPU", "value": "0.5"}, {"type": "GPU", "value": "0.25"}, "different shares"),
        ({"type": "GPU", "value": "0.6"}, {"type": "GPU", "value": "0.6"}, "1200 thousandths"),
    ],
)
def test_what_the_containers_of_a_task_take_together(first: Document, second: Document, said: str | None) -> None:
    both = [container(resourceRequirements=[first]), container(name="b", resourceRequirements=[second])]
    assert task_definition_problems(definition(*both)) == []
    messages = [problem.message for problem in runnable_problems(definition(*both)) if "GPU" in problem.message]
    assert len(messages) == (said is not None)
    assert said is None or said.removeprefix("some take") in messages[0]


def test_host_ports_of_ranges() -> None:
    def fields(mode: str, *mappings: Document) -> list[str]:
        document = definition(container(portMappings=list(mappings)), networkMode=mode)
        return [problem.field for problem in task_definition_problems(document)]

    wide, inside = {"containerPortRange": "8000-8010"}, {"containerPort": 8010}
    assert fields("host", wide, inside) == [f"{C}.portMappings[1].hostPort"]
    assert fields("host", inside, wide) == [f"{C}.portMappings[1].containerPortRange"]
    assert fields("host", wide, {**inside, "protocol": "udp"}) == []
    assert fields("host", wide, {"containerPort": 8011}) == []
    assert fields("bridge", wide, {"containerPort": 80, "hostPort": 8005}) == []
    nested = [{"containerPort": 8005}, {"containerPort": 8020}, {"containerPort": 8001}]
    assert len(fields("host", wide, *nested)) == 2


@pytest.mark.parametrize("family", OPERATING_SYSTEMS)
def test_published_platforms(family: str) -> None:
    platform = {"operatingSystemFamily": family, "cpuArchitecture": "X86_64"}
    assert task_definition_problems(definition(runtimePlatform=platform)) == []


@pytest.mark.parametrize("family", ["linux", "WINDOWS", "WINDOWS_SERVER_2019", "WINDOWS_SERVER_2023_CORE", "DARWIN"])
def test_other_platforms_are_refused(family: str) -> None:
    (problem,) = task_definition_problems(definition(runtimePlatform={"operatingSystemFamily": family}))
    assert problem.field == "runtimePlatform.operatingSystemFamily"
    (problem,) = task_definition_problems(definition(runtimePlatform={"cpuArchitecture": "x86_64"}))
    assert problem.field == "runtimePlatform.cpuArchitecture"
