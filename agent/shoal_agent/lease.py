"""How long this host may go on with tasks that must not run twice, without a word from a scheduler.

The leader acknowledges each heartbeat that it hears. That renews the lease: not from when the answer came but from
when the heartbeat was sent, for the leader begins to count no earlier.
"""

import logging
from asyncio import Event
from collections.abc import Callable
from pathlib import Path

from shoal_agent.lease_file import Renewal, boot_id, boot_time, read, write
from shoal_agent.pause import either

log = logging.getLogger(__name__)

# Timers stand still while the host sleeps: the clock is looked at this often.
LOOK_SECONDS = 1.0


class Lease:
    """`path` is where it is kept; without one, in memory only. Over until it is renewed, but for what an agent before
    this one has left."""

    def __init__(self, path: Path | None = None, clock: Callable[[], float] = boot_time) -> None:
        self._path = path
        self.clock = clock
        self._boot = boot_id()
        self._renewal = read(path) if path is not None else None
        self._renewed = Event()

    @property
    def now(self) -> float:
        return self.clock()

    @property
    def seconds_left(self) -> float:
        return self._renewal.expires_at - self.clock() if self._renewal is not None else 0.0

    def renew(self, sent_at: float, seconds: float) -> None:
        """What was sent at `sent_at` has been heard by a leader; `seconds` is the session deadline."""
        if self._renewal is not None and sent_at <= self._renewal.renewed_at:
            return
        self._renewal = Renewal(self._boot, sent_at, seconds)
        self._renewed.set()
        if self._path is not None:
            try:
                write(self._path, self._renewal)
            except OSError as error:  # to others it will seem to be over earlier than it is
                log.warning("lease not on disk error=%s", error)

    async def run(self, tell: Callable[[bool], None]) -> None:
        """Tells whether it is over, again and again, for ever."""
        while True:
            self._renewed.clear()
            left = self.seconds_left
            tell(left <= 0)
            await either(self._renewed, min(left, LOOK_SECONDS) if left > 0 else None)
