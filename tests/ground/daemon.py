"""One background program of the tests: started with a log of its own, killed or stopped by its pid."""

import ctypes
import os
import signal
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.ground.waiting import block_until

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


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

    def tail(self, lines: int = 15) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


def start(command: Sequence[str], log: Path) -> Daemon:
    """Runs until stopped, or until this process dies, however that happens."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # a Ctrl-C is for pytest, whose fixtures then end it in order
            preexec_fn=_end_with(os.getpid()),
        )
    return Daemon(command, log, process)


def await_ready(daemon: Daemon, look: Callable[[], object], timeout_seconds: float = 30.0) -> None:
    """Returns when `look()` is true. Raises with the program's own last words when it ends first."""
    try:
        block_until(lambda: not daemon.is_alive() or look(), timeout_seconds, f"{daemon.command[0]} ready")
    except AssertionError as error:
        raise RuntimeError(f"{error}\n{daemon.tail()}") from None
    if not daemon.is_alive():
        raise RuntimeError(f"{daemon.command[0]} ended at once:\n{daemon.tail()}")


def _end_with(parent: int) -> Callable[[], None]:
    """For the child between fork and exec: SIGTERM when its parent dies."""

    def ask_kernel() -> None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(1)

    return ask_kernel
