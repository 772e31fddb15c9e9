"""`shoal up --hosts` and `shoal host`: what people type, and that nothing is left of it."""

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest
from shoal import cgroups
from shoal.hosts import network, plan
from shoal.hosts.plan import Host

from tests.fleet.conftest import FleetFactory
from tests.ground import images, work
from tests.ground.engine import Engine
from tests.ground.fleet import Fleet
from tests.ground.waiting import block_until, wait_until


def traces(made: plan.Fleet, folder: Path) -> list[str]:
    """All that is left of a cluster in the kernel and of processes."""
    rules = subprocess.run(["iptables", "-w", "-S"], capture_output=True, text=True, check=True).stdout.splitlines()
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    return [
        *(name for name in network.devices() if name.startswith(made.bridge)),
        *(path.name for path in Path("/run/netns").glob(f"{made.bridge}*")),
        *(rule for rule in rules if made.bridge in rule),
        *(str(path) for hierarchy in cgroups.ROOT.iterdir() for path in hierarchy.glob(f"{made.bridge}*")),
        *(line for line in mounts if f"{folder}/" in line or made.bridge in line),
        *(command for command in commands() if f"{folder}/" in command),
    ]


def commands() -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return found


def planned(fleet: Fleet) -> plan.Fleet:
    found = plan.load(fleet.cluster.layout.hosts)
    assert found is not None
    return found


@pytest.fixture
def two(fleet_factory: FleetFactory, engine: Engine, busybox_image: str) -> Fleet:
    """A cluster of two hosts of the test's own, beside the one that all share."""
    made = fleet_factory(hosts=2)
    made.up(engine.host)
    return made


async def test_a_supervisor_that_is_killed_leaves_what_the_next_up_finds_and_down_removes(
    two: Fleet, fleet: Fleet
) -> None:
    """kill -9, and tasks run on; the next `up` takes over; after another kill -9, `down` leaves nothing."""
    made, folder = planned(two), two.cluster.layout.root
    async with two.cluster.client() as client:
        tasks = await two.spread(client, await work.register(client, two.witness.definition("left")), 2)
        before = two.witness.runs_of(tasks)
        os.kill(two.cluster.pid("supervisor"), signal.SIGKILL)
        two.cluster.up()
        await work.until_all(client, tasks, "RUNNING")
        heard = {task: len(runs) for task, runs in two.witness.runs_of(tasks).items()}
        assert heard == dict.fromkeys(before, 1)
    assert traces(made, folder)
    os.kill(two.cluster.pid("supervisor"), signal.SIGKILL)
    two.cluster.shoal("down")
    assert traces(made, folder) == []
    assert planned(two) == made, "they come back as what they were"
    two.cluster.shoal("down", "--purge")
    assert not folder.exists()
    assert await fleet.says("host"), "the other cluster is as it was"


def test_hosts_are_named_and_take_what_the_machine_has(fleet: Fleet) -> None:
    listed = fleet.cluster.shoal("instances", "--output", "wide").stdout
    assert all(host.name in listed for host in fleet.hosts)
    assert fleet.hosts[1].instance_id in fleet.cluster.shoal("drain", "host2", "-o", "name").stdout
    assert fleet.hosts[1].instance_id in fleet.cluster.shoal("activate", "host2", "-o", "name").stdout
    rows = [line.split() for line in fleet.cluster.shoal("host").stdout.splitlines()[1:]]
    assert [row[:3] for row in rows] == [[host.name, str(host.address.ip), "on"] for host in fleet.hosts]


@pytest.mark.parametrize("way", network.WAYS)
def test_a_host_that_is_cut_off_reaches_nobody(fleet: Fleet, way: str) -> None:
    """From inside of the host, and back again."""
    host = fleet.hosts[0]
    assert reaches(host, fleet)
    network.cut(host, way)
    try:
        assert not reaches(host, fleet)
        assert network.cut_of(host) == way
    finally:
        network.heal(host)
    assert reaches(host, fleet)


def test_a_cut_for_a_time_heals_itself(fleet: Fleet) -> None:
    said = fleet.cluster.shoal("host", "cut", "host1", "host2", "--for", "200ms").stdout
    assert said.splitlines() == ["host1 cut off", "host2 cut off", "host1 healed", "host2 healed"]
    assert [network.cut_of(host) for host in fleet.hosts] == [None, None, None]


def reaches(host: Host, fleet: Fleet) -> bool:
    """Whether a connection from the host to the scheduler is made."""
    address = planned(fleet).address.ip
    connect = ["timeout", "1", "bash", "-c", f"</dev/tcp/{address}/7600"]
    command = ["nsenter", f"--net=/run/netns/{host.namespace}", *connect]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


async def test_a_host_that_is_shut_down_lets_its_containers_end(fleet: Fleet) -> None:
    """They are asked first; the host's return tells that they ended."""
    async with fleet.cluster.client() as client:
        # Some were cut off a moment ago.
        await fleet.until_connected(client, [host.name for host in fleet.hosts], True, 30.0)
        tasks = await fleet.spread(client, await work.register(client, fleet.witness.definition("asked")), 3)
        await wait_until(lambda: all(fleet.witness.runs_of(tasks).values()))
        third = fleet.hosts[2].instance_id
        (there,) = [task for task, (run,) in fleet.witness.runs_of(tasks).items() if run.instance == third]
        await fleet.says("host", "stop", "host3")
        assert fleet.witness.runs_of([there])[there][0].stopped
        await fleet.says("host", "start", "host3")
        ended = await work.until_all(client, [there], "STOPPED", 60.0)
        assert set(work.exit_codes(ended).values()) <= {0, None}
        await work.stop(client, tasks)


def test_what_cannot_be_is_said_in_words(fleet: Fleet, engine: Engine) -> None:
    def refused(*arguments: str) -> str:
        done = fleet.cluster.shoal(*arguments, check=False)
        assert done.returncode not in (0, 120), done.stdout
        return done.stderr

    assert "There is no host 'host9': host1, host2, host3." in refused("host", "kill", "host9")
    assert "This cluster has 3 hosts." in refused("up", "--hosts", "2")
    assert "leave --listen out" in refused("up", "--hosts", "3", "--listen", "127.0.0.1:0")
    assert "nobody:has-it cannot be loaded" in refused("host", "load", "--from", engine.host, "nobody:has-it")
    assert "Name images, or give --input FILE." in refused("host", "load")


def test_an_up_that_fails_leaves_no_bridge(fleet: Fleet, short_folder: Path) -> None:
    """The context of that name belongs to another cluster."""
    before = bridges()
    done = fleet.cluster.shoal("up", "--hosts", "1", "--state", str(short_folder / "other"), check=False)
    assert "belongs to another cluster" in done.stderr
    assert bridges() <= before
    assert not (short_folder / "other" / "hosts.json").exists()


def bridges() -> set[str]:
    return {name for name in network.devices() if re.fullmatch("shoal-[0-9a-f]{6}", name)}


def test_images_come_from_a_file_too(fleet: Fleet, engine: Engine, short_folder: Path) -> None:
    archive = short_folder / "image.tar"
    engine.docker("tag", images.BUSYBOX, "from-a-file:1")
    engine.docker("save", "--output", str(archive), "from-a-file:1")
    assert "host1, host2, host3" in fleet.cluster.shoal("host", "load", "--input", str(archive)).stdout
    done = fleet.cluster.shoal("run", "from-a-file:1", "--", "echo", "here")
    assert "here" in done.stdout


def test_a_host_that_is_off_is_switched_on_by_up(fleet: Fleet) -> None:
    fleet.cluster.shoal("host", "kill", "host1")
    assert "off" in fleet.cluster.shoal("host").stdout
    assert "host1 is switched off" in fleet.cluster.shoal("host", "cut", "host1", check=False).stderr
    fleet.cluster.up()
    block_until(lambda: "off" not in fleet.cluster.shoal("host").stdout)
