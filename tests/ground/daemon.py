"""One background program of the tests: started with a log of its own, killed or stopped by its pid."""

import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.ground.waiting import block_until

_STARTER = ThreadPoolExecutor(1, "starter")


@dataclass(slots=True)
class Daemon:
    """A running program; `command[0]` says which."""

    command: Sequence[str]
    log: Path
    process: "subprocess.Popen[bytes]"

    @property
    def pid(self) -> int:
        return self.process.pid

    def is_alive(self) -> bool:
        return self.process.poll() is None

    def kill(self) -> None:
        """kill -9, and collects what is left."""
        self.process.kill()
        self.process.wait(10)

    def stop(self, grace_seconds: float = 15.0) -> None:
        """SIGTERM; SIGKILL for who does not listen."""
        if not self.is_alive():
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(grace_seconds)
        except subprocess.TimeoutExpired:
            self.kill()

    def tail(self, lines: int = 60) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


def start(command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None) -> Daemon:
    """Runs until stopped, or until this process dies, however that happens: then the kernel sends it SIGTERM.

    environment: what it has besides ours.

    No code of ours runs between fork and exec: with gRPC's threads about, such a child may crash before it is the
    program. And the signal comes when the starting *thread* dies, so that is one which lives as long as the process.
    """
    return Daemon(command, log, _STARTER.submit(_popen, command, log, environment or {}).result())


def _popen(command: Sequence[str], log: Path, environment: Mapping[str, str]) -> "subprocess.Popen[bytes]":
    with log.open("ab") as output:
        return subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", *command],
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # a Ctrl-C is for pytest, whose fixtures then end it in order
        )


def child_of(pid: int) -> int | None:
    """The first child of that process: of a guardian, the scheduler itself."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return None
    return int(children[0]) if children else None


def await_ready(daemon: Daemon, look: Callable[[], object], timeout_seconds: float = 30.0) -> None:
    """Returns when `look()` is true. Raises with the program's own last words when it ends first."""
    try:
        block_until(lambda: not daemon.is_alive() or look(), timeout_seconds, f"{daemon.command[0]} ready")
    except AssertionError as error:
        raise RuntimeError(f"{error}\n{daemon.tail()}") from None
    if not daemon.is_alive():
        raise RuntimeError(f"{daemon.command[0]} ended at once:\n{daemon.tail()}")
