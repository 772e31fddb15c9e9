"""Everything that must exist before the first start: folders, settings, certificates. May be called again."""

import getpass
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from shoal import certificates
from shoal.context import Context
from shoal.rpc import Identity
from shoal.supervisor import settings
from shoal.supervisor.layout import Layout
from shoal.supervisor.settings import Settings

LOOPBACK = ("127.0.0.1", "localhost")
DEFAULT_LISTEN = "127.0.0.1:7600"


@dataclass(frozen=True, slots=True)
class Asked:
    """What the user asked for; None is "as before, or the default"."""

    cluster: str | None = None
    listen: str | None = None
    docker_host: str | None = None
    dockerd_options: tuple[str, ...] = ()
    schedulers: int | None = None
    etcd_members: int | None = None
    registry: str | None = None


def prepare(layout: Layout, asked: Asked, owns_engine: bool) -> tuple[Settings, Context]:
    """Raises ValueError, in words for people, if what is asked contradicts what is there.

    The caller holds the setup lock, and no supervisor runs: ports that are taken are another program's.
    """
    kept = settings.load(layout.settings)
    # Of an older version there may be settings, but no registry whose address images carry in their names.
    had_registry = kept is not None and (layout.certificates / "registry.crt").exists()
    chosen = replace(_choose(kept, asked), owns_engine=owns_engine)
    chosen = replace(chosen, registry=_registry(asked.registry, chosen, kept if had_registry else None))
    layout.registry_keys.mkdir(mode=0o700, exist_ok=True)
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
    if asked.etcd_members not in (None, len(kept.members)):
        raise ValueError(
            f"this state folder holds {len(kept.members)} of etcd's members, which cannot be changed in place: shoal"
            f" backup FILE, then shoal restore FILE --etcd-members {asked.etcd_members} into another --state"
        )
    listen = _with_port(asked.listen, kept) if asked.listen else kept.listen
    client, peer = kept.etcd_client_port, kept.etcd_peer_port
    taken = [port for ports in kept.members.values() for port in ports if not settings.is_free("127.0.0.1", port)]
    if taken and kept.more_members:
        raise ValueError(f"another program listens on port {taken[0]}, by which etcd's members know each other")
    if taken:
        client, peer = settings.free_ports("127.0.0.1", 2)
    return replace(
        kept,
        listen=listen,
        http_port=_http_port(listen, kept.http_port),
        docker_host=asked.docker_host or kept.docker_host,
        etcd_client_port=client,
        etcd_peer_port=peer,
        dockerd_options=asked.dockerd_options or kept.dockerd_options,
        more_schedulers=_more_schedulers(listen, kept.more_schedulers, asked.schedulers),
    )


def _more_schedulers(listen: str, kept: tuple[tuple[int, int], ...], wanted: int | None) -> tuple[tuple[int, int], ...]:
    """As many beside the first as are wanted, on ports kept while they can be had."""
    host, _ = settings.split_address(listen)
    count = len(kept) if wanted is None else wanted - 1
    good = [ports for ports in kept[:count] if all(settings.is_free(host, port) for port in ports)]
    fresh = settings.free_ports("127.0.0.1", 2 * (count - len(good)))
    return (*good, *zip(fresh[::2], fresh[1::2], strict=True))


def _with_port(listen: str, kept: Settings) -> str:
    """Port 0 is any free one, chosen once: as long as the host stays, so does the port."""
    host, port = settings.split_address(listen)
    if port != 0:
        return listen
    kept_host, kept_port = settings.split_address(kept.listen)
    return kept.listen if kept_host == host else f"{host}:{kept_port}"


def _first(asked: Asked) -> Settings:
    host, port = settings.split_address(asked.listen or DEFAULT_LISTEN)
    client, peer, free, *more = settings.free_ports("127.0.0.1", 1 + 2 * (asked.etcd_members or 1))
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
        more_schedulers=_more_schedulers(listen, (), asked.schedulers),
        more_members=tuple(zip(more[::2], more[1::2], strict=True)),
    )


def _http_port(listen: str, kept: int) -> int:
    """The one kept while it can be had, else the one after the scheduler's, else any."""
    host, port = settings.split_address(listen)
    return _port_or_free(host, kept or port + 1)


def _port_or_free(host: str, wanted: int) -> int:
    return wanted if wanted < 65536 and settings.is_free(host, wanted) else settings.free_ports("127.0.0.1", 1)[0]


def _registry(asked: str | None, chosen: Settings, kept: Settings | None) -> str:
    """As in the settings. Chosen once: images carry it in their names. Port 0 is any free one."""
    beside = settings.registry_beside(chosen.listen)
    if asked is None and kept is None:
        host, port = settings.split_address(beside)
        address = f"{host}:{_port_or_free(host, port)}"
    elif asked is None or (kept is not None and _is_served(asked, kept.registry_address)):
        assert kept is not None
        address = kept.registry_address
    else:
        host, port = settings.split_address(asked)
        address = f"{host}:{port or settings.free_ports('127.0.0.1', 1)[0]}"
    return "" if address == beside else address


def _is_served(asked: str, address: str) -> bool:
    """Whether who asks for any free port of a host may be given that address."""
    return asked == f"{settings.split_address(address)[0]}:0"


def issue_all(layout: Layout, chosen: Settings) -> Context:
    """The authority and every certificate, where they are not there or not good any more; the operator's context."""
    now = datetime.now(UTC)
    authority = certificates.ensure_authority(layout.authority, chosen.cluster, now)

    def issue(role: str, name: str, file: str = "", called: Sequence[str] = ()) -> certificates.Issued:
        identity = Identity(chosen.cluster, role, name)
        return certificates.ensure_certificate(authority, layout.certificates, file or role, identity, now, called)

    for role, programs in (("scheduler", chosen.schedulers), ("etcd", chosen.members)):
        for program in programs:
            issue(role, "local" if program == role else program, program)
    issue("registry", "local", called=[settings.split_address(chosen.registry_address)[0], *LOOPBACK])
    issue("agent", chosen.instance_id)
    issue("ingress", "local")
    operator = issue("operator", _user())
    return Context(
        chosen.cluster,
        chosen.endpoints,
        chosen.cluster,
        authority.path.resolve(),
        Path(operator.certificate).resolve(),
        Path(operator.key).resolve(),
        chosen.registry_address,
    )


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a uid without a name, as in some containers
        return "operator"
