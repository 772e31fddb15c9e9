"""How many tasks may still start ahead of the jobs that wait in a queue, before one of them may wait no longer.

Counts are those of the tables, which know nothing of what this step has started. That is added on the safe side: as
if all of it had overtaken whoever stands closest to the bound. What is refused only for that is looked at again in
the next step, which knows better.
"""

from collections.abc import Iterator
from typing import NamedTuple

from shoal_scheduler.control.batch.holding_up import HoldsUp
from shoal_scheduler.state.order import OrderKey
from shoal_scheduler.state.waiting_jobs import WaitingJobs

# Tasks that one search through the jobs that are close to the bound is good for.
_SEARCH_TASKS = 32


class Barrier(NamedTuple):
    """A job behind which nothing starts before it has, and how often it was overtaken."""

    key: OrderKey
    overtaken: int


class Overtaking:
    """Of one queue, in one step."""

    def __init__(self, jobs: WaitingJobs, bound: int, holds_up: HoldsUp) -> None:
        self._jobs, self._bound, self._holds_up = jobs, bound, holds_up

        # Tasks that have started in this step and may have overtaken jobs of the queue.
        self.passed = 0

        # No job was overtaken more often; None before it was looked for.
        self._most: int | None = None

        # By the consumables that are taken: the jobs close to the bound, each overtaken more often than those before
        # it; and how much could be passed when they were looked for.
        self._close: dict[frozenset[str], tuple[list[Barrier], int]] = {}

    def allowance(self, key: OrderKey | None, takes: frozenset[str]) -> int:
        """How many tasks of a job with this key, or of one behind all of the queue, may start now."""
        left = self._bound - self.passed
        if self._most is None:
            self._most = self._jobs.most_overtaken_before(None)
        quick = left - self._most
        if quick <= 0:
            quick = left - self._jobs.most_overtaken_before(key)
        if quick > 0:
            return quick
        if takes not in self._close:
            self._close[takes] = list(self._search(left, takes)), left
        close, left_then = self._close[takes]
        before = [each.overtaken for each in close if key is None or each.key < key]
        most = before[-1] if before else left_then - _SEARCH_TASKS
        return left - most

    def forget(self, job: str) -> None:
        """It waits no longer."""
        stale = [takes for takes, (close, _) in self._close.items() if any(each.key.job == job for each in close)]
        for takes in stale:
            del self._close[takes]

    def _search(self, left: int, takes: frozenset[str]) -> list[Barrier]:
        found: list[Barrier] = []
        for each in holding_up(self._jobs, left - _SEARCH_TASKS + 1, self._holds_up, takes):
            if not found or each.overtaken > found[-1].overtaken:
                found.append(each)
            if each.overtaken >= left:
                break  # nothing behind it may start
        return found


def holding_up(
    jobs: WaitingJobs, count: int, holds_up: HoldsUp, takes: frozenset[str] = frozenset()
) -> Iterator[Barrier]:
    """Of the jobs that were overtaken so often or more, those that may hold up such a task, in order."""
    but = holds_up.nobody_of()
    for key, overtaken, found in jobs.overtaken_at_least(count, but):
        if holds_up.is_gone(key):
            continue
        if holds_up.does(key, found, takes):
            yield Barrier(key, overtaken)
        else:
            but.add(found.number)  # nor do those behind it that want the same
