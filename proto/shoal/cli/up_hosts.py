"""What `shoal up --hosts N` does besides `shoal up`: chooses the hosts once, makes their network and their files."""

import os
import random
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from shoal.cli.failures import USAGE, Failed
from shoal.cli.health import Place
from shoal.hosts import network, plan, power, programs
from shoal.hosts.plan import Fleet
from shoal.supervisor.layout import Layout

if TYPE_CHECKING:
    from shoal.supervisor.settings import Settings

PORT = 7600
# program -> Debian's package of it
_NEEDED = {"dockerd": "docker.io", "containerd": "containerd", "ip": "iproute2", "iptables": "iptables"}
_NEEDED |= {"nsenter": "util-linux"}
# A path of a unix socket has 107 characters; the longest that an engine makes in its folder has these.
_PATH_MAX = 107 - len("/exec/containerd/containerd-debug.sock")


def hosts_of(layout: Layout, count: int | None) -> Fleet | None:
    """Those of an earlier start, or as many as are asked for; None if this machine is the only host."""
    try:
        kept = plan.load(layout.hosts)
    except ValueError as error:
        raise Failed(f"Cannot start: {error}.") from None
    if kept is None and count is None:
        return None
    if kept is None and layout.settings.exists():
        raise Failed(
            "The cluster in this state folder was made without --hosts.",
            "shoal down --purge first, or give the hosts a --state and a --name of their own",
            USAGE,
        )
    _demand(layout)
    if kept is not None and count not in (None, len(kept.hosts)):
        raise Failed(f"This cluster has {len(kept.hosts)} hosts.", "shoal down --purge first", USAGE)
    return kept or _choose(count or 1)


def _demand(layout: Layout) -> None:
    if os.geteuid() != 0:
        raise Failed("Several hosts on one machine need root: for network namespaces and Docker Engines.", "sudo")
    lacking = {package for program, package in _NEEDED.items() if shutil.which(program) is None}
    if lacking:
        raise Failed("Several hosts on one machine need more programs.", f"apt-get install {' '.join(sorted(lacking))}")
    longest = len(str(layout.work(f"host{plan.HOSTS_MAX}-engine")))
    if longest > _PATH_MAX:
        over = longest - _PATH_MAX
        raise Failed(f"The path {layout.root} is {over} characters too long for sockets below it.", "give a --state")


def _choose(count: int) -> Fleet:
    try:
        return plan.choose(count, network.routes(), network.devices(), random.Random(os.urandom(16)))
    except (ValueError, network.NetworkError) as error:
        raise Failed(f"Cannot start: {error}.", exit_code=USAGE) from None


@contextmanager
def bridge_of(layout: Layout, fleet: Fleet | None) -> Iterator[None]:
    """In the block, the address on which the control plane is to listen is there. Should the first start of the
    cluster fail in it, the bridge goes again."""
    if fleet is None:
        yield
        return
    try:
        network.make(fleet)
    except network.NetworkError as error:
        raise Failed(f"The network of the hosts cannot be made: {error}.") from None
    try:
        yield
    except BaseException:
        if not layout.hosts.exists():
            network.remove(fleet)
        raise


def arrange(layout: Layout, fleet: Fleet, cluster: str) -> None:
    """Certificates and configurations, then the hosts themselves. The supervisor is not there yet."""
    from shoal import certificates
    from shoal.rpc import Identity

    plan.save(layout.hosts, fleet)
    now = datetime.now(UTC)
    authority = certificates.ensure_authority(layout.authority, cluster, now)
    for host in fleet.hosts:
        identity = Identity(cluster, "agent", host.instance_id)
        certificates.ensure_certificate(authority, layout.certificates, host.name, identity, now)
    _write_configurations(layout, fleet)
    switch_on(layout, fleet)


def _write_configurations(layout: Layout, fleet: Fleet) -> None:
    common = layout.agent_config.read_text() if layout.agent_config.exists() else ""
    cpu = (os.cpu_count() or 1) * 1024
    machine = programs.Machine(cpu, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 1024**2)
    for host in fleet.hosts:
        for name in (programs.agent(host), programs.containerd(host), programs.engine(host)):
            layout.work(name).mkdir(mode=0o700, exist_ok=True)
        try:
            content = programs.agent_toml(host, len(fleet.hosts), machine, common)
        except ValueError as error:
            raise Failed(f"{layout.agent_config}: {error}.") from None
        (layout.work(programs.agent(host)) / "agent.toml").write_text(content)
        config = layout.work(programs.containerd(host)) / "config.toml"
        config.write_text(programs.containerd_toml(host, layout))


def switch_on(layout: Layout, fleet: Fleet | None) -> None:
    """Every host that is off."""
    if fleet is None:
        return
    for host in fleet.hosts:
        try:
            power.restart(fleet, layout, host)
        except (network.NetworkError, TimeoutError) as error:
            raise Failed(f"{host.name} cannot be switched on: {error}.", "shoal down, then shoal up") from None


def places(layout: Layout, chosen: "Settings", fleet: Fleet | None) -> list[Place]:
    """Where engines and agents are to be seen before the cluster is well."""
    if fleet is None:
        return [Place(chosen.docker_host, chosen.instance_id)]
    return [Place(programs.docker_host(layout, host), host.instance_id, f"{host.name}-") for host in fleet.hosts]
