"""Which scheduler is tried next, and when: the leader is found again fast, and not by all agents in the same moment."""

from collections.abc import Sequence
from dataclasses import dataclass

import grpc
from shoal.rpc import LEADER_KEY, RETRY_AFTER_KEY, trailer

from shoal_agent.pause import RETRY_SECONDS_MIN, retry_seconds

# Where schedulers name one another for a while, each of them out of date, agents slow down as if nobody were there.
HINTS_FOLLOWED_MAX = 3


@dataclass(frozen=True, slots=True)
class Told:
    """What a scheduler said when it sent an agent away: who leads, and when to come again."""

    leader: str = ""
    retry_after_seconds: float | None = None


def told_by(error: grpc.aio.AioRpcError) -> Told:
    after = trailer(error, RETRY_AFTER_KEY)
    return Told(trailer(error, LEADER_KEY), int(after) / 1000 if after.isdecimal() else None)


class Schedulers:
    def __init__(self, endpoints: Sequence[str]) -> None:
        self._endpoints = tuple(endpoints)
        self._at = 0
        self._named = ""
        self._hints = 0

    @property
    def endpoint(self) -> str:
        """The one to try now: one of the list, or the leader by another's word."""
        return self._named or self._endpoints[self._at]

    def settled(self) -> None:
        """A session with this one was a good one."""
        self._hints = 0

    def ended(self, told: Told, outage_seconds: float, chance: float) -> float:
        """The session, or the try, is over: in how many seconds the next one begins. `chance` is between 0 and 1."""
        if told.retry_after_seconds is not None:
            return told.retry_after_seconds + chance * RETRY_SECONDS_MIN
        before = self.endpoint
        self._named = told.leader if told.leader != before else ""
        if self._named and self._hints < HINTS_FOLLOWED_MAX:
            self._hints += 1
            return chance * RETRY_SECONDS_MIN
        if not self._named:
            self._at = (self._at + 1) % len(self._endpoints)
            if self.endpoint == before:
                self._at = (self._at + 1) % len(self._endpoints)
        return retry_seconds(outage_seconds, chance)
