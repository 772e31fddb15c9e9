"""Names, addresses and ports of a container: as the engine gives them, and as they are seen from inside."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.fields.conftest import MakeRun
from tests.fields.running import Ran, container, definition
from tests.ground.network import free_port

OUR_NETWORK = str(Path("/proc/self/ns/net").readlink())

LOOK = """
echo "servers: $(sed -n 's/^nameserver //p' /etc/resolv.conf | xargs)"
echo "search: $(sed -n 's/^search //p' /etc/resolv.conf)"
echo "database: $(grep -w storage /etc/hosts | cut -f 1)"
echo "added: $(grep -w added /etc/hosts | cut -f 1)"
echo "host: $(hostname)"
echo "interfaces: $(ls /sys/class/net | xargs)"
echo "network: $(readlink /proc/self/ns/net)"
"""


@pytest.fixture(scope="module")
def database() -> Mapping[str, Any]:
    return container("sleep 1000", name="db")


@pytest.fixture(scope="module")
def ran(task: MakeRun, database: dict[str, Any]) -> Ran:
    app = container(
        LOOK,
        dnsServers=["10.9.8.7", "10.9.8.6"],
        dnsSearchDomains=["corp.example", "example"],
        extraHosts=[{"hostname": "added", "ipAddress": "10.1.2.3"}],
        links=["db:storage"],
    )
    run = task(definition(database, app))
    run.start("db")
    return run.to_the_end()


def test_dns_servers(ran: Ran) -> None:
    assert ran.said["servers"] == "10.9.8.7 10.9.8.6"


def test_dns_search_domains(ran: Ran) -> None:
    assert ran.said["search"] == "corp.example example"


def test_extra_hosts(ran: Ran) -> None:
    assert ran.said["added"] == "10.1.2.3"


def test_links(task: MakeRun, database: dict[str, Any]) -> None:
    """The other container's address, by the alias."""
    run = task(definition(database, container(LOOK, links=["db:storage"])))
    address = run.start("db")["NetworkSettings"]["IPAddress"]
    assert address and run.to_the_end().said["database"] == address


def test_bridge(ran: Ran) -> None:
    assert ran.said["interfaces"] == "eth0 lo"
    assert ran.said["network"] != OUR_NETWORK


def test_host_network(task: MakeRun) -> None:
    app = container(LOOK, hostname="box-2", dnsServers=["10.9.8.7"])
    ran = task(definition(app, networkMode="host")).to_the_end()
    assert ran.said["network"] == OUR_NETWORK
    assert (ran.said["host"], ran.said["servers"]) == ("box-2", "10.9.8.7")


@pytest.mark.parametrize(
    ("of_task", "of_container"), [({"networkMode": "none"}, {}), ({}, {"disableNetworking": True})]
)
def test_no_network(task: MakeRun, of_task: dict[str, Any], of_container: dict[str, Any]) -> None:
    assert task(definition(container(LOOK, **of_container), **of_task)).to_the_end().said["interfaces"] == "lo"


@pytest.fixture(scope="module")
def host_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def ports(task: MakeRun, host_port: int) -> Mapping[str, list[Mapping[str, str]]]:
    """What the engine publishes of a running container."""
    mappings = [
        {"containerPort": 80, "hostPort": host_port},
        {"containerPort": 53, "protocol": "udp"},
        {"containerPortRange": "9000-9002"},
    ]
    started = task(definition(container("sleep 1000", portMappings=mappings))).start()
    found: Mapping[str, list[Mapping[str, str]]] = started["NetworkSettings"]["Ports"]
    return found


def test_host_port(ports: Mapping[str, list[Mapping[str, str]]], host_port: int) -> None:
    assert {bound["HostPort"] for bound in ports["80/tcp"]} == {str(host_port)}


def test_protocol_and_dynamic_host_port(ports: Mapping[str, list[Mapping[str, str]]]) -> None:
    assert int(ports["53/udp"][0]["HostPort"]) > 1023
    assert "53/tcp" not in ports


def test_container_port_range(ports: Mapping[str, list[Mapping[str, str]]]) -> None:
    chosen = [ports[f"{number}/tcp"][0]["HostPort"] for number in (9000, 9001, 9002)]
    assert len(set(chosen)) == 3
