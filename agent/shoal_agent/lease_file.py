"""The lease of this host as it lies on disk: when a leader last heard the agent, and how long that lasts.

It is not synced: what ends the kernel ends every container. Small, because the watchdog needs it, too.
"""

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

FILE = "lease"
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def boot_time() -> float:
    """Seconds on the host's own clock, which runs on while the host sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def boot_id() -> str:
    """Of this start of the host: times of another one mean nothing."""
    return BOOT_ID.read_text().strip()


@dataclass(frozen=True, slots=True)
class Renewal:
    """`renewed_at` is when the agent sent what a leader heard."""

    boot: str
    renewed_at: float
    seconds: float

    @property
    def expires_at(self) -> float:
        return self.renewed_at + self.seconds


def write(path: Path, renewal: Renewal) -> None:
    """Whole or not at all. Raises OSError."""
    beside = path.with_suffix(".new")
    beside.write_text(json.dumps(asdict(renewal)))
    beside.rename(path)


def read(path: Path) -> Renewal | None:
    """None if there is none, or none of this start of the host."""
    try:
        found = Renewal(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return None
    numbers = isinstance(found.renewed_at, int | float) and isinstance(found.seconds, int | float)
    return found if numbers and found.boot == boot_id() else None
