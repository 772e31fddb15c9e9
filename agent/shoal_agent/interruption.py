"""That this host goes, and when: by a notice that it got, or by a scheduler's word. Its tasks end before.

    notice found  ->  tasks end, and a scheduler is told: in this session, or with the hello of the next
    a scheduler's word (welcome, message)  ->  the same, and the notice needs no telling any more
    the word that it does not go (any more)  ->  tasks may run here again; what was told to end ends

The first reason stands, and the earliest moment.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from shoal import interruption

from shoal_agent.task import Interruption

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Notice:
    """Where it was found and what it says, and in how many seconds the host goes."""

    reason: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Word:
    """A scheduler's: why tasks end, and in how many seconds the host goes."""

    stop_code: str
    reason: str
    seconds: float


class HostInterruption:
    """`tell` is told of the interruption there is now, or of None. `on_notice` is called when there is one to tell."""

    def __init__(self, name: str, tell: Callable[[Interruption | None], None], clock: Callable[[], float]) -> None:
        """`name`: of the instance, as people know it. `clock`: the host's own, in seconds."""
        self._name = name
        self._tell = tell
        self._clock = clock
        self._current: Interruption | None = None

        # Its reason and its moment, until a scheduler has acknowledged it.
        self._untold: tuple[str, float] | None = None
        self.on_notice: Callable[[], None] = lambda: None

    @property
    def untold(self) -> Notice | None:
        """As it is to be told now."""
        if self._untold is None:
            return None
        reason, ends_at = self._untold
        return Notice(reason, max(0.0, ends_at - self._clock()))

    def found(self, notice: Notice) -> None:
        ends_at = self._clock() + notice.seconds
        self._untold = notice.reason, ends_at
        words = interruption.words(self._name, interruption.NOTICE, time.time() + notice.seconds, notice.reason)
        self._set(interruption.STOP_CODES[interruption.NOTICE], words, ends_at)
        self.on_notice()

    def told(self, word: Word | None, *, acknowledged: bool) -> None:
        """By a scheduler. `acknowledged`: it had heard of the notice in this session."""
        if word is not None:
            if acknowledged:
                self._untold = None
            self._set(word.stop_code, word.reason, self._clock() + word.seconds)
        elif self._untold is None and self._current is not None:  # else it has not heard of the notice yet
            log.warning("this host is not interrupted any more")
            self._current = None
            self._tell(None)

    def _set(self, stop_code: str, reason: str, ends_at: float) -> None:
        known = self._current
        if known is None:
            log.warning("this host goes: its tasks end seconds=%.0f reason=%s", ends_at - self._clock(), reason)
            known = Interruption(stop_code, reason, ends_at)
        self._current = Interruption(known.stop_code, known.reason, min(known.ends_at, ends_at))
        self._tell(self._current)
