"""What the compute environments have free, as a step sees it."""

import numpy as np

from shoal_scheduler.control.batch.attempt_launch import asked_in
from shoal_scheduler.model.ask import Ask, Resources
from shoal_scheduler.model.job_queue import ENABLED, ComputeEnvironment, JobQueue
from shoal_scheduler.placement.filters import static
from shoal_scheduler.placement.front import Front
from shoal_scheduler.placement.shortfall import shortfall
from shoal_scheduler.state.overlay import Overlay
from shoal_scheduler.state.waiting_jobs import JobClass, WaitingJobs

_NOTHING = Resources()


class Rooms:
    def __init__(self, view: Overlay) -> None:
        self._view = view
        self._fronts: dict[str, Front] = {}
        self._totals: dict[str, Front] = {}

        # Queues of which it was looked whether the facts have changed: an environment, or what stands for those of its
        # instances, which is a new object whenever one of them changes.
        self._checked: set[str] = set()

        # Clusters where tasks were placed since their fronts were made.
        self._placed: set[str] = set()

    def enabled(self, queue: JobQueue) -> list[ComputeEnvironment]:
        """Of the queue, in its order, those that take new jobs."""
        found = map(self._view.batch.environment, queue.environments)
        return [each for each in found if each is not None and each.state == ENABLED]

    def may_fit(self, environment: ComputeEnvironment, wanted: Resources) -> bool:
        """By cpu and memory alone; now and then yes in error."""
        front = self._fronts.get(environment.name)
        if front is None:
            table = self._view.room_to_read(environment.cluster)
            front = Front(table.free_cpu, table.free_memory, static(_of(environment), table))
            self._fronts[environment.name] = front
        return front.fits(wanted)

    def most(self, environment: ComputeEnvironment, wanted: Resources) -> int:
        """That so many tasks are not too few to try."""
        table = self._view.room_to_read(environment.cluster)
        amounts = ((table.free_cpu, wanted.cpu), (table.free_memory, wanted.memory_mib))
        bounds = [int((np.maximum(free, 0) // amount).sum()) for free, amount in amounts if amount]
        return min(bounds, default=2**31)

    def took(self, environment: ComputeEnvironment) -> None:
        """Tasks were placed there."""
        self._placed.add(environment.cluster)

    def refused(self, environment: ComputeEnvironment) -> None:
        """What may have fitted did not: if that is because of what was placed since, look again."""
        if environment.cluster in self._placed:
            self._placed.discard(environment.cluster)
            self._fronts.clear()

    def is_possible(self, queue: JobQueue, found: JobClass) -> bool:
        """Whether one of these jobs could start on some instance of the queue's, if nothing ran there."""
        jobs = self.up_to_date(queue)
        if found.number not in jobs.possible and found.number not in jobs.impossible:
            could = any(self._could_take(environment, found.want.ask) for environment in self.enabled(queue))
            (jobs.possible if could else jobs.impossible).add(found.number)
        return found.number in jobs.possible

    def up_to_date(self, queue: JobQueue) -> WaitingJobs:
        """What waits in the queue: what was found possible or not is still so."""
        jobs = self._view.batch.waiting(queue.name)
        if queue.name not in self._checked:
            self._checked.add(queue.name)
            facts = [(each, self._view.room_to_read(each.cluster).static) for each in self.enabled(queue)]
            known_by = tuple(fact for pair in facts for fact in pair)
            if not _are_same(jobs.known_by, known_by):
                jobs.known_by = known_by
                jobs.possible.clear()
                jobs.impossible.clear()
        return jobs

    def _could_take(self, environment: ComputeEnvironment, ask: Ask) -> bool:
        table = self._view.room_to_read(environment.cluster)
        totals = self._totals.get(environment.name)
        if totals is None:
            totals = Front(table.total_cpu, table.total_memory, static(_of(environment), table))
            self._totals[environment.name] = totals
        return totals.fits(ask.resources) and bool(np.isfinite(shortfall(asked_in(ask, environment), table)).any())


def _are_same(some: tuple[object, ...], others: tuple[object, ...]) -> bool:
    return len(some) == len(others) and all(one is other for one, other in zip(some, others, strict=True))


def _of(environment: ComputeEnvironment) -> Ask:
    return asked_in(Ask(_NOTHING), environment)
