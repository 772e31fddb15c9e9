"""Somebody at a terminal: a program under a pty, what it shows, and what is typed."""

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

PATIENCE_SECONDS = 30.0


class Typist:
    """`with Typist([program, ...], environment) as typist`. It is killed at the end if it still runs."""

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], rows: int = 24, columns: int = 80
    ) -> None:
        self._command = command
        self._environment = environment
        self._size = rows, columns
        self.shown = b""
        self._looked_at = 0

    def __enter__(self) -> Self:
        self._terminal, self._inside = pty.openpty()
        self.resize(*self._size)
        self.process = subprocess.Popen(
            self._command,
            stdin=self._inside,
            stdout=self._inside,
            stderr=self._inside,
            env=dict(self._environment),
            preexec_fn=_lead_a_session,  # so that signals of the terminal reach it
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._terminal)
        os.close(self._inside)

    def type(self, text: str) -> None:
        os.write(self._terminal, text.encode())

    def sees(self, text: str) -> str:
        """Waits until that is shown, after what was seen before; answers all up to it."""
        give_up = time.monotonic() + PATIENCE_SECONDS
        while (at := self.shown.find(text.encode(), self._looked_at)) < 0:
            assert time.monotonic() < give_up, f"{text!r} was not shown: {self.shown!r}"
            self._look(0.1)
        begin, self._looked_at = self._looked_at, at + len(text.encode())
        return self.shown[begin : self._looked_at].decode(errors="replace")

    def left(self) -> int:
        """Waits until it has left; its exit code."""
        give_up = time.monotonic() + PATIENCE_SECONDS
        while self.process.poll() is None:
            assert time.monotonic() < give_up, f"it did not leave: {self.shown!r}"
            self._look(0.05)
        self._look(0)
        return self.process.returncode

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    @property
    def modes(self) -> list[Any]:
        """The terminal's, as of tcgetattr."""
        return termios.tcgetattr(self._inside)

    def _look(self, seconds: float) -> None:
        while select.select([self._terminal], [], [], seconds)[0]:
            self.shown += os.read(self._terminal, 65536)
            seconds = 0


def _lead_a_session() -> None:
    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGINT, signal.default_int_handler)
