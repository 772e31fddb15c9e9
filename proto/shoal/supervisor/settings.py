"""What was chosen when a cluster was first brought up, and is kept for every later start."""

import json
import os
import socket
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

DOCKER_HOST = "unix:///var/run/docker.sock"


@dataclass(frozen=True, slots=True)
class Settings:
    """listen: host:port of the scheduler; http_port: its HTTPS, on the same host. docker_host: unix:// address.

    owns_engine: the engine there is a dockerd that we run; dockerd_options are added to its command line.
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

    @property
    def http_listen(self) -> str:
        return f"{split_address(self.listen)[0]}:{self.http_port}"

    @property
    def endpoint(self) -> str:
        """Where the scheduler is reached from here: a wildcard address is listened on, never dialled."""
        host, port = split_address(self.listen)
        return f"{'127.0.0.1' if host in ('0.0.0.0', '', '[::]') else host}:{port}"


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
        return replace(Settings(**document), dockerd_options=tuple(document.get("dockerd_options", ())))
    except TypeError as error:
        raise ValueError(f"{path} is not a settings file: {error}") from None


def save(path: Path, settings: Settings) -> None:
    write_json(path, asdict(settings))


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
