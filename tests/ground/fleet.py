"""A cluster of several hosts on this machine, made by `shoal up --hosts`, whose containers tell a witness."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shoal import arn
from shoal.client import Client
from shoal.hosts import network, plan, programs
from shoal.hosts.plan import Host
from shoal.supervisor import lock, processes, settings
from shoal.v1 import container_instance_pb2, task_pb2
from shoal.v1.container_instance_pb2 import ContainerInstance

from tests.ground import images, work
from tests.ground.cluster import Cluster
from tests.ground.waiting import wait_until
from tests.ground.witness import Witness


@dataclass(frozen=True, slots=True)
class Fleet:
    cluster: Cluster
    witness: Witness

    @property
    def hosts(self) -> tuple[Host, ...]:
        found = plan.load(self.cluster.layout.hosts)
        assert found is not None, "up --hosts has not been said"
        return found.hosts

    def host_of(self, instance: str) -> Host:
        """By the id or the ARN of its instance."""
        return next(host for host in self.hosts if host.instance_id == arn.short(instance))

    def up(self, source: str) -> None:
        """Every host on and connected, with the image of busybox that the engine `source` has."""
        self.witness.folder.mkdir(parents=True, exist_ok=True)
        self.cluster.layout.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        said = f'host_mounts = ["{self.witness.folder}"]\nwatchdog = true\n'
        self.cluster.layout.agent_config.write_text(said)
        self.cluster.up()
        if (self.cluster.folder / "loaded").exists():
            return
        (self.cluster.folder / "loaded").touch()
        self.cluster.shoal("host", "load", "--from", source, images.BUSYBOX)

    @property
    def schedulers(self) -> dict[str, str]:
        """Where each is reached, by the supervisor's name of it."""
        chosen = settings.load(self.cluster.layout.settings)
        assert chosen is not None, "up has not been said"
        return dict(zip(chosen.schedulers, chosen.endpoints, strict=True))

    def is_well(self) -> bool:
        """Every program of the cluster and of every host runs, and no host is cut off."""
        layout = self.cluster.layout
        running = processes.load(layout.processes).values()
        if lock.holder(layout.supervisor_lock) is None or not all(each.is_alive for each in running):
            return False
        return all(network.is_attached(host) and network.cut_of(host) is None for host in self.hosts)

    async def says(self, *arguments: str) -> str:
        """What `shoal …` prints, while the world goes on."""
        done = await asyncio.to_thread(self.cluster.shoal, *arguments)
        return done.stdout

    def program(self, host: Host, part: str) -> str:
        """The supervisor's name of a host's agent, engine or containerd."""
        return {"agent": programs.agent, "engine": programs.engine, "containerd": programs.containerd}[part](host)

    async def instances(self, client: Client) -> dict[str, ContainerInstance]:
        """By the name of the host."""
        ids = [host.instance_id for host in self.hosts]
        request = container_instance_pb2.DescribeContainerInstancesRequest(container_instances=ids)
        answer = await client.cluster.DescribeContainerInstances(request)
        return {each.ec2_instance_id: each for each in answer.container_instances}

    async def until_connected(self, client: Client, names: Iterable[str], connected: bool, seconds: float) -> None:
        async def states() -> set[bool]:
            found = await self.instances(client)
            return {found[name].agent_connected for name in names}

        def settled(seen: set[bool]) -> bool:
            return seen == {connected}

        await wait_until(states, settled, seconds, f"agents connected: {connected}")

    async def spread(self, client: Client, definition: str, count: int, **fields: Any) -> list[str]:
        """So many tasks, evenly over the hosts, and all of them run. The ids. `fields` are of the request."""
        ids = await work.run(client, definition, count, placement_strategy=work.spread(), **fields)
        await work.until_all(client, ids, "RUNNING", 60.0)
        return ids


async def stop_everything(client: Client) -> None:
    """Whatever a test has left: the next one spreads its tasks over hosts that are empty."""
    listed = await client.cluster.ListTasks(task_pb2.ListTasksRequest(desired_status="RUNNING"))
    tasks = [arn.short(each) for each in listed.task_arns]
    await work.stop(client, tasks)
    await work.until_all(client, tasks, "STOPPED", 60.0)


def make(folder: Path, hosts: int, schedulers: int = 1) -> Fleet:
    """Not up yet."""
    return Fleet(Cluster(folder, "", hosts=hosts, schedulers=schedulers), Witness(folder / "witness"))
