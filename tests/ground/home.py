"""A user's home folder and environment for tests of what people type, with the commands of this project on the PATH."""

import os
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Home:
    folder: Path
    docker_host: str

    @property
    def environment(self) -> dict[str, str]:
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("SHOAL_", "PYTHON"))}
        return {
            **kept,
            "HOME": str(self.folder),
            "PATH": path,
            "DOCKER_HOST": self.docker_host,
            # As if the package were installed, which under ./deploy/test it is.
            "PYTHONPATH": ":".join(str(ROOT / part) for part in ("proto", "scheduler", "agent", "registry")),
        }

    def settle(self, *options: str) -> None:
        """Chooses free ports for the cluster of this home, which later starts keep, and leaves it down."""
        self.types(f"shoal up --listen 127.0.0.1:0 {shlex.join(options)}")
        self.types("shoal down")

    def types(self, line: str, timeout_seconds: float = 120.0) -> str:
        """Runs the line in a shell at the project's root; what it wrote. Raises if it fails."""
        done = subprocess.run(
            ["bash", "-c", line],
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout_seconds,
        )
        assert done.returncode == 0, f"$ {line}\n{done.stdout}\n(exit code {done.returncode})"
        return done.stdout

    def end(self) -> None:
        self.types("shoal down --purge")
