"""How long what nothing leads to stays, decided by when somebody last had a reason to count on it.

Moments are seconds since 1970 by the clocks of the registry's processes, never by the store's: they are written into
the files they are about. The clocks of all processes on a store may differ by the margin, and nothing is lost.
"""

import math
from enum import Enum, auto

# Of the grace: clocks may differ by that much, and what goes has waited for that much longer.
MARGIN = 0.25
# Of the grace: a moment that is older is written again when somebody asks. So there are few writes, and who was told
# that something exists can count on it for a good part of the grace.
RENEWED_AFTER = 0.5


class Fate(Enum):
    STAYS = auto()
    # Nothing leads to it, and since when is not known: its grace begins now.
    GRACE_BEGINS = auto()
    GOES = auto()


def moment(now: float) -> bytes:
    return f"{now:.3f}".encode()


def parse_moment(content: bytes | None) -> float | None:
    """None if it says none, as links did that were written before there was a grace."""
    try:
        said = float(content or b"")
    except ValueError:
        return None
    return said if math.isfinite(said) else None


def is_to_be_renewed(since: float | None, now: float, grace_seconds: float) -> bool:
    return since is None or now - since > grace_seconds * RENEWED_AFTER


def fate(is_needed: bool, since: float | None, now: float, grace_seconds: float) -> Fate:
    """Of a link that nobody counted on since then, or of a content that no link led to since then."""
    if is_needed:
        return Fate.STAYS
    if since is None:
        return Fate.GRACE_BEGINS
    return Fate.GOES if now - since > grace_seconds * (1 + MARGIN) else Fate.STAYS
