"""An agent's disk, and the journal on it. Stands for shoal_agent.memory.journal.Journal; what its lines mean is
production code (memory/record.py)."""

from collections.abc import Callable
from random import Random

from shoal_agent.memory.journal import JournalFault
from shoal_agent.memory.record import Entry, Memory, line, read

from tests.simulation.coroutines import sleep

SYNC_SECONDS = (0.0005, 0.004)


class Disk:
    """`durable` survives everything but `wipe`; of `unsynced` a crash leaves a part, its last line perhaps torn."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.durable = b""
        self.unsynced = b""
        self.full = False
        self.slow = 0.0
        self.syncs = True

    def crash(self) -> None:
        kept = self.rng.choice((0, len(self.unsynced), self.rng.randint(0, len(self.unsynced))))
        self.durable += self.unsynced[:kept]
        self.unsynced = b""

    def wipe(self) -> None:
        self.durable = self.unsynced = b""


class Journal:
    """`crash` may end the process right before or after a sync."""

    def __init__(self, disk: Disk, crash: Callable[[], None]) -> None:
        self._disk = disk
        self._crash = crash
        self.memory, _ = read(disk.durable)
        self._rewrite()

    def _rewrite(self) -> None:
        memory: Memory = self.memory
        self._disk.durable = b"".join(map(line, memory.entries()))

    async def append(self, *entries: Entry) -> None:
        disk = self._disk
        if disk.full:
            raise JournalFault(28, "No space left on device")
        written = b"".join(map(line, entries))
        disk.unsynced += written
        if disk.syncs:
            self._crash()
            await sleep(disk.rng.uniform(*SYNC_SECONDS) + disk.slow * disk.rng.random())
            # One sync takes along all that was written before it.
            at = disk.unsynced.find(written)
            if at >= 0:
                disk.durable += disk.unsynced[: at + len(written)]
                disk.unsynced = disk.unsynced[at + len(written) :]
            self._crash()
        for entry in entries:
            self.memory.apply(entry)
