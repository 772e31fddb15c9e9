"""Which hosts a cluster on one machine has. The names in the kernel are unique to the cluster."""

import json
import random
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv4Network
from pathlib import Path

from shoal.supervisor.settings import write_json

# Where home routers, offices and Docker itself seldom are.
POOL = IPv4Network("10.224.0.0/11")
# Of a cluster: one /24 for the bridge and the hosts on it, one for the containers of each host.
PREFIX = 19
HOSTS_MAX = 30
_FIRST_HOST_ADDRESS = 11


@dataclass(frozen=True, slots=True)
class Host:
    """number: from 1. containers: the address of its engine's own bridge, and the network of its containers."""

    number: int
    instance_id: str
    bridge: str
    address: IPv4Interface
    containers: IPv4Interface

    @property
    def name(self) -> str:
        return f"host{self.number}"

    @property
    def namespace(self) -> str:
        """Of the network; its engine's cgroup is called the same."""
        return f"{self.bridge}-{self.name}"

    @property
    def link(self) -> str:
        """The end of its cable in the machine's bridge. Names of devices have 15 characters at most."""
        return f"{self.bridge}-{self.number}"


@dataclass(frozen=True, slots=True)
class Fleet:
    """bridge: its name. address: the machine's own there, where the control plane listens."""

    bridge: str
    address: IPv4Interface
    hosts: tuple[Host, ...]

    def host(self, name: str) -> Host | None:
        return next((each for each in self.hosts if each.name == name), None)


def fleet(bridge: str, network: IPv4Network, instance_ids: Iterable[str]) -> Fleet:
    """The plan follows from three things."""
    first, *others = network.subnets(new_prefix=24)
    hosts = (
        Host(number, instance_id, bridge, _address(first, _FIRST_HOST_ADDRESS + number - 1), _address(own, 1))
        for number, (instance_id, own) in enumerate(zip(instance_ids, others, strict=False), 1)
    )
    return Fleet(bridge, _address(first, 1), tuple(hosts))


def _address(network: IPv4Network, number: int) -> IPv4Interface:
    return IPv4Interface(f"{network[number]}/{network.prefixlen}")


def choose(count: int, routes: Iterable[IPv4Network], devices: Iterable[str], chance: random.Random) -> Fleet:
    """A network that overlaps none of the machine's routes, a name that none of its devices has.

    Raises ValueError, in words for people, for a count that cannot be, and when there is no room.
    """
    if not 1 <= count <= HOSTS_MAX:
        raise ValueError(f"{count} hosts cannot be: take 1 to {HOSTS_MAX}")
    taken, names = list(routes), set(devices)
    free = [each for each in POOL.subnets(new_prefix=PREFIX) if not any(each.overlaps(other) for other in taken)]
    if not free:
        raise ValueError(f"no network is free in {POOL}: every /{PREFIX} of it has a route")
    bridge = _new_name(names, chance)
    return fleet(bridge, chance.choice(free), [f"{chance.getrandbits(128):032x}" for _ in range(count)])


def _new_name(names: set[str], chance: random.Random) -> str:
    while True:
        name = f"shoal-{chance.getrandbits(24):06x}"
        if name not in names:
            return name


def load(path: Path) -> Fleet | None:
    """None if there is no such file: the machine itself is the only host. Raises ValueError if it makes no sense."""
    try:
        document = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    try:
        return fleet(document["bridge"], IPv4Network(document["network"]), document["instances"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is not a list of hosts: {error!r}") from None


def save(path: Path, wanted: Fleet) -> None:
    network = wanted.address.network.supernet(new_prefix=PREFIX)
    instances = [host.instance_id for host in wanted.hosts]
    write_json(path, {"bridge": wanted.bridge, "network": str(network), "instances": instances})
