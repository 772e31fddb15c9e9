"""The command line, as a process with an environment of its own."""

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Shell:
    environment: Mapping[str, str]

    def shoal(
        self, *arguments: str, check: bool = True, timeout_seconds: float = 60.0
    ) -> "subprocess.CompletedProcess[str]":
        """Runs `shoal …`. Raises with all it said when `check` and it fails."""
        done = subprocess.run(
            [sys.executable, "-m", "shoal.cli", *arguments],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_seconds,
        )
        if check and done.returncode != 0:
            raise AssertionError(
                f"shoal {' '.join(arguments)} left with {done.returncode}:\n{done.stdout}{done.stderr}"
            )
        return done
