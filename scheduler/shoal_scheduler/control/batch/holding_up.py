"""Which of the jobs that wait may hold up others, once they were overtaken as often as they may be."""

from collections.abc import Mapping

from shoal_scheduler.control.batch import bounds
from shoal_scheduler.control.batch.rooms import Rooms
from shoal_scheduler.model.job_queue import JobQueue
from shoal_scheduler.state.order import OrderKey
from shoal_scheduler.state.overlay import Overlay
from shoal_scheduler.state.waiting_jobs import JobClass


class HoldsUp:
    """Of one queue. Not a job that could start on no instance even if nothing ran, nor one whose queue may run no
    more. One that lacks a consumable resource, or may not have it because another one waits for it, holds up those
    that take of the same resource and nobody else."""

    def __init__(self, view: Overlay, rooms: Rooms, queue: JobQueue, gone: set[str]) -> None:
        """`gone`: jobs of which nothing waits any more."""
        self._batch, self._rooms, self._queue, self._gone = view.batch, rooms, queue, gone
        self._jobs = view.batch.waiting(queue.name)
        self._reserved: Mapping[str, OrderKey] | None = None

    def nobody_of(self) -> set[int]:
        """Numbers of classes that are known to hold up nobody."""
        return set(self._rooms.up_to_date(self._queue).impossible)

    def is_gone(self, key: OrderKey) -> bool:
        return key.job in self._gone

    def does(self, key: OrderKey, found: JobClass, takes: frozenset[str]) -> bool:
        """Whether this job may hold up a task that takes these resources. If it does not, nor do those behind it that
        want the same."""
        wanted = found.want.consumables
        if bounds.of_queue(self._batch, self._queue) <= 0 or not self._rooms.is_possible(self._queue, found):
            return False
        if not wanted:
            return True
        withheld = self._withheld(key, wanted)
        return not withheld or (bool(withheld & takes) and bounds.will_ever_do(self._batch, wanted))

    def _withheld(self, key: OrderKey, wanted: tuple[tuple[str, int], ...]) -> frozenset[str]:
        """What it cannot have now."""
        reserved = self._reserved_by()
        others = {name for name, _ in wanted if name in reserved and reserved[name] < key}
        return bounds.lacking(self._batch, wanted) | others

    def _reserved_by(self) -> Mapping[str, OrderKey]:
        """By resource, the first job that waits for it and may not be overtaken any more."""
        if self._reserved is None:
            reserved: dict[str, OrderKey] = {}
            but: set[int] = set()
            for key, _, found in self._jobs.overtaken_at_least(self._queue.overtaking_max, but):
                if not self.is_gone(key):
                    but.add(found.number)
                    for name in self._lacking(found) - reserved.keys():
                        reserved[name] = key
            self._reserved = reserved
        return self._reserved

    def _lacking(self, found: JobClass) -> frozenset[str]:
        wanted = found.want.consumables
        if not wanted or not bounds.will_ever_do(self._batch, wanted):
            return frozenset()
        return bounds.lacking(self._batch, wanted)
