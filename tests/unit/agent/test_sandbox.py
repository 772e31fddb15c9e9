"""What the hidden container of a task holds, and what its containers leave to it."""

import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from shoal_agent.configuration import Configuration
from shoal_agent.definition.labels import Owner, container_name, listed_ports, read
from shoal_agent.definition.plan import plans
from shoal_agent.definition.sandbox import PAUSE, joined, own_ports
from shoal_agent.definition.specification import Specification, specification
from shoal_agent.engine import pause_image
from shoal_agent.engine.port import Port
from shoal_agent.task import Assignment

OWNER = Owner("default", "one")
WEB = {"name": "web", "image": "web", "memory": 6}
SIDE = {"name": "side", "image": "side", "memory": 6, "essential": False}
PORTS = (Port(80, 49153), Port(81, 49154), Port(53, 49155, "udp"))


def definition(web: dict[str, Any] | None = None, side: dict[str, Any] | None = None, **task: Any) -> dict[str, Any]:
    return {"family": "t", "containerDefinitions": [{**WEB, **(web or {})}, {**SIDE, **(side or {})}], **task}


def made(document: dict[str, Any], name: str = PAUSE, **rules: Any) -> Specification:
    return specification(Assignment("t1", definition=document), name, OWNER, Configuration(**rules))


def container(document: dict[str, Any], name: str = "web") -> dict[str, Any]:
    return joined(made(document, name).body, document, "abc")


@pytest.mark.parametrize(
    ("task", "needed"),
    [
        ({}, False),
        ({"networkMode": "host", "pidMode": "host", "ipcMode": "none"}, False),
        ({"networkMode": "awsvpc"}, True),
        ({"pidMode": "task"}, True),
        ({"ipcMode": "task"}, True),
    ],
)
def test_it_is_made_only_if_something_is_shared(task: dict[str, Any], needed: bool) -> None:
    named = [plan.name for plan in plans(definition(**task))]
    assert named == ([PAUSE] if needed else []) + ["web", "side"]
    assert [plan.internal for plan in plans(definition(**task))] == [name == PAUSE for name in named]


@pytest.mark.parametrize(
    ("task", "network", "ipc"),
    [
        ({"networkMode": "awsvpc"}, "bridge", "private"),
        ({"pidMode": "task"}, "none", "private"),
        ({"ipcMode": "task", "networkMode": "awsvpc"}, "bridge", "shareable"),
    ],
)
def test_it_has_the_namespaces_that_are_shared(task: dict[str, Any], network: str, ipc: str) -> None:
    host = made(definition(**task)).body["HostConfig"]
    assert (host["NetworkMode"], host["IpcMode"]) == (network, ipc)


@pytest.mark.parametrize(
    ("task", "key", "place"),
    [
        ({"networkMode": "awsvpc"}, "NetworkMode", "container:abc"),
        ({"networkMode": "awsvpc"}, "PidMode", ""),
        ({"pidMode": "task"}, "PidMode", "container:abc"),
        ({"pidMode": "task"}, "NetworkMode", "bridge"),
        ({"pidMode": "task", "networkMode": "host"}, "NetworkMode", "host"),
        ({"ipcMode": "task"}, "IpcMode", "container:abc"),
        ({"networkMode": "awsvpc"}, "IpcMode", "private"),
    ],
)
def test_containers_join_what_is_shared_and_nothing_else(task: dict[str, Any], key: str, place: str) -> None:
    assert container(definition(**task))["HostConfig"][key] == place


def test_a_container_without_network_stays_without_it() -> None:
    document = definition({"disableNetworking": True, "portMappings": [{"containerPort": 80}]}, networkMode="awsvpc")
    assert container(document)["HostConfig"]["NetworkMode"] == "none"
    assert made(document).body["HostConfig"]["PortBindings"] == {}
    assert own_ports(document, "web", PORTS) == ()


def test_it_publishes_the_ports_of_all_containers_and_none_that_is_asked_for() -> None:
    web = {"portMappings": [{"containerPort": 80, "hostPort": 80}, {"containerPort": 53, "protocol": "udp"}]}
    document = definition(web, {"portMappings": [{"containerPort": 80}, {"containerPort": 81}]}, networkMode="awsvpc")
    pause = made(document)
    assert {key: bound[0]["HostPort"] for key, bound in pause.body["HostConfig"]["PortBindings"].items()} == {
        "80/tcp": "",
        "53/udp": "",
        "81/tcp": "",
    }
    assert pause.ports.open and all(len(bound) == 1 for bound in pause.body["HostConfig"]["PortBindings"].values())
    assert own_ports(document, "web", PORTS) == (PORTS[0], PORTS[2])
    assert own_ports(document, "side", PORTS) == (PORTS[0], PORTS[1])
    ranged = made(document, dynamic_ports="20000-20009").body["HostConfig"]["PortBindings"]
    assert ranged["80/tcp"][0]["HostPort"] == "20000-20009"


def test_what_an_engine_takes_from_no_container_that_joins_another_is_given_here() -> None:
    web = {"hostname": "a", "dnsServers": ["192.0.2.1"], "extraHosts": [{"hostname": "h", "ipAddress": "192.0.2.9"}]}
    side = {"hostname": "b", "dnsServers": ["192.0.2.1", "192.0.2.2"], "dnsSearchDomains": ["x.example"]}
    document = definition(web, side, networkMode="awsvpc")
    pause = made(document).body
    assert pause["Hostname"] == "a"
    assert pause["HostConfig"]["Dns"] == ["192.0.2.1", "192.0.2.2"]
    assert pause["HostConfig"]["DnsSearch"] == ["x.example"]
    assert pause["HostConfig"]["ExtraHosts"] == ["h:192.0.2.9"]
    joins = container(document)
    assert not {"Hostname", "ExposedPorts"} & joins.keys()
    assert not {"Dns", "DnsSearch", "ExtraHosts", "PortBindings", "Links"} & joins["HostConfig"].keys()


def test_kernel_parameters_and_shared_memory_go_with_their_namespace() -> None:
    def controls(**values: str) -> dict[str, Any]:
        return {"systemControls": [{"namespace": key.replace("_", "."), "value": it} for key, it in values.items()]}

    web = controls(net_core_somaxconn="1", kernel_sem="2") | {"linuxParameters": {"sharedMemorySize": 64}}
    document = definition(web, controls(net_core_somaxconn="3"), networkMode="awsvpc", ipcMode="task")
    pause = made(document).body["HostConfig"]
    assert pause["Sysctls"] == {"net.core.somaxconn": "3", "kernel.sem": "2"}
    assert pause["ShmSize"] == 64 * 1024 * 1024
    joins = container(document)["HostConfig"]
    assert joins["Sysctls"] == {} and "ShmSize" not in joins
    only_network = definition(web, networkMode="awsvpc")
    assert made(only_network).body["HostConfig"]["Sysctls"] == {"net.core.somaxconn": "1"}
    assert container(only_network)["HostConfig"]["Sysctls"] == {"kernel.sem": "2"}


def test_its_labels_name_the_task_and_its_name_is_one_that_engines_take() -> None:
    tag = read(made(definition(networkMode="awsvpc")).body["Labels"])
    assert tag is not None and (tag.task_id, tag.container) == ("t1", PAUSE)
    assert container_name("default", "t1", PAUSE) == "default.t1.internal.ecs.pause"


def test_ports_that_differ_are_read_back_from_a_label() -> None:
    ports = (Port(80, 49153), Port(443, 443), Port(53, 49155, "udp"))
    text = listed_ports(ports)
    assert text == "80:49153/tcp,443/tcp,53:49155/udp"
    tag = read({"shoal.task": "t", "shoal.container": "web", "shoal.ports": text})
    assert tag is not None and tag.ports == ports


@pytest.mark.parametrize(("architecture", "machine"), [("x86_64", 62), ("aarch64", 183)])
def test_the_program_is_an_executable_of_its_architecture(architecture: str, machine: int) -> None:
    program = pause_image.program(architecture)
    assert program.startswith(b"\x7fELF") and int.from_bytes(program[18:20], "little") == machine
    assert pause_image.archive(architecture) == pause_image.archive(architecture)
    with pytest.raises(KeyError):
        pause_image.program("s390x")


@pytest.mark.parametrize(("architecture", "interpreter"), [("x86_64", ""), ("aarch64", "qemu-aarch64-static")])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_program_waits_until_it_is_told_to_end(
    tmp_path: Path, architecture: str, interpreter: str, number: signal.Signals
) -> None:
    if interpreter and shutil.which(interpreter) is None:
        pytest.skip(f"not installed: {interpreter}")
    path = tmp_path / "pause"
    path.write_bytes(pause_image.program(architecture))
    path.chmod(0o755)
    running = subprocess.Popen([*filter(None, [interpreter]), str(path)])
    try:
        with pytest.raises(subprocess.TimeoutExpired):
            running.wait(0.3)
        running.send_signal(number)
        assert running.wait(10) == 0
    finally:
        running.kill()
        running.wait()
