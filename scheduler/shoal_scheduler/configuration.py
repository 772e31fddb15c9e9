"""What the scheduler is told at its start."""

import argparse
import ipaddress
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from shoal import engine_trust

from shoal_scheduler.webhooks import Network


@dataclass(frozen=True, slots=True)
class Configuration:
    """`listen` is host:port, and `endpoint` the one that others dial; `http_listen` that of HTTPS, None for none;
    `etcd` the client endpoints of its members; `state` a folder of its own (None: no history over restarts); the rest
    PEM files. `name` is this scheduler's among the others. Without the authority's key nobody joins here; with it, an
    agent's certificate lives so many seconds."""

    listen: str
    endpoint: str
    name: str
    etcd: tuple[str, ...]
    authority: Path
    certificate: Path
    key: Path
    cluster: str
    http_listen: str | None = None
    state: Path | None = None
    authority_key: Path | None = None
    agent_certificate_seconds: int = 24 * 3600

    # By which images name the cluster's image registry; agents are told.
    registry: str | None = None

    # A file that is made once there is a target group: who starts the ingress waits for it.
    ingress_wanted: Path | None = None

    # Networks that alarms may reach beside the public internet.
    webhook_networks: tuple[Network, ...] = ()


WILDCARDS = ("", "0.0.0.0", "[::]")
LOOPBACK = ("127.0.0.1", "[::1]", "localhost")


def _dialled(listen: str) -> str:
    """A wildcard address is listened on, never dialled."""
    host, _, port = listen.rpartition(":")
    return f"{socket.gethostname()}:{port}" if host in WILDCARDS else listen


def _networks(text: str) -> tuple[Network, ...]:
    try:
        return tuple(map(ipaddress.ip_network, text.split(",")))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{error}; write a network as 10.0.0.0/8") from None


def _registry(text: str) -> str:
    if text and not engine_trust.is_address(text):
        raise argparse.ArgumentTypeError("write it as images do, with its port: registry.example:7680")
    return text


def parse(arguments: Sequence[str] | None = None) -> Configuration:
    parser = argparse.ArgumentParser(prog="shoal_scheduler", description="The control plane of shoal.")
    parser.add_argument("--listen", default="127.0.0.1:7600", metavar="HOST:PORT", help="where clients and agents dial")
    parser.add_argument(
        "--endpoint", metavar="HOST:PORT", help="how others reach it; by default where it listens, on this host's name"
    )
    parser.add_argument("--name", help="of this scheduler among the others; by default its host and port")
    parser.add_argument("--etcd", required=True, metavar="HOST:PORT[,...]", help="members of the etcd cluster")
    parser.add_argument("--authority", required=True, type=Path, help="the cluster's CA certificate")
    parser.add_argument("--certificate", required=True, type=Path, help="this scheduler's certificate")
    parser.add_argument("--key", required=True, type=Path, help="the key of the certificate")
    parser.add_argument("--cluster", default="default", help="the cluster that exists from the start")
    parser.add_argument("--http-listen", metavar="HOST:PORT", help="HTTPS, for probes and hosts that join")
    parser.add_argument("--state", type=Path, metavar="FOLDER", help="where metrics are kept over restarts")
    parser.add_argument("--authority-key", type=Path, help="the CA's key: by it hosts may join here")
    parser.add_argument(
        "--agent-certificate-seconds",
        type=int,
        default=24 * 3600,
        metavar="SECONDS",
        help="how long the certificate of a host that joins is good; its agent renews it at half of that",
    )
    parser.add_argument(
        "--webhook-networks",
        type=_networks,
        default=(),
        metavar="CIDR[,...]",
        help="where alarms may be told beside the public internet, as 10.0.0.0/8",
    )
    parser.add_argument(
        "--registry",
        type=_registry,
        metavar="HOST:PORT",
        help="the cluster's image registry, as images name it; empty for none",
    )
    parser.add_argument(
        "--ingress-wanted",
        type=Path,
        metavar="FILE",
        help="made once there is a target group, for who starts the ingress",
    )
    given = parser.parse_args(arguments)
    endpoint = given.endpoint or _dialled(given.listen)
    host, _, port = endpoint.rpartition(":")
    return Configuration(
        listen=given.listen,
        endpoint=endpoint,
        name=given.name or (f"{socket.gethostname()}:{port}" if host in LOOPBACK else endpoint),
        etcd=tuple(given.etcd.split(",")),
        authority=given.authority,
        certificate=given.certificate,
        key=given.key,
        cluster=given.cluster,
        http_listen=given.http_listen,
        state=given.state,
        authority_key=given.authority_key,
        agent_certificate_seconds=given.agent_certificate_seconds,
        registry=given.registry or None,
        ingress_wanted=given.ingress_wanted,
        webhook_networks=given.webhook_networks,
    )
