"""How long this host may go on with tasks that must not run twice, without a word from a scheduler.

The leader acknowledges each heartbeat that it hears. That renews the lease: not from when the answer came but from
when the heartbeat was sent, for the leader begins to count no earlier. The clock is the host's own, and runs on while
the host sleeps. What is on disk is for an agent that begins anew and for the watchdog; it is not synced, because what
ends the kernel ends every container.
"""

import json
import logging
import time
from asyncio import Event
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from shoal_agent.pause import either

log = logging.getLogger(__name__)

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

# Timers stand still while the host sleeps: the clock is looked at this often.
LOOK_SECONDS = 1.0


def boot_time() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(frozen=True, slots=True)
class Renewal:
    """`boot` is the id of the host's start: the times of another one mean nothing."""

    boot: str
    renewed_at: float
    seconds: float

    @property
    def expires_at(self) -> float:
        return self.renewed_at + self.seconds


class Lease:
    """`path` is where it is kept; without one, in memory only. Over until it is renewed, but for what an agent before
    this one has left."""

    def __init__(self, path: Path | None = None, clock: Callable[[], float] = boot_time) -> None:
        self._path = path
        self._clock = clock
        self._boot = BOOT_ID.read_text().strip()
        self._renewal = read(path, self._boot) if path is not None else None
        self._renewed = Event()

    @property
    def now(self) -> float:
        return self._clock()

    @property
    def seconds_left(self) -> float:
        return self._renewal.expires_at - self._clock() if self._renewal is not None else 0.0

    def renew(self, sent_at: float, seconds: float) -> None:
        """What was sent at `sent_at` has been heard by a leader; `seconds` is the session deadline."""
        if self._renewal is not None and sent_at <= self._renewal.renewed_at:
            return
        self._renewal = Renewal(self._boot, sent_at, seconds)
        self._renewed.set()
        if self._path is not None:
            self._write(self._path)

    def _write(self, path: Path) -> None:
        beside = path.with_suffix(".new")
        try:
            beside.write_text(json.dumps(asdict(self._renewal)) if self._renewal else "")
            beside.rename(path)
        except OSError as error:  # it will seem to be over earlier than it is
            log.warning("lease not on disk error=%s", error)

    async def run(self, tell: Callable[[bool], None]) -> None:
        """Tells whether it is over, again and again, for ever."""
        while True:
            self._renewed.clear()
            left = self.seconds_left
            tell(left <= 0)
            await either(self._renewed, min(left, LOOK_SECONDS) if left > 0 else None)


def read(path: Path, boot: str) -> Renewal | None:
    """None if there is none, or none of this start of the host."""
    try:
        found = Renewal(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return None
    numbers = isinstance(found.renewed_at, int | float) and isinstance(found.seconds, int | float)
    return found if numbers and found.boot == boot else None
