"""Which programs make a cluster on one machine, and how each is called. Pure."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from shoal.supervisor.layout import Layout
from shoal.supervisor.settings import Settings

# shoal.rpc.SERVER_NAME and shoal.certificates.ETCD_NAME, without loading grpc and cryptography here.
SCHEDULER_NAME = "scheduler.shoal"
ETCD_NAME = "etcd.shoal"
# Runs a module of ours; never one that lies in the working folder by chance.
PYTHON = (sys.executable, "-P", "-m")
QUOTA_BYTES = 2 * 1024**3
KEPT_REVISIONS = 10_000


@dataclass(frozen=True, slots=True)
class Program:
    """survives: it goes on when the supervisor dies, and the next supervisor takes it over.

    needs: it is started only while this path is there.
    """

    name: str
    arguments: Sequence[str]
    survives: bool = False
    stop_grace_seconds: float = 10.0
    needs: Path | None = None


def programs(settings: Settings, layout: Layout, etcd: str, dockerd: str) -> list[Program]:
    """In the order in which they start; they stop in reverse. etcd, dockerd: paths of the binaries."""
    engine = [_dockerd(settings, dockerd)] if settings.owns_engine else []
    members = [_etcd(settings, layout, etcd, name) for name in settings.members]
    schedulers = [_scheduler(settings, layout, name) for name in settings.schedulers]
    beside = [_registry(settings, layout), _proxies(layout), _ingress(settings, layout), _agent(settings, layout)]
    return [*engine, *members, *schedulers, *beside]


def _etcd(settings: Settings, layout: Layout, etcd: str, name: str) -> Program:
    client_port, peer_port = settings.members[name]
    client, peer = f"https://127.0.0.1:{client_port}", f"https://127.0.0.1:{peer_port}"
    certificate, key, authority = _files(layout, name)
    options = {
        "name": member_name(name),
        "data-dir": str(layout.work(name)),
        "listen-client-urls": client,
        "advertise-client-urls": client,
        "listen-peer-urls": peer,
        "initial-advertise-peer-urls": peer,
        "initial-cluster": initial_cluster(settings),
        "cert-file": certificate,
        "key-file": key,
        "trusted-ca-file": authority,
        "client-cert-auth": "true",
        # An agent's or an operator's certificate opens the scheduler, never the store behind it.
        "client-cert-allowed-hostname": SCHEDULER_NAME,
        "peer-cert-file": certificate,
        "peer-key-file": key,
        "peer-trusted-ca-file": authority,
        "peer-client-cert-auth": "true",
        "peer-cert-allowed-hostname": ETCD_NAME,
        "auto-compaction-mode": "revision",
        "auto-compaction-retention": str(KEPT_REVISIONS),
        "quota-backend-bytes": str(QUOTA_BYTES),
        # JSON over HTTP would be a second door to the store, and nobody here uses it.
        "enable-grpc-gateway": "false",
        "logger": "zap",
        "log-level": "warn",
    }
    return Program(name, [etcd, *(f"--{option}={value}" for option, value in options.items())])


def member_name(program: str) -> str:
    """What a member is called in etcd: the first one as it always was."""
    return "shoal" if program == "etcd" else program


def initial_cluster(settings: Settings) -> str:
    """All members with their peers' addresses, as etcd wants to be told when it begins."""
    return ",".join(f"{member_name(name)}=https://127.0.0.1:{peer}" for name, (_, peer) in settings.members.items())


def _scheduler(settings: Settings, layout: Layout, name: str) -> Program:
    arguments = [*PYTHON, "shoal_scheduler.guardian", "--listen", settings.schedulers[name]]
    arguments += ["--cluster", settings.cluster, "--etcd", ",".join(settings.etcd_endpoints)]
    arguments += ["--http-listen", settings.https[name], "--authority-key", str(layout.authority / "authority.key")]
    arguments += ["--state", str(layout.work(name))]
    arguments += ["--registry", settings.registry_address, "--ingress-wanted", str(layout.ingress_wanted)]
    return Program(name, [*arguments, *identity_options(layout, name)])


def _registry(settings: Settings, layout: Layout) -> Program:
    arguments = [*PYTHON, "shoal_registry", "--listen", settings.registry_listen]
    arguments += ["--store", str(layout.registry_store), "--token-key", str(layout.registry_keys / "token.key")]
    arguments += ["--master-key", str(layout.registry_keys / "master.key")]
    return Program("registry", [*arguments, *identity_options(layout, "registry")])


def _proxies(layout: Layout) -> Program:
    """Requests that are under way when it stops may be finished."""
    arguments = [*PYTHON, "shoal.ingress.proxies", "--state", str(layout.work("ingress"))]
    return Program("proxies", arguments, stop_grace_seconds=12.0, needs=layout.ingress_wanted)


def _ingress(settings: Settings, layout: Layout) -> Program:
    arguments = [*PYTHON, "shoal.ingress", "--scheduler", ",".join(settings.endpoints)]
    arguments += ["--cluster", settings.cluster, "--state", str(layout.work("ingress")), "--dns", settings.dns]
    return Program("ingress", [*arguments, *identity_options(layout, "ingress")], needs=layout.ingress_wanted)


def _agent(settings: Settings, layout: Layout) -> Program:
    arguments = [*PYTHON, "shoal_agent", "--scheduler", ",".join(settings.endpoints)]
    arguments += ["--state", str(layout.work("agent")), *identity_options(layout, "agent")]
    arguments += ["--docker-host", settings.docker_host]
    if layout.agent_config.exists():
        arguments += ["--config", str(layout.agent_config)]
    return Program("agent", arguments)


def _dockerd(settings: Settings, dockerd: str) -> Program:
    arguments = [dockerd, "--live-restore", "--host", settings.docker_host, *settings.dockerd_options]
    return Program("dockerd", arguments, survives=True, stop_grace_seconds=30.0)


def identity_options(layout: Layout, name: str) -> list[str]:
    """By which a program knows the cluster, and the cluster the program."""
    certificate, key, authority = _files(layout, name)
    return ["--authority", authority, "--certificate", certificate, "--key", key]


def _files(layout: Layout, name: str) -> tuple[str, str, str]:
    folder: Path = layout.certificates
    return str(folder / f"{name}.crt"), str(folder / f"{name}.key"), str(layout.authority / "authority.crt")
