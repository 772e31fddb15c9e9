"""A whole cluster, brought up by the real command line with a state folder and a context file of its own."""

import json
import os
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shoal.client import Client
from shoal.context import Context, load
from shoal.supervisor import lock, processes
from shoal.supervisor.layout import Layout

from tests.ground.daemon import child_of
from tests.ground.engine import Engine
from tests.ground.shell import Shell

UP_TIMEOUT_SECONDS = 90


def _is_guarded(program: str) -> bool:
    return program.startswith("scheduler")


@dataclass(slots=True)
class Cluster:
    """folder: state/, contexts.json. engine: where its containers run; None if `shoal up` runs the engine.

    hosts: how many of its own it runs, in network namespaces; 0 is this machine alone. schedulers: how many.
    """

    folder: Path
    docker_host: str
    engine: Engine | None = None
    dockerd_options: Sequence[str] = ()
    name: str = "default"
    hosts: int = 0
    schedulers: int = 1
    described: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def layout(self) -> Layout:
        return Layout(self.folder / "state")

    @property
    def environment(self) -> dict[str, str]:
        """For whoever calls `shoal` or another client of this cluster."""
        return {
            **os.environ,
            "SHOAL_HOME": str(self.layout.root),
            "SHOAL_CONFIG": str(self.folder / "contexts.json"),
        }

    def shoal(
        self, *arguments: str, check: bool = True, timeout_seconds: float = 60.0
    ) -> "subprocess.CompletedProcess[str]":
        """Runs `shoal …`. Raises with all it said when `check` and it fails."""
        return Shell(self.environment).shoal(*arguments, check=check, timeout_seconds=timeout_seconds)

    def up(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        options = [f"--dockerd-option={option}" for option in self.dockerd_options]
        here = ["--listen", "127.0.0.1:0", "--docker-host", self.docker_host]
        command = ["up", *(["--hosts", str(self.hosts)] if self.hosts else here), "--name", self.name]
        command += ["--schedulers", str(self.schedulers)]
        done = self.shoal(*command, *options, "-o", "json", timeout_seconds=UP_TIMEOUT_SECONDS)
        self.described = json.loads(done.stdout)

    def end(self) -> None:
        """`shoal down --purge`, and nothing is left."""
        if self.layout.settings.exists():
            self.shoal("down", "--purge")

    @property
    def context(self) -> Context:
        return load(self.folder / "contexts.json").choose(self.name)

    def client(self) -> Client:
        """Use as `async with cluster.client() as client`."""
        return Client(self.context)

    def pid(self, program: str) -> int:
        """Of etcd, scheduler, agent, supervisor or dockerd, as it runs now; not of a scheduler's guardian."""
        if program == "supervisor":
            found = lock.holder(self.layout.supervisor_lock)
            assert found is not None, "no supervisor runs"
            return found
        if program == "dockerd" and self.engine is not None:
            return self.engine.pid
        pid = processes.load(self.layout.processes)[program].pid
        return child_of(pid) or pid if _is_guarded(program) else pid

    def kill(self, program: str) -> int:
        """kill -9; returns the pid that was. An engine of the tests' own is theirs to start again."""
        pid = self.pid(program)
        if program == "dockerd" and self.engine is not None:
            self.engine.kill()
        else:
            os.kill(pid, signal.SIGKILL)
        return pid

    def has_restarted(self, program: str, old_pid: int) -> bool:
        running = processes.load(self.layout.processes).get(program)
        if running is None or not running.is_alive:
            return False
        return (child_of(running.pid) if _is_guarded(program) else running.pid) not in (None, old_pid)

    def log(self, program: str) -> str:
        return self.layout.log(program).read_text(errors="replace")
