"""Slurm on this machine alone: its daemons as processes of the test, files and key in a folder, free ports.

Needs the distribution's packages slurmctld, slurmd, slurm-client and munge, and root.
"""

import asyncio
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.ground import daemon
from tests.ground.network import free_port
from tests.ground.waiting import block_until, wait_until

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "sinfo")
START_SECONDS = 60.0

_CONFIGURATION = """\
ClusterName=shoal
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
ReturnToService=2
MaxArraySize=100001
MaxJobCount=200000
SchedulerParameters=sched_min_interval=0,default_queue_depth=10000,batch_sched_delay=0
NodeName={host} NodeAddr=127.0.0.1 Port={node_port} CPUs={slots} State=UNKNOWN
PartitionName=all Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def missing_programs() -> list[str]:
    return [name for name in PROGRAMS if shutil.which(name) is None]


@dataclass(frozen=True, slots=True)
class Slurm:
    configuration: Path

    def call(self, *command: str) -> str:
        """Of one of its programs."""
        environment = {**os.environ, "SLURM_CONF": str(self.configuration)}
        return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout

    def submit_array(self, size: int) -> None:
        """Of processes that end at once."""
        self.call("sbatch", f"--array=0-{size - 1}", "--output=/dev/null", "--chdir=/", "--wrap=exec true")

    async def until_empty(self, timeout_seconds: float) -> None:
        """Nothing waits or runs."""

        async def is_empty() -> bool:
            return not (await asyncio.to_thread(self.call, "squeue", "--noheader")).strip()

        await wait_until(is_empty, bool, timeout_seconds, "Slurm's queue is empty")


@contextmanager
def slurm(folder: Path, slots: int) -> Iterator[Slurm]:
    """One node of so many slots, whatever the machine has."""
    folder.mkdir(mode=0o755)
    for name in ("state", "spool"):
        (folder / name).mkdir()
    configuration = folder / "slurm.conf"
    text = _CONFIGURATION.format(
        host=socket.gethostname(), folder=folder, controller_port=free_port(), node_port=free_port(), slots=slots
    )
    configuration.write_text(text)
    with ExitStack() as started:
        _start(started, folder, "munged", _munged(folder), folder / "munge.socket")
        environment = {"SLURM_CONF": str(configuration)}
        _start(started, folder, "slurmctld", ["slurmctld", "-D", "-f", str(configuration)], None, environment)
        _start(started, folder, "slurmd", ["slurmd", "-D", "-f", str(configuration)], None, environment)
        made = Slurm(configuration)
        block_until(lambda: "idle" in made.call("sinfo", "--noheader"), START_SECONDS, "Slurm's node is idle")
        yield made


def _munged(folder: Path) -> list[str]:
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o400)
    files = {
        "key-file": key,
        "socket": folder / "munge.socket",
        "pid-file": folder / "munge.pid",
        "log-file": folder / "munge.log",
        "seed-file": folder / "munge.seed",
    }
    return ["munged", "--foreground", "--force", *(f"--{name}={path}" for name, path in files.items())]


def _start(
    started: ExitStack,
    folder: Path,
    name: str,
    command: Sequence[str],
    ready: Path | None,
    environment: dict[str, str] | None = None,
) -> None:
    running = daemon.start(command, folder / f"{name}.out", environment)
    started.callback(running.stop)
    if ready is not None:
        daemon.await_ready(running, ready.exists)
