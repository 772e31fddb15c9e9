"""When the engine's steps look at rebalances: one that is in progress every second, else once a minute."""

import logging
from collections.abc import Sequence
from math import inf

from shoal_scheduler.control.context import Context
from shoal_scheduler.control.rebalance.look import PERIOD_SECONDS, PROGRESS_SECONDS, look
from shoal_scheduler.model.rebalance import Rebalance
from shoal_scheduler.state.changes import Change
from shoal_scheduler.state.records import PutRecord
from shoal_scheduler.state.tables import Tables

log = logging.getLogger(__name__)


class Rebalancing:
    """Times in seconds of a clock that never goes back. `due_at`: when to look again even if nobody asks."""

    def __init__(self, now: float) -> None:
        # Not before the instances have had the time to connect to a new leader.
        self._starts_at = now + PERIOD_SECONDS
        self.due_at = -inf

    def due(self, tables: Tables, context: Context, now: float) -> Sequence[Change]:
        """The changes that time asks for. A fault there stops nothing else: what runs goes on where it is."""
        if now < self.due_at:
            return ()
        starts = now >= self._starts_at
        if starts:
            self._starts_at = now + PERIOD_SECONDS
        try:
            changes, is_under_way = look(tables, context, starts=starts)
        except Exception:
            log.exception("rebalancing failed")
            self.due_at = now + PERIOD_SECONDS
            return ()
        self.due_at = min(self._starts_at, now + PROGRESS_SECONDS if is_under_way else inf)
        return changes

    def committed(self, changes: Sequence[Change], now: float) -> None:
        """A rebalance that began is looked at at once."""
        if any(isinstance(change, PutRecord) and isinstance(change.record, Rebalance) for change in changes):
            self.due_at = min(self.due_at, now)

    def not_stored(self, retry_at: float) -> None:
        """What was due is so still, but not before."""
        self.due_at = max(self.due_at, retry_at)
