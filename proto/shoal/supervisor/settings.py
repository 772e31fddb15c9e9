"""What was chosen when a cluster was first brought up, and is kept for every later start."""

import ipaddress
import json
import os
import socket
from dataclasses import MISSING, asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from shoal import engine_trust

REGISTRY_PORT_OFFSET = 80
DNS_PORT_OFFSET = 53
DOCKER_HOST = "unix:///var/run/docker.sock"


@dataclass(frozen=True, slots=True)
class Settings:
    """listen: host:port of the scheduler; http_port: its HTTPS, on the same host. docker_host: unix:// address.

    owns_engine: the engine there is a dockerd that we run; dockerd_options are added to its command line.
    more_schedulers: of each but the first, the port beside that of `listen`, and one for its HTTPS.
    more_members: of each member of etcd but the first, its client's port and its peers'.
    registry: host:port by which images name the image registry; empty if that is `registry_beside` the scheduler.
    """

    cluster: str
    listen: str
    docker_host: str
    etcd_client_port: int
    etcd_peer_port: int
    instance_id: str
    owns_engine: bool = False
    dockerd_options: tuple[str, ...] = ()
    http_port: int = 0
    more_schedulers: tuple[tuple[int, int], ...] = ()
    more_members: tuple[tuple[int, int], ...] = ()
    registry: str = ""

    @property
    def registry_address(self) -> str:
        """By which images name the image registry."""
        return self.registry or registry_beside(self.listen)

    @property
    def registry_listen(self) -> str:
        """An address is listened on as it is; a name may stand for many, so that all of this machine's will do."""
        host, port = split_address(self.registry_address)
        return self.registry_address if is_ip_address(host) else f"0.0.0.0:{port}"

    @property
    def dns(self) -> str:
        """Where the names of services are answered: on the scheduler's host, 7653 where that has 7600."""
        host, port = split_address(self.listen)
        return f"{host}:{(port + DNS_PORT_OFFSET) % 65536}"

    @property
    def https(self) -> dict[str, str]:
        """Where each scheduler listens for HTTPS, by the name of its program."""
        host, _ = split_address(self.listen)
        more = {f"scheduler-{number}": f"{host}:{port}" for number, (_, port) in enumerate(self.more_schedulers, 2)}
        return {"scheduler": f"{host}:{self.http_port}", **more}

    @property
    def endpoint(self) -> str:
        """Where the scheduler is reached from here: a wildcard address is listened on, never dialled."""
        host, port = split_address(self.listen)
        return f"{dialled(host)}:{port}"

    @property
    def schedulers(self) -> dict[str, str]:
        """Where each listens, by the name of its program."""
        host, _ = split_address(self.listen)
        more = {f"scheduler-{number}": f"{host}:{port}" for number, (port, _) in enumerate(self.more_schedulers, 2)}
        return {"scheduler": self.listen, **more}

    @property
    def endpoints(self) -> tuple[str, ...]:
        """Where each is reached from here."""
        places = map(split_address, self.schedulers.values())
        return tuple(f"{dialled(host)}:{port}" for host, port in places)

    @property
    def members(self) -> dict[str, tuple[int, int]]:
        """Of etcd: the client's and the peers' port of each, by the name of its program."""
        more = {f"etcd-{number}": ports for number, ports in enumerate(self.more_members, 2)}
        return {"etcd": (self.etcd_client_port, self.etcd_peer_port), **more}

    @property
    def etcd_endpoints(self) -> tuple[str, ...]:
        return tuple(f"127.0.0.1:{client}" for client, _ in self.members.values())


def registry_beside(listen: str) -> str:
    """Where the registry is of a scheduler that listens there, unless another place was chosen: who reaches the one
    reaches the other.

    >>> registry_beside("127.0.0.1:7600"), registry_beside("0.0.0.0:7600"), registry_beside("[::1]:7600")
    ('127.0.0.1:7680', '127.0.0.1:7680', '127.0.0.1:7680')
    """
    host, port = split_address(listen)
    # Images cannot name every address on which a scheduler can listen.
    address = f"{dialled(host)}:{port + REGISTRY_PORT_OFFSET}"
    return address if engine_trust.is_address(address) else f"127.0.0.1:{port + REGISTRY_PORT_OFFSET}"


def is_ip_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


def dialled(host: str) -> str:
    return "127.0.0.1" if host in ("0.0.0.0", "", "[::]") else host


def split_address(address: str) -> tuple[str, int]:
    """`host:port` apart. Raises ValueError with a sentence for people."""
    host, _, port = address.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"{address!r} is not host:port, as in 127.0.0.1:7600")
    return host, int(port)


def load(path: Path) -> Settings | None:
    """None if there is no such file. Raises ValueError if it cannot be understood."""
    try:
        document = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    try:
        return replace(
            Settings(**document),
            dockerd_options=tuple(document.get("dockerd_options", ())),
            more_schedulers=tuple(map(tuple, document.get("more_schedulers", ()))),
            more_members=tuple(map(tuple, document.get("more_members", ()))),
        )
    except TypeError as error:
        raise ValueError(f"{path} is not a settings file: {error}") from None


def save(path: Path, settings: Settings) -> None:
    """What is as by default is left out: an older version, which may know less, can read the rest."""
    defaults = {field.name: field.default for field in fields(Settings) if field.default is not MISSING}
    document = asdict(settings)
    write_json(path, {name: value for name, value in document.items() if value != defaults.get(name, MISSING)})


def write_json(path: Path, document: Any) -> None:
    """Whole or not at all."""
    beside = path.with_name(f"{path.name}.{os.getpid()}.new")
    beside.write_text(json.dumps(document, indent=2) + "\n")
    beside.replace(path)


def is_free(host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host.strip("[]"), port))
        except OSError:
            return False
    return True


def free_ports(host: str, count: int) -> list[int]:
    """Different ports nobody listens on. If another program takes one first, the start says so."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind((host, 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()
