"""What a container says about itself, so that an agent that lost everything else knows what it finds.

shoal.cluster shoal.instance    whose it is; an agent touches nothing that does not carry both of its own
shoal.task shoal.container      which
shoal.containers                all containers of the task and how they depend on each other, as plan.py writes it
shoal.volumes                   volumes that go with the task
shoal.ports                     ports the engine does not list: "80/tcp" on the host, "80:49153/tcp" by a sandbox
shoal.on-disconnect             what becomes of the task when no scheduler hears its host, if anything
shoal.stop-seconds              and how long all its containers may take to stop then
shoal.network-counters          what had passed on a network that was kept ready when the container joined it
shoal.ready-network             alone, "<cluster>/<instance>": it is no task's, but keeps such a network
shoal.definition shoal.epoch shoal.spec    what it was made from, under which leader, a hash of the body
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shoal_agent.definition.plan import parse_listed
from shoal_agent.engine.port import Port
from shoal_agent.task import ContainerPlan

_PORT = re.compile(r"[0-9]{1,5}(:[0-9]{1,5})?/(tcp|udp|sctp)")
_NUMBER = re.compile(r"[0-9]{1,18}")

PREFIX = "shoal."
CLUSTER, INSTANCE = "shoal.cluster", "shoal.instance"
TASK, CONTAINER = "shoal.task", "shoal.container"
CONTAINERS, VOLUMES, PORTS = "shoal.containers", "shoal.volumes", "shoal.ports"
ON_DISCONNECT, STOP_SECONDS = "shoal.on-disconnect", "shoal.stop-seconds"
READY_NETWORK, NETWORK_COUNTERS = "shoal.ready-network", "shoal.network-counters"
DEFINITION, EPOCH, SPEC = "shoal.definition", "shoal.epoch", "shoal.spec"


@dataclass(frozen=True, slots=True)
class Owner:
    """The instance a container belongs to, and the leader's epoch it was made under."""

    cluster: str
    instance: str
    epoch: int = 0

    @property
    def labels(self) -> dict[str, str]:
        return {CLUSTER: self.cluster, INSTANCE: self.instance}

    def owns(self, labels: Mapping[str, str]) -> bool:
        return all(labels.get(name) == value for name, value in self.labels.items())


@dataclass(frozen=True, slots=True)
class Tag:
    """What the labels of one of our containers tell."""

    task_id: str
    container: str
    containers: tuple[ContainerPlan, ...]
    volumes: tuple[str, ...]
    ports: tuple[Port, ...]
    epoch: int
    on_disconnect: str = ""


def read(labels: Mapping[str, str]) -> Tag | None:
    """None for labels that do not name a task and a container."""
    task_id, container = labels.get(TASK), labels.get(CONTAINER)
    if not task_id or not container:
        return None
    plans = parse_listed(labels.get(CONTAINERS, ""))
    if container not in [plan.name for plan in plans]:
        plans = (*plans, ContainerPlan(container))
    epoch = labels.get(EPOCH, "")
    volumes = tuple(word for word in labels.get(VOLUMES, "").split(",") if word)
    ports = tuple(_port(word) for word in labels.get(PORTS, "").split(",") if _PORT.fullmatch(word))
    made_under = int(epoch) if _NUMBER.fullmatch(epoch) else 0
    return Tag(task_id, container, plans, volumes, ports, made_under, labels.get(ON_DISCONNECT, ""))


def listed_ports(ports: Sequence[Port]) -> str:
    """The container's port and the host's, once if they are the same."""
    return ",".join(f"{_numbers(port)}/{port.protocol}" for port in ports)


def _numbers(port: Port) -> str:
    same = port.container_port == port.host_port
    return str(port.host_port) if same else f"{port.container_port}:{port.host_port}"


def _port(word: str) -> Port:
    numbers, _, protocol = word.partition("/")
    container_port, _, host_port = numbers.partition(":")
    return Port(int(container_port), int(host_port or container_port), protocol)


def listed_counters(counters: Mapping[str, Mapping[str, int]]) -> str:
    """Of each interface of a network, as JSON."""
    return json.dumps(counters, separators=(",", ":"))


def counters_from(text: str) -> Mapping[str, Mapping[str, int]]:
    """Empty for a text that is not one of ours."""
    try:
        return {name: {key: int(value) for key, value in each.items()} for name, each in json.loads(text).items()}
    except (ValueError, TypeError, AttributeError):
        return {}


def container_name(cluster: str, task_id: str, container: str) -> str:
    """The engine lets a name be taken once: that makes it a lock against running a task twice on a host.

    It takes no "~", which begins the names of containers of our own; no definition's container has a dot.
    """
    return f"{cluster}.{task_id}.{container.removeprefix('~').replace('~', '.')}"


def volume_name(cluster: str, task_id: str, volume: str) -> str:
    return f"shoal.{cluster}.{task_id}.{volume}"
