"""What `shoal up` says when all is healthy: what runs where."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from shoal.cli.show import Table, print_document, print_table
from shoal.hosts import programs
from shoal.supervisor import lock, processes
from shoal.supervisor.layout import Layout

if TYPE_CHECKING:
    from shoal.cli.health import Health
    from shoal.context import Context
    from shoal.hosts.plan import Fleet
    from shoal.supervisor.settings import Settings


@dataclass(frozen=True, slots=True)
class Started:
    settings: "Settings"
    context: "Context"
    health: "Health"
    was_up: bool
    fleet: "Fleet | None" = None


def report(output: str, layout: Layout, started: Started) -> None:
    if output == "json":
        print_document("json", _document(layout, started))
        return
    click.echo(f"Cluster {started.settings.cluster} is up{' already' if started.was_up else ''}.")
    running = processes.load(layout.processes)
    rows = [
        (name, where, f"pid {running[name].pid}" if name in running else "")
        for name, where in _places(layout, started).items()
    ]
    print_table(Table(("PART", "WHERE", "PROCESS"), rows))
    if not started.was_up:
        first = "run busybox -- echo hello" if started.fleet is None else "host load busybox:latest"
        click.echo(f"\nNext:  shoal {first}    shoal ps -a    shoal down")


def _places(layout: Layout, started: Started) -> dict[str, str]:
    """By program: where it is to be found."""
    chosen = started.settings
    control_plane = {
        **dict(zip(chosen.schedulers, chosen.endpoints, strict=True)),
        **dict(zip(chosen.members, chosen.etcd_endpoints, strict=True)),
    }
    control_plane["registry"] = chosen.registry_address
    kept = {"state": str(layout.root), "context": started.context.name}
    if started.fleet is not None:
        hosts = {
            name: where
            for host in started.fleet.hosts
            for name, where in (
                (programs.engine(host), programs.docker_host(layout, host)),
                (programs.agent(host), f"{host.address.ip}, instance {host.instance_id[:8]}"),
            )
        }
        return {**control_plane, **hosts, **kept}
    engine = "dockerd" if chosen.owns_engine else "engine"
    return {
        **control_plane,
        "agent": f"instance {chosen.instance_id[:8]}",
        engine: f"{chosen.docker_host} (Docker {started.health.engine_version})",
        **kept,
    }


def _document(layout: Layout, started: Started) -> dict[str, Any]:
    running = processes.load(layout.processes)
    chosen = started.settings
    return {
        "cluster": chosen.cluster,
        "endpoint": chosen.endpoint,
        "endpoints": list(chosen.endpoints),
        "etcdEndpoint": f"127.0.0.1:{chosen.etcd_client_port}",
        "etcdEndpoints": list(chosen.etcd_endpoints),
        "registry": chosen.registry_address,
        "instanceId": chosen.instance_id,
        "dockerHost": chosen.docker_host,
        "ownsEngine": chosen.owns_engine,
        "engineVersion": started.health.engine_version,
        "state": str(layout.root),
        "context": started.context.document(),
        "supervisorPid": lock.holder(layout.supervisor_lock),
        "pids": {name: each.pid for name, each in running.items()},
        "wasUp": started.was_up,
        "hosts": _hosts(layout, started.fleet) if started.fleet is not None else [],
    }


def _hosts(layout: Layout, fleet: "Fleet") -> list[dict[str, str]]:
    return [
        {
            "name": host.name,
            "address": str(host.address.ip),
            "instanceId": host.instance_id,
            "dockerHost": programs.docker_host(layout, host),
        }
        for host in fleet.hosts
    ]
