"""Hosts of a cluster elsewhere, by the real command line: they join, renew, are copied and revoked, and what runs there
runs on."""

import os
import re
import shutil
import signal
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from shoal import arn, context
from shoal.client import Client
from shoal.context import Context, Contexts
from shoal.v1 import container_instance_pb2 as pb
from shoal.v1.task_pb2 import Task

from tests.conftest import EtcdFactory
from tests.ground import daemon, work
from tests.ground.certificates import Certificates
from tests.ground.engine import Engine
from tests.ground.network import free_port
from tests.ground.shell import Shell
from tests.ground.waiting import wait_until

SLEEPER = work.definition("joined-sleeper", ["sleep", "600"], stopTimeout=2)
LIFE_SECONDS = 12


@dataclass
class Host:
    """A host's state folder, and the agent that runs there."""

    state: Path
    shell: Shell
    engine: Engine
    running: list[daemon.Daemon] = field(default_factory=list)

    def join(self, endpoint: str, token: str) -> str:
        """The id of the instance it becomes."""
        return self.shell.shoal("agent", "join", endpoint, "--token", token, "--state", str(self.state)).stdout.strip()

    def start(self) -> None:
        command = [sys.executable, "-m", "shoal.cli", "agent", "run", "--state", str(self.state)]
        command += ["--docker-host", self.engine.host]
        self.running.append(daemon.start(command, self.log_file))

    @property
    def log_file(self) -> Path:
        return self.state.parent / f"{self.state.name}.log"

    @property
    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    def copy(self, state: Path) -> "Host":
        """Its disk, on another host."""
        shutil.copytree(self.state, state)
        return Host(state, self.shell, self.engine)

    def end(self) -> None:
        for each in self.running:
            each.stop()


@dataclass
class House:
    """One etcd, one scheduler by which hosts may join, and hosts."""

    folder: Path
    endpoint: str
    context: Context
    shell: Shell
    engine: Engine
    hosts: list[Host] = field(default_factory=list)

    def token(self, *options: str) -> str:
        return self.shell.shoal("token", "create", *options).stdout.strip()

    def host(self) -> Host:
        self.hosts.append(Host(self.folder / f"host{len(self.hosts)}", self.shell, self.engine))
        return self.hosts[-1]

    def copied(self, host: Host) -> Host:
        self.hosts.append(host.copy(self.folder / f"host{len(self.hosts)}"))
        return self.hosts[-1]

    def containers(self, instance: str) -> list[str]:
        """With their times of start: the same list means that nothing was started or ended."""
        found = self.engine.docker("ps", "-q", "--no-trunc", "--filter", f"label=shoal.instance={instance}").split()
        return sorted(self.engine.docker("inspect", "-f", "{{.Id}} {{.State.StartedAt}}", each) for each in found)


@pytest.fixture
def house(
    etcd_factory: EtcdFactory, certificates: Certificates, engine: Engine, busybox_image: str, short_folder: Path
) -> Iterator[House]:
    etcd = etcd_factory()
    listen, https = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    issued, operator = certificates.files("scheduler", "one"), certificates.files("operator", "alice")
    options = {
        "listen": listen,
        "http-listen": https,
        "etcd": etcd.endpoint,
        "authority": str(certificates.authority),
        "authority-key": str(certificates.authority.with_suffix(".key")),
        "certificate": str(issued.certificate),
        "key": str(issued.key),
        "agent-certificate-seconds": str(LIFE_SECONDS),
    }
    command = [sys.executable, "-m", "shoal_scheduler", *(f"--{name}={value}" for name, value in options.items())]
    scheduler = daemon.start(command, short_folder / "scheduler.log")
    mine = Context("default", (listen,), "default", certificates.authority, operator.certificate, operator.key)
    context.save(Contexts(short_folder / "contexts.json").with_context(mine))
    shell = Shell({**os.environ, "SHOAL_CONFIG": str(short_folder / "contexts.json")})
    daemon.await_ready(scheduler, lambda: shell.shoal("clusters", check=False).returncode == 0)
    opened = House(short_folder, https, mine, shell, engine)
    yield opened
    for host in opened.hosts:
        host.end()
    scheduler.stop()
    for each in engine.docker("ps", "-aq", "--filter", "label=shoal.cluster=default").split():
        engine.docker("rm", "-f", each)


async def described(client: Client, instance: str) -> pb.ContainerInstance:
    request = pb.DescribeContainerInstancesRequest(container_instances=[instance])
    answer = await client.cluster.DescribeContainerInstances(request)
    return answer.container_instances[0]


async def connected(client: Client, instance: str, wanted: bool = True) -> None:
    async def look() -> bool:
        return bool((await described(client, instance)).agent_connected == wanted)

    await wait_until(look, bool, 40.0, why=f"{instance} connected: {wanted}")


async def runs_a_task(client: Client, instance: str) -> Mapping[str, Task]:
    """A task on that instance, RUNNING, by its id."""
    definition = await work.register(client, SLEEPER)
    running = await work.until_all(client, await work.run(client, definition), "RUNNING")
    assert [arn.short(task.container_instance_arn) for task in running.values()] == [instance]
    return running


async def test_certificates_are_renewed_while_a_task_runs_and_a_revoked_host_is_cut_off(house: House) -> None:
    host = house.host()
    instance = host.join(house.endpoint, house.token())
    host.start()
    async with Client(house.context) as client:
        await connected(client, instance)
        await runs_a_task(client, instance)
        before = house.containers(instance)
        assert len(before) == 1
        first = (await described(client, instance)).certificate_expires_at

        async def has_moved_on() -> bool:
            """A life later: without renewals there would be no session."""
            return bool((await described(client, instance)).certificate_expires_at > first + LIFE_SECONDS * 1000)

        await wait_until(has_moved_on, bool, 20.0 * LIFE_SECONDS, why="the session has a later certificate")
        assert len(re.findall("the certificate is renewed$", host.log, re.MULTILINE)) >= 2
        assert house.shell.shoal("agent", "revoke", instance).stdout.strip() == instance
        await connected(client, instance, wanted=False)
        await wait_until(lambda: "was revoked" in host.log)
        assert "revoked" in house.shell.shoal("instances").stdout
        assert "its identity was revoked by alice" in house.shell.shoal("events").stdout
        assert house.containers(instance) == before
        refused = house.shell.shoal(
            "agent", "join", house.endpoint, "--token", house.token(), "--state", str(host.state)
        )
        assert "is already instance" in refused.stderr


async def test_a_copied_key_is_kept_out_and_kills_nothing(house: House) -> None:
    host = house.host()
    instance = host.join(house.endpoint, house.token())
    host.start()
    async with Client(house.context) as client:
        await connected(client, instance)
        await runs_a_task(client, instance)
        before = house.containers(instance)
        copy = house.copied(host)
        shutil.rmtree(copy.state / "work")  # one with its memory would not start on the same engine's socket
        copy.start()

        async def is_told() -> bool:
            return bool((await described(client, instance)).identity_copy_seen_at)

        await wait_until(is_told, bool, 60.0, why="the copy is told of")
        await wait_until(lambda: "its key was copied" in copy.log)
        assert "key copied" in house.shell.shoal("instances").stdout
        assert "another agent with its key" in house.shell.shoal("events").stdout
        assert (await described(client, instance)).agent_connected
        assert house.containers(instance) == before
        # Also when the scheduler's last word of the first one is over: it is the first that is let in again.
        assert "its key was copied" not in host.log


async def test_another_host_at_an_address_one_had(house: House) -> None:
    """An identity is a key: nothing of the host that was there is taken for the new one's."""
    old, new = house.host(), house.host()
    instance = old.join(house.endpoint, house.token())
    old.start()
    async with Client(house.context) as client:
        await connected(client, instance)
        task = await runs_a_task(client, instance)
        before = house.containers(instance)
        old.running[-1].process.send_signal(signal.SIGKILL)
        await connected(client, instance, wanted=False)
        other = new.join(house.endpoint, house.token())
        assert other != instance
        new.start()
        await connected(client, other)
        assert house.containers(instance) == before
        assert house.containers(other) == []
        old.start()
        await connected(client, instance)
        assert work.docker_ids(await work.until_all(client, list(task), "RUNNING")) == work.docker_ids(task)
        assert house.containers(instance) == before


async def test_a_token_is_made_listed_and_revoked(house: House) -> None:
    token = house.token("--ttl", "5m", "--uses", "3")
    assert re.fullmatch("SHOAL-1-[0-9a-f]{64}-[0-9a-f]{64}", token)
    (listed,) = house.shell.shoal("token", "ls", "-o", "name").stdout.split()
    assert "3 of 3" in house.shell.shoal("token", "ls").stdout
    house.shell.shoal("token", "revoke", listed)
    refused = house.shell.shoal(
        *("agent", "join", house.endpoint, "--token", token, "--state", str(house.folder / "none")), check=False
    )
    assert refused.returncode == 1
    assert "revoked" in refused.stderr
    assert not (house.folder / "none" / "identity" / "agent.crt").exists()
    wrong = house.shell.shoal("agent", "join", house.endpoint, "--token", "SHOAL-1-ab", check=False)
    assert wrong.returncode == 2
    assert "SHOAL-1-ab" not in wrong.stderr
    never = house.shell.shoal("agent", "run", "--state", str(house.folder / "none"), check=False)
    assert "has not joined" in never.stderr
