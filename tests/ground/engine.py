"""A Docker Engine of the tests' own: its folder, its socket, its bridge; killed and started at will.

    <folder>/docker.sock  data/  exec/  pid  log  bridge

It shares this machine's kernel with whatever engine runs here already and touches nothing of it: images,
containers and containerd's namespaces are apart, and it writes no firewall rule unless told to (published ports
are served by the engine's own proxy).
"""

import os
import shutil
import socket
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from shoal.supervisor.processes import start_time

from tests.ground import daemon
from tests.ground.network import Bridge, make_bridge

# In Swarm mode an engine asks the registry about every task's image, even one that it has: these have all they need.
_ENVIRONMENT = {"DOCKER_SERVICE_PREFER_OFFLINE_IMAGE": "1"}


@dataclass(slots=True)
class Engine:
    folder: Path
    bridge: Bridge
    firewall: bool = False
    _daemon: daemon.Daemon | None = field(default=None, repr=False)

    @property
    def host(self) -> str:
        """As in $DOCKER_HOST."""
        return f"unix://{self.folder}/docker.sock"

    @property
    def pid(self) -> int:
        assert self._daemon is not None, "the engine does not run"
        return self._daemon.pid

    @property
    def log(self) -> Path:
        return self.folder / "log"

    def options(self) -> list[str]:
        """What makes it an engine of its own, for whoever else starts it in our stead."""
        name = self.bridge.name
        return [
            f"--data-root={self.folder}/data",
            f"--exec-root={self.folder}/exec",
            f"--pidfile={self.folder}/pid",
            f"--bridge={name}",
            f"--containerd-namespace={name}",
            f"--containerd-plugins-namespace={name}-plugins",
            *([] if self.firewall else ["--iptables=false", "--ip-masq=false"]),
        ]

    def start(self, live_restore: bool = False) -> None:
        """Returns when it answers."""
        command = ["dockerd", "--host", self.host, *self.options()]
        if live_restore:
            command.append("--live-restore")
        self._forget_the_dead()
        self._daemon = daemon.start(command, self.log, _ENVIRONMENT)
        daemon.await_ready(self._daemon, self.answers, 60.0)

    def answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(5.0)
            connection.connect(f"{self.folder}/docker.sock")
            connection.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
            return b" 200 " in connection.recv(64)

    def kill(self) -> None:
        """kill -9 of dockerd; its containers' processes live on."""
        assert self._daemon is not None, "the engine does not run"
        self._daemon.kill()

    def docker(self, *arguments: str, stdin: int | None = None, stdout: int = subprocess.PIPE) -> str:
        """Runs the `docker` command line against it. What it printed, unless that went elsewhere. Raises with what it
        said when it fails."""
        done = subprocess.run(
            ["docker", *arguments],
            env={**os.environ, "DOCKER_HOST": self.host},
            stdin=subprocess.DEVNULL if stdin is None else stdin,
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
        )
        if done.returncode != 0:
            raise RuntimeError(f"docker {' '.join(arguments)}: {done.stderr.strip()}")
        return (done.stdout or "").strip()

    def end(self) -> None:
        """Kills its containers, stops it, and removes everything it left."""
        if self._daemon is not None:
            if self._daemon.is_alive():
                self._kill_containers()
            self._daemon.stop(30.0)
        clean(self.folder, self.bridge.name)

    def _forget_the_dead(self) -> None:
        """Removes pid files of a killed engine, which it would believe: the pid may be another program's by now.

        Its containerd dies with it, but where no init collects the dead, the engine would wait for that for ever.
        """
        (self.folder / "pid").unlink(missing_ok=True)
        containerd = self.folder / "exec" / "containerd" / "containerd.pid"
        if containerd.exists() and start_time(int(containerd.read_text())) is None:
            containerd.unlink()

    def _kill_containers(self) -> None:
        # A polite stop would take ten seconds for each container that ignores SIGTERM.
        running = self.docker("ps", "--quiet").split()
        if running:
            subprocess.run(
                ["docker", "kill", *running], env={**os.environ, "DOCKER_HOST": self.host}, capture_output=True
            )


def make_engine(folder: Path, firewall: bool = False) -> Engine:
    """Not started yet. Needs root."""
    folder.mkdir(parents=True)
    bridge = make_bridge()
    (folder / "bridge").write_text(bridge.name)
    return Engine(folder, bridge, firewall)


def missing() -> str:
    """Why this machine cannot run an engine of the tests' own; empty if it can."""
    if os.geteuid() != 0:
        return "an engine of the tests' own needs root"
    lacking = [program for program in ("dockerd", "docker", "ip") if shutil.which(program) is None]
    return f"not installed: {', '.join(lacking)}" if lacking else ""


def clean(folder: Path, bridge: str) -> None:
    """Removes what an engine that no longer runs left in the kernel and on disk."""
    _end_shims(folder)
    for mount in _mounts_below(folder):
        subprocess.run(["umount", "--lazy", mount], check=False, capture_output=True)
    _remove_rules(bridge)
    subprocess.run(["ip", "link", "delete", bridge], check=False, capture_output=True)
    shutil.rmtree(folder, ignore_errors=True)


def _end_shims(folder: Path) -> None:
    """containerd and the shims of containers outlive a dockerd that was killed; their command line tells whose."""
    needle = str(folder).encode()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            command = (entry / "cmdline").read_bytes()
            if needle in command and b"containerd" in command:
                _end_tree(int(entry.name))
        except OSError:
            continue


def _end_tree(pid: int) -> None:
    children = Path(f"/proc/{pid}/task/{pid}/children")
    below = [int(child) for child in children.read_text().split()] if children.exists() else []
    for child in below:
        _end_tree(child)
    os.kill(pid, 9)


def _mounts_below(folder: Path) -> Sequence[str]:
    mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return sorted((mount for mount in mounts if mount.startswith(f"{folder}/")), reverse=True)


def _remove_rules(bridge: str) -> None:
    if shutil.which("iptables") is None:
        return
    for table in ("filter", "nat"):
        listed = subprocess.run(["iptables", "-w", "-t", table, "-S"], capture_output=True, text=True, check=False)
        for rule in listed.stdout.splitlines():
            if bridge in rule.split() and rule.startswith("-A "):
                subprocess.run(
                    ["iptables", "-w", "-t", table, "-D", *rule.split()[1:]], check=False, capture_output=True
                )
