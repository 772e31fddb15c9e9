"""A look at what waits in one queue: its jobs in their order, those that ask for the same tried once."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import islice

import msgspec

from shoal_scheduler.control import definitions
from shoal_scheduler.control.assignment import held_row
from shoal_scheduler.control.batch import bounds
from shoal_scheduler.control.batch.attempt_launch import asked_in, launch_of
from shoal_scheduler.control.batch.overtaking import Overtaking
from shoal_scheduler.control.batch.rooms import Rooms
from shoal_scheduler.control.context import Context
from shoal_scheduler.control.run_task import tasks_of
from shoal_scheduler.model.job import Job
from shoal_scheduler.model.job_queue import NON_REPLENISHABLE, ComputeEnvironment, JobQueue
from shoal_scheduler.placement.filters import fitting
from shoal_scheduler.placement.place import place
from shoal_scheduler.state import changes as c
from shoal_scheduler.state.batch_changes import PutConsumableResource
from shoal_scheduler.state.keys import TASKS_PER_CHUNK
from shoal_scheduler.state.order import OrderKey
from shoal_scheduler.state.overlay import Overlay
from shoal_scheduler.state.startable import startable
from shoal_scheduler.state.waiting_jobs import JobClass, Looked, WaitingJobs, Want

# Of one queue in one step: classes of jobs that are looked at, and those of them that are asked of every instance.
CLASSES_MAX = 5_000
FITTINGS_MAX = 100

# Started in one step.
TASKS_MAX = 1_000

# Of one launch: the tasks of a chunk are written together, whichever of them changed, and of a job they do not change
# at the same time.
TASKS_PER_LAUNCH = 64

# Beside those of its tasks: the launch, and a few consumable resources.
_KEYS_PER_LAUNCH = 4


class CannotStart(Exception):  # noqa: N818
    """A rule failed with this job: its cause is a fault of this program."""

    def __init__(self, job: str) -> None:
        super().__init__(f"job {job} could not be looked at")
        self.job = job


@dataclass(slots=True)
class Shared:
    """What the looks of one step have in common."""

    view: Overlay
    context: Context
    keys_max: int
    rooms: Rooms

    # By the names of queues.
    overtaking: dict[str, Overtaking]

    # Clusters where ordinary tasks wait that come first, and have not been looked at to the end.
    closed: frozenset[str]

    # Jobs of which nothing waits any more.
    gone: set[str] = field(default_factory=set)
    tasks: int = 0

    @property
    def tasks_left(self) -> int:
        """That the step still takes."""
        keys = self.keys_max - len(self.view.touched) - _KEYS_PER_LAUNCH
        if self.view.is_full(self.keys_max):
            return 0
        return max(0, min(TASKS_MAX - self.tasks, TASKS_PER_LAUNCH, keys * TASKS_PER_CHUNK))


class QueueLook:
    def __init__(self, queue: JobQueue, before: Sequence[JobQueue], shared: Shared) -> None:
        """`before`: other queues whose jobs come before those of this one, or do if they are older."""
        self._queue, self._before, self._shared = queue, before, shared
        self._view, self._rooms, self._batch = shared.view, shared.rooms, shared.view.batch
        self._jobs: WaitingJobs = self._batch.waiting(queue.name)
        self._own = shared.overtaking[queue.name]
        enabled = self._rooms.enabled(queue)
        self._environments = [each for each in enabled if each.cluster not in shared.closed]
        self._is_partial = len(self._environments) < len(enabled)
        self._is_full = self._is_barred = False

        # Who was held up may not have to be: this step does not know exactly.
        self.is_unsure = False

        # Classes of which a member has started and another one waits.
        self._advanced: list[tuple[OrderKey, int, JobClass]] = []

        # Whether a job that waits was passed over.
        self._is_behind = False
        self._fittings = 0

    def run(self) -> Looked:
        looked, last, resume = self._jobs.looked, None, None
        goes_on, known = looked.is_partial and looked.stirs == self._jobs.stirs, looked.resume
        self._is_behind = goes_on and known is not None
        candidates = self._candidates(known if goes_on else None)
        for key, found in islice(candidates, CLASSES_MAX):
            if not self._environments or bounds.of_queue(self._batch, self._queue) <= 0:
                break
            if self._fittings < FITTINGS_MAX:
                try:
                    self._look_at(key, found, known)
                except Exception as error:
                    raise CannotStart(key.job) from error
            if self._is_full or self._fittings >= FITTINGS_MAX:
                self._is_partial, resume = True, last
                break
            last = key
        else:
            if next(candidates, None) is not None:
                self._is_partial, resume = True, last
        return Looked(self._jobs.stirs, self._is_partial, resume, self._is_barred)

    def _candidates(self, resume: OrderKey | None) -> Iterator[tuple[OrderKey, JobClass]]:
        """In order, of each class its first member that was not looked at."""
        heads = self._jobs.classes()
        at = 0 if resume is None else bisect_right(heads, resume, key=lambda head: head[0])
        while at < len(heads) or self._advanced:
            if self._advanced and (at == len(heads) or self._advanced[0] < heads[at]):
                key, _, found = heappop(self._advanced)
            else:
                key, _, found = heads[at]
                at += 1
            yield key, found

    def _look_at(self, key: OrderKey, found: JobClass, known: OrderKey | None) -> None:
        """`known`: those up to this one were looked at before, and get half of the time at most."""
        wanted = found.want.ask.resources
        if not any(self._rooms.may_fit(each, wanted) for each in self._environments):
            self._is_behind = True
        elif known is not None and key <= known and self._fittings >= FITTINGS_MAX // 2:
            self._is_behind = self._is_partial = True
        elif self._start(key, found.want):
            self._shared.gone.add(key.job)
            self._own.forget(key.job)
            following = found.members.after(key)
            if following is not None:
                heappush(self._advanced, (following, found.number, found))
        else:
            self._is_behind = True

    def _start(self, key: OrderKey, want: Want) -> bool:
        """True if nothing of the job waits any more."""
        job = self._batch.job(key.job)
        if job is None:
            return True
        for environment in self._environments:
            while environment in self._environments and self._rooms.may_fit(environment, want.ask.resources):
                limit = self._limit(job, key, want, environment)
                children = startable(self._batch, job.id, limit) if limit > 0 else []
                if not children or not self._launch(job, key, want, environment, *children[0]):
                    break
                if not job.array_size:
                    return True
        return bounds.of_job(self._batch, job) <= 0 or not startable(self._batch, job.id, 1)

    def _limit(self, job: Job, key: OrderKey, want: Want, environment: ComputeEnvironment) -> int:
        """How many tasks of the job may start there, if there is room."""
        batch, wanted = self._batch, want.ask.resources
        most = min(
            bounds.of_job(batch, job),
            bounds.of_queue(batch, self._queue),
            bounds.of_environment(batch, environment, wanted.cpu),
            bounds.of_consumables(batch, want.consumables),
            self._rooms.most(environment, wanted) if job.array_size else 1,
        )
        if most <= 0:
            return 0
        if not self._shared.tasks_left:
            self._is_full = True
            return 0
        if not self._fits(want, environment):
            return 0
        takes = frozenset(name for name, _ in want.consumables)
        return min(most, self._shared.tasks_left, self._allowance(key, environment, takes))

    def _fits(self, want: Want, environment: ComputeEnvironment) -> bool:
        self._fittings += 1
        cluster = environment.cluster
        table = self._view.room_to_read(cluster)
        bad = fitting(asked_in(want.ask, environment), table, held_row(self._view, cluster))
        if (bad == 0).any():
            return True
        self._rooms.refused(environment)
        return False

    def _allowance(self, key: OrderKey, environment: ComputeEnvironment, takes: frozenset[str]) -> int:
        """How many tasks may start there before jobs that wait were overtaken too often."""
        asked = [(self._own, key)] if self._is_behind else []
        least = bounds.UNBOUNDED
        for overtaking, at in [*asked, *self._others(key, environment)]:
            least = min(least, overtaking.allowance(at, takes))
            if least <= 0:
                self._bar(overtaking, at, environment, takes)
                break
        return least

    def _others(self, key: OrderKey, environment: ComputeEnvironment) -> Iterator[tuple[Overtaking, OrderKey | None]]:
        for queue in self._before:
            if environment.name in queue.environments:
                at = key if queue.priority == self._queue.priority else None
                yield self._shared.overtaking[queue.name], at

    def _bar(
        self, by: Overtaking, key: OrderKey | None, environment: ComputeEnvironment, takes: frozenset[str]
    ) -> None:
        """There is a job that may not be overtaken any more: perhaps only as this step sees it."""
        self._is_barred = True
        if by.passed:
            self._is_partial = self.is_unsure = True
            self._environments = []
            return
        if takes and by.allowance(key, frozenset()) > 0:
            return  # those go on that take nothing of what it waits for
        closed = self._environments if by is self._own else [environment]
        self._environments = [each for each in self._environments if each not in closed]

    def _launch(
        self,
        job: Job,
        key: OrderKey,
        want: Want,
        environment: ComputeEnvironment,
        attempt: int,
        children: Sequence[int],
    ) -> bool:
        """True if all of them have found room."""
        view, context, cluster = self._view, self._shared.context, environment.cluster
        ask = asked_in(want.ask, environment)
        placed = place(ask, len(children), view.room(cluster), context.rng, held_row(view, cluster))
        count = len(placed.spots)
        if count:
            launch = launch_of(job, ask, environment, attempt, children[:count], context)
            definition = definitions.find(view, launch.definition)
            tasks = tasks_of(view, launch, definition, placed.spots)
            view.propose([c.PutLaunch(launch), *map(c.PutTask, tasks)], placed=True)
            self._count(key, environment, count)
            self._use_up(want, count)
        return count == len(children)

    def _count(self, key: OrderKey, environment: ComputeEnvironment, count: int) -> None:
        self._shared.tasks += count
        self._rooms.took(environment)
        self._own.passed += count if self._is_behind else 0
        for overtaking, _ in self._others(key, environment):
            overtaking.passed += count

    def _use_up(self, want: Want, count: int) -> None:
        for name, amount in want.consumables:
            resource = self._batch.consumable(name)
            if resource is not None and resource.type == NON_REPLENISHABLE:
                used = msgspec.structs.replace(resource, used=resource.used + amount * count)
                self._view.propose([PutConsumableResource(used)])
