"""Has a watchdog run beside this agent, and knows whether one does."""

import asyncio
import logging
import os
import subprocess
import sys
from pathlib import Path

from shoal_agent import watchdog
from shoal_agent.definition.labels import ON_DISCONNECT, Owner

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
BEGIN_SECONDS = 0.05


class WatchdogKeeper:
    """One that an agent before this one began goes on; it is begun again whenever none runs."""

    def __init__(self, state: Path, docker_host: str, owner: Owner) -> None:
        labels = {**owner.labels, ON_DISCONNECT: "exclusive"}
        options = [word for name, value in labels.items() for word in ("--label", f"{name}={value}")]
        program = [sys.executable, "-m", "shoal_agent.watchdog"]
        where = ["--state", str(state), "--docker-host", docker_host, "--agent", str(os.getpid())]
        self._command = [*program, *where, *options]
        self._state = state
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def runs(self) -> bool:
        return watchdog.runs(self._state)

    async def up(self) -> None:
        """Returns once one runs."""
        while not self.runs:  # noqa: ASYNC110 - another process tells only by its lock
            await asyncio.sleep(BEGIN_SECONDS)

    async def run(self) -> None:
        """For ever."""
        while True:
            if (self._process is None or self._process.poll() is not None) and not self.runs:
                self._begin()
            await asyncio.sleep(LOOK_SECONDS)

    def _begin(self) -> None:
        try:  # in a session of its own: what is done to the agent's group is not done to it
            self._process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, start_new_session=True)
        except OSError as error:
            log.error("no watchdog reason=%s", error)

    def end(self) -> None:
        """There is nothing to guard."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait()
