"""`shoal down`: stops what `shoal up` started, and nothing else."""

import shutil
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from shoal import cgroups, engine_trust
from shoal.cli import engine_http
from shoal.cli.failures import Failed, warn
from shoal.hosts.programs import survives
from shoal.supervisor import binaries, keep, lock, processes, settings
from shoal.supervisor.layout import Layout, default_root
from shoal.supervisor.programs import programs

if TYPE_CHECKING:
    from shoal.supervisor.settings import Settings

SUPERVISOR_GRACE_SECONDS = 45.0
ENGINE_GRACE_SECONDS = 30.0


@click.command()
@click.option(
    "--state",
    type=click.Path(path_type=Path),
    help="State folder.  [default: $SHOAL_HOME or ~/.local/state/shoal]",
)
@click.option("--stop-tasks", is_flag=True, help="Stop the tasks first; without it their containers go on.")
@click.option(
    "--purge",
    is_flag=True,
    help="Also remove this machine's containers, all state with the images that were pushed, and the context.",
)
def down(state: Path | None, stop_tasks: bool, purge: bool) -> None:
    """Stop all that `shoal up` started.

    Containers go on, and the next `shoal up` finds them again. --purge leaves nothing behind.
    """
    layout = Layout((state or default_root()).expanduser().resolve())
    chosen = settings.load(layout.settings)
    if chosen is None:
        click.echo(f"Nothing is up in {layout.root}.")
        return
    if stop_tasks and lock.holder(layout.supervisor_lock) is not None:
        _stop_tasks(chosen)
    stopped = _stop_programs(layout)
    if purge and not layout.hosts.exists():
        _remove_containers(layout, chosen)
    stopped += _stop_engine(layout) + _remove_hosts(layout)
    if purge:
        _forget(layout, chosen)
    if stopped:
        click.echo(f"Stopped {', '.join(stopped)}.")
    elif not purge:
        click.echo(f"Cluster {chosen.cluster} was down already.")
    if purge:
        click.echo(f"Removed {layout.root} and context {chosen.cluster}.")


def _stop_programs(layout: Layout) -> list[str]:
    """The supervisor, which ends its programs in order; then whatever a killed supervisor left."""
    before = {name: each for name, each in processes.load(layout.processes).items() if not survives(name)}
    alive = [name for name, each in before.items() if each.is_alive]
    pid = lock.holder(layout.supervisor_lock)
    supervisor = processes.identify(pid) if pid else None
    if supervisor is not None:
        processes.send(supervisor, signal.SIGTERM)
        _wait_for(layout, supervisor)
    for each in reversed(before.values()):  # as they were written down, they were started
        if each.is_alive:
            processes.stop(each, 10.0)
    return alive


def _wait_for(layout: Layout, supervisor: processes.Process) -> None:
    if not processes.wait_end(supervisor, SUPERVISOR_GRACE_SECONDS):
        processes.kill(supervisor)
    deadline = time.monotonic() + 5.0
    while lock.holder(layout.supervisor_lock) is not None and time.monotonic() < deadline:
        time.sleep(0.02)


def _stop_engine(layout: Layout) -> list[str]:
    """Only a dockerd of ours. It was started with live-restore: its containers go on without it."""
    running = processes.load(layout.processes)
    dockerd = running.pop("dockerd", None)
    if dockerd is None or not dockerd.is_alive:
        return []
    processes.stop(dockerd, ENGINE_GRACE_SECONDS)
    processes.save(layout.processes, running)
    return ["dockerd"]


def _remove_hosts(layout: Layout) -> list[str]:
    """All that `up --hosts` has in the kernel; what they have on disk stays, as of hosts that are switched off."""
    from shoal.hosts import plan, power

    fleet = plan.load(layout.hosts)
    return [] if fleet is None else power.remove(fleet, layout)


def _remove_containers(layout: Layout, chosen: "Settings") -> None:
    try:
        _demand_engine(layout, chosen)
        found = engine_http.containers_of(chosen.docker_host, chosen.cluster, chosen.instance_id)
        for container_id in found:
            engine_http.remove_container(chosen.docker_host, container_id)
    except engine_http.EngineError as error:
        warn(f"containers may be left: {error}")
        return
    cgroups.keep_only(chosen.instance_id, ())
    if found:
        click.echo(f"Removed {len(found)} container{'' if len(found) == 1 else 's'}.")


def _demand_engine(layout: Layout, chosen: "Settings") -> None:
    """Starts an engine of ours that an earlier `down` has stopped: its containers run on without it."""
    dockerd = binaries.find_dockerd()
    if not chosen.owns_engine or dockerd is None or _answers(chosen.docker_host):
        return
    program = next(each for each in programs(chosen, layout, "etcd", dockerd) if each.name == "dockerd")
    started = processes.identify(keep.spawn(program, layout).pid)
    if started is not None:
        processes.save(layout.processes, {"dockerd": started})
    give_up = time.monotonic() + ENGINE_GRACE_SECONDS
    while not _answers(chosen.docker_host) and time.monotonic() < give_up:
        time.sleep(0.1)


def _answers(docker_host: str) -> bool:
    try:
        engine_http.version(docker_host)
    except engine_http.EngineError:
        return False
    return True


def _forget(layout: Layout, chosen: "Settings") -> None:
    from shoal import context

    _forget_trust(layout, chosen)
    shutil.rmtree(layout.root)
    contexts = context.load()
    mine = contexts.contexts.get(chosen.cluster)
    if mine is not None and mine.certificate.is_relative_to(layout.root):
        context.save(contexts.without(chosen.cluster))


def _forget_trust(layout: Layout, chosen: "Settings") -> None:
    """What this machine's agents have told its engines of the registry."""
    try:
        engine_trust.forget(chosen.registry_address, (layout.authority / "authority.crt").read_bytes())
    except OSError as error:
        warn(f"{engine_trust.FOLDER} may still name the cluster's registry: {error}")


def _stop_tasks(chosen: "Settings") -> None:
    from shoal.cli.options import target
    from shoal.cli.session import call
    from shoal.cli.stop import stop_all

    target().context = chosen.cluster
    left = call(stop_all, "Stopping tasks")
    if left:
        raise Failed(f"{left} tasks have not stopped.", "shoal ps, or shoal down without --stop-tasks")
