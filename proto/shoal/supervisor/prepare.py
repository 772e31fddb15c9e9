"""Everything that must exist before the first start: folders, settings, certificates. May be called again."""

import getpass
import uuid
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from shoal import certificates
from shoal.context import Context
from shoal.rpc import Identity
from shoal.supervisor import settings
from shoal.supervisor.layout import Layout
from shoal.supervisor.settings import Settings

DEFAULT_LISTEN = "127.0.0.1:7600"


@dataclass(frozen=True, slots=True)
class Asked:
    """What the user asked for; None is "as before, or the default"."""

    cluster: str | None = None
    listen: str | None = None
    docker_host: str | None = None
    dockerd_options: tuple[str, ...] = ()


def prepare(layout: Layout, asked: Asked, owns_engine: bool) -> tuple[Settings, Context]:
    """Raises ValueError, in words for people, if what is asked contradicts what is there.

    The caller holds the setup lock, and no supervisor runs: ports that are taken are another program's.
    """
    kept = settings.load(layout.settings)
    chosen = replace(_choose(kept, asked), owns_engine=owns_engine)
    if chosen != kept:
        settings.save(layout.settings, chosen)
    return chosen, issue_all(layout, chosen)


def _choose(kept: Settings | None, asked: Asked) -> Settings:
    if kept is None:
        return _first(asked)
    if asked.cluster not in (None, kept.cluster):
        raise ValueError(
            f"this state folder holds cluster {kept.cluster!r}: give {asked.cluster!r} a --state of its own"
        )
    listen = _with_port(asked.listen, kept) if asked.listen else kept.listen
    client, peer = kept.etcd_client_port, kept.etcd_peer_port
    if not (settings.is_free("127.0.0.1", client) and settings.is_free("127.0.0.1", peer)):
        client, peer = settings.free_ports("127.0.0.1", 2)
    return replace(
        kept,
        listen=listen,
        http_port=_http_port(listen, kept.http_port),
        docker_host=asked.docker_host or kept.docker_host,
        etcd_client_port=client,
        etcd_peer_port=peer,
        dockerd_options=asked.dockerd_options or kept.dockerd_options,
    )


def _with_port(listen: str, kept: Settings) -> str:
    """Port 0 is any free one, chosen once: as long as the host stays, so does the port."""
    host, port = settings.split_address(listen)
    if port != 0:
        return listen
    kept_host, kept_port = settings.split_address(kept.listen)
    return kept.listen if kept_host == host else f"{host}:{kept_port}"


def _first(asked: Asked) -> Settings:
    host, port = settings.split_address(asked.listen or DEFAULT_LISTEN)
    client, peer, free = settings.free_ports("127.0.0.1", 3)
    listen = f"{host}:{port or free}"
    return Settings(
        cluster=asked.cluster or "default",
        listen=listen,
        http_port=_http_port(listen, 0),
        docker_host=asked.docker_host or settings.DOCKER_HOST,
        etcd_client_port=client,
        etcd_peer_port=peer,
        instance_id=uuid.uuid4().hex,
        dockerd_options=asked.dockerd_options,
    )


def _http_port(listen: str, kept: int) -> int:
    """The one kept while it can be had, else the one after the scheduler's, else any."""
    host, port = settings.split_address(listen)
    wanted = kept or port + 1
    return wanted if wanted < 65536 and settings.is_free(host, wanted) else settings.free_ports("127.0.0.1", 1)[0]


def issue_all(layout: Layout, chosen: Settings) -> Context:
    """The authority and every certificate, where they are not there or not good any more; the operator's context."""
    now = datetime.now(UTC)
    authority = certificates.ensure_authority(layout.authority, chosen.cluster, now)

    def issue(role: str, name: str) -> certificates.Issued:
        identity = Identity(chosen.cluster, role, name)
        return certificates.ensure_certificate(authority, layout.certificates, role, identity, now)

    for role in ("scheduler", "etcd"):
        issue(role, "local")
    issue("agent", chosen.instance_id)
    operator = issue("operator", _user())
    return Context(
        chosen.cluster,
        (chosen.endpoint,),
        chosen.cluster,
        authority.path.resolve(),
        Path(operator.certificate).resolve(),
        Path(operator.key).resolve(),
    )


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a uid without a name, as in some containers
        return "operator"
