"""Switches hosts on and off. The supervisor starts a host's programs once its namespace is there, and not before."""

import contextlib
import logging
import shutil
import subprocess
from pathlib import Path

from shoal import cgroups
from shoal.hosts import network, processes, programs
from shoal.hosts.plan import Fleet, Host
from shoal.supervisor.layout import Layout

STOP_GRACE_SECONDS = 10.0
log = logging.getLogger(__name__)


def restart(fleet: Fleet, layout: Layout, host: Host) -> None:
    """On, if it is off. Whatever a host that was killed half-way left goes first.

    Raises network.NetworkError, TimeoutError.
    """
    if network.is_attached(host):
        return
    kill(layout, host)
    network.make(fleet)
    network.attach(fleet, host)


def kill(layout: Layout, host: Host) -> None:
    """As if its plug were pulled: nothing of it runs any more, its disk stays. Raises TimeoutError."""
    number = processes.namespace_number(host)
    network.detach(host)
    if number is not None:
        processes.kill_all(number)
    _forget_runtime(layout, host)


def stop(layout: Layout, host: Host) -> None:
    """As a shutdown: containers are asked to end, and the engine has time to write down how. Raises TimeoutError."""
    number = processes.namespace_number(host)
    if number is not None:
        # Without its name the namespace lives on as long as somebody is in it, and nobody is started there.
        subprocess.run(["ip", "netns", "delete", host.namespace], capture_output=True, check=False)
        found = processes.members(number)
        processes.ask_to_end((each for each in found if b"shoal_agent" in each.command), STOP_GRACE_SECONDS)
        processes.ask_to_end(processes.containers(found), STOP_GRACE_SECONDS)
        processes.ask_to_end((each for each in found if b"dockerd" in each.command), STOP_GRACE_SECONDS)
        processes.kill_all(number)
    kill(layout, host)


def remove(fleet: Fleet, layout: Layout) -> list[str]:
    """Every host and what holds them together; the names of those that were on. Raises TimeoutError."""
    were_on = [host.name for host in fleet.hosts if processes.namespace_number(host) is not None]
    for host in fleet.hosts:
        kill(layout, host)
    network.remove(fleet)
    return were_on


def _forget_runtime(layout: Layout, host: Host) -> None:
    """What a reboot would have made go: mounts, cgroups, sockets and pid files."""
    folder = layout.work(programs.engine(host))
    for mount in _mounts_below(folder):
        subprocess.run(["umount", "--lazy", mount], capture_output=True, check=False)
    _remove_sockets(folder / programs.RUNTIME)
    shutil.rmtree(folder / programs.RUNTIME, ignore_errors=True)
    cgroups.keep_only(host.instance_id, ())
    for hierarchy in (cgroups.ROOT, *cgroups.ROOT.iterdir()):
        _remove_cgroup(hierarchy / host.namespace)


def _mounts_below(folder: Path) -> list[str]:
    mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return sorted((mount for mount in mounts if mount.startswith(f"{folder}/")), reverse=True)


def _remove_sockets(runtime: Path) -> None:
    """Those of the shims, which containerd keeps elsewhere and notes beside each container."""
    for note in runtime.glob("containerd/io.containerd.runtime.v2.task/*/*/address"):
        with contextlib.suppress(OSError):
            Path(note.read_text().removeprefix("unix://")).unlink()


def _remove_cgroup(folder: Path) -> None:
    """Those below it first; rmdir takes no cgroup that has one or a process in it."""
    if not folder.is_dir():
        return
    for path in sorted((path for path in folder.rglob("*") if path.is_dir()), reverse=True):
        with contextlib.suppress(OSError):
            path.rmdir()
    try:
        folder.rmdir()
    except OSError as error:
        log.warning("cgroup stays path=%s error=%s", folder, error)
