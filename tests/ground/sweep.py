"""Ends whatever a test run that was itself killed left in its folder: `python -m tests.ground.sweep FOLDER`."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from shoal.supervisor import processes

from tests.ground import engine


def sweep(folder: Path) -> None:
    for settings in found(folder, "settings.json"):
        command = [sys.executable, "-m", "shoal.cli", "down", "--purge", "--state", str(settings.parent)]
        environment = {**os.environ, "SHOAL_CONFIG": str(settings.parent.parent / "contexts.json")}
        subprocess.run(command, env=environment, check=False)
    # Images have files of that name, too.
    for bridge in (each for each in found(folder, "bridge") if "data" not in each.relative_to(folder).parts):
        _end(bridge.parent / "pid")
        engine.clean(bridge.parent, bridge.read_text())
    shutil.rmtree(folder, ignore_errors=True)


def found(folder: Path, name: str) -> list[Path]:
    """Every file of that name, in a folder that programs may still be writing to."""
    return [Path(at) / name for at, _, files in os.walk(folder) if name in files]


def _end(pid_file: Path) -> None:
    try:
        process = processes.identify(int(pid_file.read_text()))
        ours = process and str(pid_file).encode() in Path(f"/proc/{process.pid}/cmdline").read_bytes()
    except (OSError, ValueError):
        return
    if process and ours:
        processes.send(process, signal.SIGKILL)
        processes.wait_end(process, 10.0)


if __name__ == "__main__":
    sweep(Path(sys.argv[1]))
