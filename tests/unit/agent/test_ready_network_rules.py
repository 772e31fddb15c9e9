"""Which containers may join a network that is kept ready, how many are kept, and when one is as it was."""

from dataclasses import replace
from typing import Any

import pytest
from shoal_agent.configuration import BadConfiguration, Configuration, parse
from shoal_agent.definition.labels import Owner, counters_from, listed_counters
from shoal_agent.definition.specification import specification
from shoal_agent.metadata.documents import since_joined
from shoal_agent.networks.eligible import needs_own
from shoal_agent.networks.policy import (
    KEEP_SECONDS,
    SURPLUS_SECONDS,
    TURNOVER_SECONDS,
    Stock,
    shortage,
    starts_without,
    surplus,
)
from shoal_agent.networks.snapshot import Snapshot, changed, interfaces, occupied, sent
from shoal_agent.task import Assignment

RULES = Configuration(
    allow_privileged=True, allow_host_namespaces=True, host_mounts=("/",), devices=("/dev/null",), nfs_servers=("n",)
)


def reason(container: dict[str, Any] | None = None, **task: Any) -> str:
    """Why the first container of such a task needs a network of its own."""
    first = {"name": "web", "image": "image", "memory": 6, **(container or {})}
    definition = {"family": "t", "containerDefinitions": [first, *task.pop("others", ())], **task}
    wanted = Assignment("t1", definition=definition)
    body = specification(wanted, "web", Owner("default", "i"), RULES).body
    return needs_own(definition, "web", body)


@pytest.mark.parametrize(
    "container",
    [
        {},
        {"user": "0", "readonlyRootFilesystem": True, "restartPolicy": {"enabled": True}},
        {"linuxParameters": {"capabilities": {"add": ["NET_RAW", "CAP_CHOWN"], "drop": ["ALL"]}}},
        {"dockerSecurityOptions": ["no-new-privileges:true"]},
        {"systemControls": [{"namespace": "kernel.msgmax", "value": "65536"}]},
        {"linuxParameters": {"tmpfs": [{"containerPath": "/t", "size": 1}], "initProcessEnabled": True}},
    ],
)
def test_an_ordinary_container_may_join(container: dict[str, Any]) -> None:
    assert reason(container) == ""
    assert reason(container, networkMode="bridge", ipcMode="host") == ""


@pytest.mark.parametrize(
    ("container", "why"),
    [
        ({"portMappings": [{"containerPort": 80}]}, "ports"),
        ({"hostname": "here"}, "host name"),
        ({"dnsServers": ["192.0.2.53"]}, "name servers"),
        ({"dnsSearchDomains": ["example.org"]}, "search domains"),
        ({"extraHosts": [{"hostname": "far", "ipAddress": "192.0.2.7"}]}, "names of hosts"),
        ({"systemControls": [{"namespace": "net.ipv4.ip_forward", "value": "1"}]}, "kernel parameters"),
        ({"privileged": True}, "privileged"),
        ({"linuxParameters": {"capabilities": {"add": ["NET_ADMIN"]}}}, "capabilities"),
        ({"linuxParameters": {"capabilities": {"add": ["CAP_sys_admin"]}}}, "capabilities"),
        ({"linuxParameters": {"devices": [{"hostPath": "/dev/null"}]}}, "devices"),
        ({"dockerSecurityOptions": ["seccomp=unconfined"]}, "security options"),
        ({"volumesFrom": [{"sourceContainer": "side"}]}, "mounts"),
        ({"disableNetworking": True}, "another network"),
    ],
)
def test_a_container_that_needs_its_own(container: dict[str, Any], why: str) -> None:
    assert why in reason(container)


@pytest.mark.parametrize("mode", ["host", "none"])
def test_another_network_than_the_bridge(mode: str) -> None:
    assert "bridge" in reason(networkMode=mode)


def test_a_task_that_shares_has_its_own_already() -> None:
    assert "shares" in reason(networkMode="awsvpc")
    assert "shares" in reason(pidMode="task")
    assert "shares" in reason(ipcMode="task")
    assert "processes" in reason(pidMode="host")


def test_who_has_links_and_to_whom_others_have() -> None:
    side = {"name": "side", "image": "image", "memory": 6}
    assert "links" in reason({"links": ["side"]}, others=[side])
    assert "links" in reason(others=[{**side, "links": ["web:alias"]}])
    assert reason(others=[side]) == ""


@pytest.mark.parametrize(
    ("path", "may_join"),
    [("/srv", True), ("/process", True), ("/", False), ("/proc", False), ("/proc/sys/net", False), ("/sys", False)],
)
def test_the_hosts_files_by_which_the_kernel_is_told(path: str, may_join: bool) -> None:
    volume = {"name": "v", "host": {"sourcePath": path}}
    point = {"mountPoints": [{"sourceVolume": "v", "containerPath": "/v"}]}
    assert (reason(point, volumes=[volume]) == "") == may_join


def test_a_volume_of_the_local_driver_is_such_a_file_too() -> None:
    driver = {"driverOpts": {"type": "none", "o": "bind", "device": "/proc"}}
    point = {"mountPoints": [{"sourceVolume": "v", "containerPath": "/v"}]}
    assert "mounts" in reason(point, volumes=[{"name": "v", "dockerVolumeConfiguration": driver}])


def test_how_many_are_configured() -> None:
    assert (Configuration().ready_networks, parse({"ready_networks": 0}).ready_networks) == (8, 0)
    with pytest.raises(BadConfiguration, match="ready_networks"):
        parse({"ready_networks": -1})


# How many.

BUSY = Stock(limit=4, wanted_at=1000.0)


def test_none_are_made_before_anybody_asks_nor_long_after() -> None:
    assert shortage(Stock(limit=4), 1000.0) == 0
    assert shortage(BUSY, 1000.0) == 4
    assert shortage(BUSY, 1000.0 + KEEP_SECONDS) == 0
    assert surplus(replace(BUSY, ready=(1000.0, 1000.0)), 1000.0 + KEEP_SECONDS) == 2


def test_what_circulates_is_counted() -> None:
    stock = replace(BUSY, ready=(1000.0,), making=1, cleaning=1, lent=(1000.0,))
    assert shortage(stock, 1000.0) == 0
    assert shortage(stock, 1000.0 + TURNOVER_SECONDS) == 1


def test_a_surplus_is_kept_for_the_next_wave_but_not_for_ever_nor_without_bound() -> None:
    stock = replace(BUSY, ready=(1000.0, 1000.0, 1001.0, 1001.0, 1001.0))
    assert surplus(stock, 1010.0) == 0
    assert surplus(stock, 1000.0 + SURPLUS_SECONDS) == 1
    assert surplus(replace(BUSY, ready=(1000.0,) * 11), 1001.0) == 3
    assert surplus(Stock(limit=0, ready=(1000.0,), wanted_at=1000.0), 1000.0) == 1


def test_a_container_waits_only_where_it_would_anyway() -> None:
    assert starts_without(begun=0, free_places=8)
    assert starts_without(begun=7, free_places=8)
    assert not starts_without(begun=8, free_places=8)
    assert not starts_without(begun=0, free_places=0)


# As it was.

DEV = """Inter-|   Receive                                      |  Transmit
 face |bytes packets errs drop fifo frame compressed multicast|bytes packets errs drop fifo colls carrier compressed
    lo:    0       0    0    0    0     0          0         0     0       0    0    0    0     0       0          0
  eth0:   90       1    0    0    0     0          0         0    42       7    0    0    0     0       0          0
"""
SOCKSTAT = "sockets: used {used}\nTCP: inuse 0 orphan 0 tw {tw} alloc 26 mem 77\n"
ARP = "IP address       HW type     Flags       HW address            Mask     Device\n"
ADDRESS = "fe800000000000000042acfffe110002 05 40 20 {flags}     eth0\n"


def tables(used: int = 1, tw: int = 0) -> dict[str, str]:
    own = {"sockstat": SOCKSTAT.format(used=used, tw=tw), "arp": ARP, "dev": DEV, "route": "a", "fib_trie": "b"}
    return own | {"if_inet6": ADDRESS.format(flags="40")}


MADE = Snapshot(tables(), {"hosts": "h", "hostname": "n", "resolv.conf": "r"}, resolvers="nameserver 192.0.2.53")


def now(**differs: str) -> Snapshot:
    return replace(MADE, tables=tables() | differs)


def test_what_is_as_it_was_is_clean() -> None:
    settled = now(if_inet6=ADDRESS.format(flags="80"), dev=DEV.replace("90 ", "180 "))
    assert not [*changed(MADE, settled), *occupied(MADE, settled)]


@pytest.mark.parametrize(
    ("after", "what"),
    [
        (replace(MADE, files={**MADE.files, "hosts": "h, and a line"}), "/etc/hosts"),
        (replace(MADE, files={**MADE.files, "resolv.conf": "another"}), "/etc/resolv.conf"),
        (now(route="another"), "route"),
        (now(if_inet6=""), "if_inet6"),
        (now(dev=DEV.replace("eth0", "eth1")), "interfaces"),
        (now(ip_tables_names="filter"), "ip_tables_names"),
        (replace(MADE, resolvers=""), "the host's name servers"),
    ],
)
def test_what_will_not_be_as_it_was(after: Snapshot, what: str) -> None:
    assert list(changed(MADE, after)) == [what]


@pytest.mark.parametrize(
    ("after", "what"),
    [
        (replace(MADE, tables=tables(used=2)), "sockets"),
        (replace(MADE, tables=tables(tw=1)), "connections that have just ended"),
        (now(sockstat=""), "sockets"),
        (now(arp=ARP + "10.0.0.1 0x1 0x2 a2:fb:c3:ff:e0:05 * eth0\n"), "arp"),
        (now(ip6_flowlabel="Label S Owner\n00001 1 1\n"), "ip6_flowlabel"),
        (replace(MADE, strangers=1), "processes"),
    ],
)
def test_what_is_still_in_use(after: Snapshot, what: str) -> None:
    assert list(occupied(MADE, after)) == [what]


def test_counters_as_the_engine_calls_them() -> None:
    found = interfaces(DEV)
    assert found["eth0"] == {
        "rx_bytes": 90,
        "rx_packets": 1,
        "rx_errors": 0,
        "rx_dropped": 0,
        "tx_bytes": 42,
        "tx_packets": 7,
        "tx_errors": 0,
        "tx_dropped": 0,
    }
    assert not sent(found, interfaces(DEV.replace("90 ", "180 ")))
    assert sent(found, interfaces(DEV.replace("42 ", "84 ").replace("  7 ", "  8 ")))
    assert counters_from(listed_counters(found)) == found
    assert counters_from("") == counters_from('["eth0"]') == counters_from('{"eth0": {"rx_bytes": "x"}}') == {}


def test_what_a_task_used_of_a_network_is_counted_from_its_own_beginning() -> None:
    sample = {"read": "x", "networks": {"eth0": {"rx_bytes": 100, "tx_bytes": 5}}}
    assert since_joined(sample, {"eth0": {"rx_bytes": 90}})["networks"] == {"eth0": {"rx_bytes": 10, "tx_bytes": 5}}
    assert since_joined(sample, {}) == sample
