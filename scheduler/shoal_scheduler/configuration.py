"""What the scheduler is told at its start."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Configuration:
    """`listen` is host:port, `http_listen` too (None: no HTTPS); `etcd` the client endpoints of its members; the rest
    PEM files."""

    listen: str
    etcd: tuple[str, ...]
    authority: Path
    certificate: Path
    key: Path
    cluster: str
    http_listen: str | None = None


def parse(arguments: Sequence[str] | None = None) -> Configuration:
    parser = argparse.ArgumentParser(prog="shoal_scheduler", description="The control plane of shoal.")
    parser.add_argument("--listen", default="127.0.0.1:7600", metavar="HOST:PORT", help="where clients and agents dial")
    parser.add_argument("--etcd", required=True, metavar="HOST:PORT[,...]", help="members of the etcd cluster")
    parser.add_argument("--authority", required=True, type=Path, help="the cluster's CA certificate")
    parser.add_argument("--certificate", required=True, type=Path, help="this scheduler's certificate")
    parser.add_argument("--key", required=True, type=Path, help="the key of the certificate")
    parser.add_argument("--cluster", default="default", help="the cluster that exists from the start")
    parser.add_argument("--http-listen", metavar="HOST:PORT", help="HTTPS, for probes and hosts that join")
    given = parser.parse_args(arguments)
    return Configuration(
        listen=given.listen,
        etcd=tuple(given.etcd.split(",")),
        authority=given.authority,
        certificate=given.certificate,
        key=given.key,
        cluster=given.cluster,
        http_listen=given.http_listen,
    )
