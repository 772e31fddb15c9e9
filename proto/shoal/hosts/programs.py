"""What runs in each host, and with which configuration. Pure, but for reading which hosts there are."""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from shoal.hosts import plan
from shoal.hosts.plan import Fleet, Host
from shoal.supervisor.layout import Layout
from shoal.supervisor.programs import PYTHON, Program

NAMESPACES = Path("/run/netns")
# What of an engine's folder is gone when its host is switched off, as /run is after a reboot.
RUNTIME = "exec"


@dataclass(frozen=True, slots=True)
class Machine:
    """What the hosts share: cpu in units of 1024 to the core."""

    cpu: int
    memory_mib: int


def agent(host: Host) -> str:
    return f"{host.name}-agent"


def engine(host: Host) -> str:
    return f"{host.name}-engine"


def containerd(host: Host) -> str:
    return f"{host.name}-containerd"


def docker_host(layout: Layout, host: Host) -> str:
    return f"unix://{layout.work(engine(host))}/docker.sock"


def with_hosts(wanted: list[Program], layout: Layout, schedulers: str) -> list[Program]:
    """`wanted` of a cluster whose only host is this machine; of several hosts, theirs instead of its agent."""
    fleet = plan.load(layout.hosts)
    if fleet is None:
        return wanted
    return [*(each for each in wanted if each.name != "agent"), *programs(fleet, layout, schedulers)]


def survives(name: str) -> bool:
    """Whether a program of that name, here or in a host, goes on without its supervisor: what containers need."""
    return name == "dockerd" or name.endswith(("-engine", "-containerd"))


def programs(fleet: Fleet, layout: Layout, schedulers: str) -> list[Program]:
    """In the order in which they start. schedulers: as agents are told of them."""
    makers = (_containerd, _engine)
    engines = [make(host, layout) for host in fleet.hosts for make in makers]
    return [*engines, *(_agent(host, layout, schedulers) for host in fleet.hosts)]


def inside(host: Host) -> list[str]:
    """Goes before a command that is to run in the host. Its /sys, and so its cgroups, stay the machine's."""
    return ["nsenter", f"--net={NAMESPACES / host.namespace}"]


def _program(host: Host, name: str, arguments: Sequence[str], survives: bool, grace_seconds: float) -> Program:
    return Program(name, [*inside(host), *arguments], survives, grace_seconds, NAMESPACES / host.namespace)


def _containerd(host: Host, layout: Layout) -> Program:
    """Of its own: a Docker Engine that finds the machine's one would run its containers in the machine's network."""
    arguments = ["containerd", "--config", str(layout.work(containerd(host)) / "config.toml")]
    return _program(host, containerd(host), arguments, survives=True, grace_seconds=10.0)


def containerd_toml(host: Host, layout: Layout) -> str:
    folder = layout.work(engine(host))
    return f"""version = 2
root = "{folder}/containerd"
state = "{folder}/{RUNTIME}/containerd"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
address = "{_containerd_socket(folder)}"
"""


def _containerd_socket(folder: Path) -> Path:
    return folder / RUNTIME / "containerd.sock"


def _engine(host: Host, layout: Layout) -> Program:
    folder = layout.work(engine(host))
    options = {
        "host": docker_host(layout, host),
        "containerd": str(_containerd_socket(folder)),
        "data-root": str(folder / "data"),
        "exec-root": str(folder / RUNTIME),
        "pidfile": str(folder / RUNTIME / "pid"),
        "bip": str(host.containers),
        "cgroup-parent": f"/{host.namespace}",
        # A systemd of the machine's would want slices, which know nothing of hosts.
        "exec-opt": "native.cgroupdriver=cgroupfs",
    }
    arguments = ["dockerd", "--live-restore", *(f"--{name}={value}" for name, value in options.items())]
    return _program(host, engine(host), arguments, survives=True, grace_seconds=30.0)


def _agent(host: Host, layout: Layout, schedulers: str) -> Program:
    folder = layout.work(agent(host))
    files = {
        "authority": layout.authority / "authority.crt",
        "certificate": layout.certificates / f"{host.name}.crt",
        "key": layout.certificates / f"{host.name}.key",
        "state": folder,
        "config": folder / "agent.toml",
    }
    arguments = [*PYTHON, "shoal_agent", "--scheduler", schedulers, "--docker-host", docker_host(layout, host)]
    for name, path in files.items():
        arguments += [f"--{name}", str(path)]
    return _program(host, agent(host), arguments, survives=False, grace_seconds=10.0)


def agent_toml(host: Host, count: int, machine: Machine, common: str) -> str:
    """The configuration of a host's agent: its name, its share of the machine, and what `common` says for all hosts.

    Raises ValueError if `common` is no TOML.
    """
    said = tomllib.loads(common)
    own = {
        "hostname": f'"{host.name}"',
        "reserved_cpu": str(machine.cpu - machine.cpu // count),
        "reserved_memory_mib": str(machine.memory_mib - machine.memory_mib // count),
    }
    lines = [f"{key} = {value}" for key, value in own.items() if key not in said]
    # Ours first: what follows a table's header would belong to the table.
    return "\n".join([*lines, common])
