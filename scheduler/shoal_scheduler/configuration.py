"""What the scheduler is told at its start."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Configuration:
    """`listen` is host:port, `http_listen` too (None: no HTTPS); `etcd` the client endpoints of its members; the rest
    PEM files. Without the authority's key nobody joins here; with it, an agent's certificate lives so many seconds."""

    listen: str
    etcd: tuple[str, ...]
    authority: Path
    certificate: Path
    key: Path
    cluster: str
    http_listen: str | None = None
    authority_key: Path | None = None
    agent_certificate_seconds: int = 24 * 3600


def parse(arguments: Sequence[str] | None = None) -> Configuration:
    parser = argparse.ArgumentParser(prog="shoal_scheduler", description="The control plane of shoal.")
    parser.add_argument("--listen", default="127.0.0.1:7600", metavar="HOST:PORT", help="where clients and agents dial")
    parser.add_argument("--etcd", required=True, metavar="HOST:PORT[,...]", help="members of the etcd cluster")
    parser.add_argument("--authority", required=True, type=Path, help="the cluster's CA certificate")
    parser.add_argument("--certificate", required=True, type=Path, help="this scheduler's certificate")
    parser.add_argument("--key", required=True, type=Path, help="the key of the certificate")
    parser.add_argument("--cluster", default="default", help="the cluster that exists from the start")
    parser.add_argument("--http-listen", metavar="HOST:PORT", help="HTTPS, for probes and hosts that join")
    parser.add_argument("--authority-key", type=Path, help="the CA's key: by it hosts may join here")
    parser.add_argument(
        "--agent-certificate-seconds",
        type=int,
        default=24 * 3600,
        metavar="SECONDS",
        help="how long the certificate of a host that joins is good; its agent renews it at half of that",
    )
    given = parser.parse_args(arguments)
    return Configuration(
        listen=given.listen,
        etcd=tuple(given.etcd.split(",")),
        authority=given.authority,
        certificate=given.certificate,
        key=given.key,
        cluster=given.cluster,
        http_listen=given.http_listen,
        authority_key=given.authority_key,
        agent_certificate_seconds=given.agent_certificate_seconds,
    )
