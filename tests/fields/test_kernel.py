"""Privileges, limits and parameters of the kernel, devices and namespaces: looked at from inside."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from shoal_agent.configuration import Configuration
from shoal_agent.definition.refusal import Refused

from tests.fields.conftest import MakeRun
from tests.fields.running import Ran, container, definition

LOOK = """
echo "capabilities: $(sed -n 's/^CapEff:[[:space:]]*//p' /proc/self/status)"
echo "no new privileges: $(sed -n 's/^NoNewPrivs:[[:space:]]*//p' /proc/self/status)"
echo "first process: $(cat /proc/1/comm)"
echo "soft files: $(ulimit -S -n)"
echo "hard files: $(ulimit -H -n)"
echo "backlog: $(cat /proc/sys/net/core/somaxconn)"
echo "semaphores: $(cat /proc/sys/kernel/msgmax)"
echo "read: $(head -c 3 /dev/nought | wc -c)"
echo "processes: $(readlink /proc/self/ns/pid)"
echo "messages: $(readlink /proc/self/ns/ipc)"
echo "shared memory: $(test -d /dev/shm && echo yes || echo no)"
"""
NET_ADMIN, CHOWN, KILL = 12, 0, 5  # numbers of capabilities, linux/capability.h


def has(ran: Ran, capability: int) -> bool:
    return bool(int(ran.said["capabilities"], 16) >> capability & 1)


@pytest.fixture(scope="module")
def ran(task: MakeRun) -> Ran:
    linux = {
        "capabilities": {"add": ["NET_ADMIN"], "drop": ["CHOWN"]},
        "devices": [{"hostPath": "/dev/zero", "containerPath": "/dev/nought", "permissions": ["read"]}],
        "initProcessEnabled": True,
    }
    app = container(
        LOOK,
        linuxParameters=linux,
        ulimits=[{"name": "nofile", "softLimit": 100, "hardLimit": 200}],
        systemControls=[
            {"namespace": "net.core.somaxconn", "value": "77"},
            {"namespace": "kernel.msgmax", "value": "9999"},
        ],
        dockerSecurityOptions=["no-new-privileges"],
    )
    return task(definition(app), rules=Configuration(devices=("/dev/zero",))).to_the_end()


@pytest.fixture(scope="module")
def plain(task: MakeRun) -> Ran:
    """One that asks for nothing."""
    return task(definition(container(LOOK))).to_the_end()


def test_capabilities(ran: Ran, plain: Ran) -> None:
    assert (has(ran, NET_ADMIN), has(ran, CHOWN), has(ran, KILL)) == (True, False, True)
    assert (has(plain, NET_ADMIN), has(plain, CHOWN)) == (False, True)


def test_devices(ran: Ran) -> None:
    """Under the name it was to have, and with the permissions it was given: each engine lets all write to this one."""
    assert ran.said["read"] == "3"
    assert [device["CgroupPermissions"] for device in ran.host["Devices"]] == ["r"]


def test_init_process(ran: Ran, plain: Ran) -> None:
    assert (ran.said["first process"], plain.said["first process"]) == ("docker-init", "sh")


def test_ulimits(ran: Ran) -> None:
    assert (ran.said["soft files"], ran.said["hard files"]) == ("100", "200")


def test_system_controls(ran: Ran) -> None:
    assert (ran.said["backlog"], ran.said["semaphores"]) == ("77", "9999")


def test_security_options(ran: Ran, plain: Ran) -> None:
    assert (ran.said["no new privileges"], plain.said["no new privileges"]) == ("1", "0")


def test_privileged(task: MakeRun, plain: Ran) -> None:
    """Made, not started: where the tests themselves run in a container, they have not all there is to give."""
    made = task(definition(container(LOOK, privileged=True)), rules=Configuration(allow_privileged=True)).create()
    assert (made["HostConfig"]["Privileged"], plain.host["Privileged"]) == (True, False)


@pytest.mark.parametrize(
    ("field", "said", "namespace"), [("pidMode", "processes", "pid"), ("ipcMode", "messages", "ipc")]
)
def test_namespaces_of_the_host(task: MakeRun, plain: Ran, field: str, said: str, namespace: str) -> None:
    run = task(definition(container(LOOK), **{field: "host"}), rules=Configuration(allow_host_namespaces=True))
    ours = str(Path("/proc/self/ns", namespace).readlink())
    assert run.to_the_end().said[said] == ours != plain.said[said]


def test_no_shared_memory(task: MakeRun, plain: Ran) -> None:
    assert task(definition(container(LOOK), ipcMode="none")).to_the_end().said["shared memory"] == "no"
    assert plain.said["shared memory"] == "yes"


@pytest.mark.parametrize(
    ("of_container", "of_task", "field"),
    [
        ({"privileged": True}, {}, "containerDefinitions[0].privileged"),
        (
            {"linuxParameters": {"devices": [{"hostPath": "/dev/zero"}]}},
            {},
            "containerDefinitions[0].linuxParameters.devices[0].hostPath",
        ),
        (
            {"linuxParameters": {"capabilities": {"add": ["SYS_ADMIN"]}}},
            {},
            "containerDefinitions[0].linuxParameters.capabilities.add[0]",
        ),
        ({"dockerSecurityOptions": ["label:disable"]}, {}, "containerDefinitions[0].dockerSecurityOptions[0]"),
        ({}, {"pidMode": "host"}, "pidMode"),
        ({}, {"ipcMode": "host"}, "ipcMode"),
    ],
)
def test_only_where_the_instance_allows_it(
    task: MakeRun, of_container: dict[str, Any], of_task: Mapping[str, Any], field: str
) -> None:
    with pytest.raises(Refused) as refused:
        task(definition(container("true", **of_container), **of_task)).specification()
    assert refused.value.path == field
    assert "configuration" in refused.value.reason
