"""What runs in a host, how it is configured, and who is taken for its."""

import random
import tomllib
from pathlib import Path

import pytest
from shoal.hosts import plan, processes, programs
from shoal.hosts.processes import Seen
from shoal.supervisor.layout import Layout
from shoal.supervisor.programs import Program
from shoal_agent.configuration import parse

FLEET = plan.choose(3, [], [], random.Random(1))
MACHINE = programs.Machine(cpu=2048, memory_mib=3000)
LAYOUT = Layout(Path("/var/lib/shoal"))

SCHEDULERS = "10.0.0.1:7600,10.0.0.1:7601"


def test_each_hosts_programs_start_in_its_network_and_only_while_it_is_there() -> None:
    made = programs.programs(FLEET, LAYOUT, "10.0.0.1:7600")
    assert len({each.name for each in made}) == 9
    for host in FLEET.hosts:
        own = [each for each in made if each.name.startswith(f"{host.name}-")]
        assert {each.arguments[1] for each in own} == {f"--net=/run/netns/{host.namespace}"}
        assert {each.needs for each in own} == {Path("/run/netns") / host.namespace}


def test_they_take_the_place_of_the_machines_agent(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    local = Program("agent", ["a"])
    wanted = [Program("scheduler", ["s"]), local]
    assert programs.with_hosts(wanted, layout, SCHEDULERS) == wanted
    plan.save(layout.hosts, FLEET)
    made = programs.with_hosts(wanted, layout, SCHEDULERS)
    assert made[0] == wanted[0]
    assert local not in made
    told = {each.arguments[each.arguments.index("--scheduler") + 1] for each in made if "--scheduler" in each.arguments}
    assert told == {SCHEDULERS}


def test_what_containers_need_survives() -> None:
    for each in programs.programs(FLEET, LAYOUT, "10.0.0.1:7600"):
        assert each.survives == programs.survives(each.name) == (not each.name.endswith("-agent"))
    assert programs.survives("dockerd")
    assert not programs.survives("scheduler")


def test_the_hosts_share_the_machine() -> None:
    document = tomllib.loads(programs.agent_toml(FLEET.hosts[1], 3, MACHINE, ""))
    configuration = parse(document)
    assert configuration.hostname == "host2"
    assert MACHINE.cpu - configuration.reserved_cpu == 682
    assert MACHINE.memory_mib - configuration.reserved_memory_mib == 1000


def test_what_all_hosts_are_told_wins() -> None:
    common = 'reserved_cpu = 5\nhost_mounts = ["/srv"]\n[attributes]\nstack = "prod"\n'
    configuration = parse(tomllib.loads(programs.agent_toml(FLEET.hosts[0], 3, MACHINE, common)))
    assert configuration.reserved_cpu == 5
    assert configuration.hostname == "host1"
    assert configuration.host_mounts == ("/srv",)
    assert configuration.attributes == {"stack": "prod"}


def test_what_is_no_toml_is_refused() -> None:
    with pytest.raises(ValueError, match=r"Expected .=. after a key"):
        programs.agent_toml(FLEET.hosts[0], 3, MACHINE, "what")


def test_who_belongs_to_a_host() -> None:
    """An engine in its network; a container with a network of its own below a shim; not the machine's programs."""
    seen = [
        Seen(1, 0, 100, b"init"),
        Seen(10, 1, 200, b"dockerd\0"),
        Seen(11, 1, 200, b"/usr/bin/containerd-shim-runc-v2\0-namespace\0moby"),
        Seen(12, 11, 300, b"sleep\x00600"),
        Seen(13, 12, 300, b"sleep\x001"),
        Seen(14, 11, 200, b"in the host's network"),
        Seen(20, 1, 300, b"another host's"),
    ]
    found = processes.belonging({each.pid: each for each in seen}, 200)
    assert {each.pid for each in found} == {10, 11, 12, 13, 14}
    assert {each.pid for each in processes.containers(found)} == {12, 14}
