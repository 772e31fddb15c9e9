"""The jobs of a queue that could start, if there were room: in their order, grouped by what they ask for."""

from bisect import bisect_left, insort
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from shoal_scheduler.model.ask import Ask
from shoal_scheduler.model.job_queue import JobQueue
from shoal_scheduler.state.order import Order, OrderKey


class Want(NamedTuple):
    """Jobs that want the same are tried once: what has no room for one has none for the others."""

    ask: Ask

    # Consumable resources: name and how many each task takes.
    consumables: tuple[tuple[str, int], ...] = ()


class JobClass:
    """The jobs that want the same, in their order."""

    __slots__ = ("members", "number", "want")

    def __init__(self, want: Want, number: int) -> None:
        self.want = want

        # So that two can always be compared.
        self.number = number
        self.members = Order()


class Standing(NamedTuple):
    """A job near the front of the queue, and since when it stands at that place."""

    job: str
    since: int


class Looked(NamedTuple):
    """What came of the last look at a queue."""

    # Of the changes before it.
    stirs: int = 0

    # There is more to look at: all of it, or what stands behind this.
    is_partial: bool = False
    resume: OrderKey | None = None

    # Something could have started, but for a job that must not be overtaken any more.
    is_barred: bool = False
    front: tuple[Standing, ...] = ()


class WaitingJobs:
    """An array is one entry for as long as one of its children waits. How often an entry was overtaken is volatile: it
    begins anew when a scheduler loads everything."""

    def __init__(self) -> None:
        self._order = Order()
        self._keys: dict[str, OrderKey] = {}
        self._class_of: dict[str, JobClass] = {}
        self._classes: dict[Want, JobClass] = {}
        self._by_number: dict[int, JobClass] = {}
        self._numbers = 0

        # Classes by their first member, ascending.
        self._heads: list[tuple[OrderKey, int, JobClass]] = []

        # Of those, how many have expressions: a task that comes somewhere may be what they wait for.
        self.with_expressions = 0

        # Remembered from one step to the next: numbers of classes for which there is an instance that could ever take
        # one of their jobs, or none, and the facts that say so.
        self.possible: set[int] = set()
        self.impossible: set[int] = set()
        self.known_by: tuple[object, ...] = ()

        # Volatile. Jobs of which tasks have started since the queue was last looked at.
        self._started: set[str] = set()

        # Volatile. How many changes there were that may let something start; and what is known of the last look.
        self.stirs = 0
        self.looked = Looked()

    def __len__(self) -> int:
        return len(self._keys)

    def __contains__(self, job_id: object) -> bool:
        return job_id in self._keys

    def __iter__(self) -> Iterator[OrderKey]:
        return iter(self._order)

    @property
    def front(self) -> tuple[Standing, ...]:
        """The first jobs when the queue was last looked at, and since when they stand at their places."""
        return self.looked.front

    @property
    def is_settled(self) -> bool:
        """Whether nothing has changed since the queue was looked at to its end."""
        return self.looked.stirs == self.stirs and not self.looked.is_partial

    def stir(self) -> None:
        """Something changed: the next step is to look at the queue."""
        self.stirs += 1

    def look(self, looked: "Looked") -> None:
        self.looked = looked
        self._started.clear()

    # -- what waits ------------------------------------------------------------------------------------------

    def put(self, job_id: str, key: OrderKey, ask: Ask, consumables: tuple[tuple[str, int], ...] = ()) -> None:
        """A job that waits already with the same key and wants stays as it is."""
        want = Want(ask, consumables)
        if job_id in self._keys:
            if self._keys[job_id] == key and self._class_of[job_id].want == want:
                return
            self.remove(job_id)
        found = self._classes.get(want)
        if found is None:
            self._numbers += 1
            found = self._classes[want] = self._by_number[self._numbers] = JobClass(want, self._numbers)
            self.with_expressions += bool(ask.expressions)
        else:
            self._drop_head(found)
        found.members.add(key)
        insort(self._heads, (found.members.first, found.number, found))
        self._order.add(key, found.number)
        self._keys[job_id], self._class_of[job_id] = key, found
        self.stir()

    def remove(self, job_id: str) -> None:
        """Also of one that does not wait."""
        key = self._keys.pop(job_id, None)
        if key is None:
            return
        self._order.remove(key)
        found = self._class_of.pop(job_id)
        self._drop_head(found)
        found.members.remove(key)
        if found.members:
            insort(self._heads, (found.members.first, found.number, found))
        else:
            del self._classes[found.want], self._by_number[found.number]
            self.possible.discard(found.number)
            self.impossible.discard(found.number)
            self.with_expressions -= bool(found.want.ask.expressions)
        if job_id in self._started:  # whoever started it has seen to those behind it as well
            self._started.discard(job_id)
        else:
            self.stir()

    def _drop_head(self, found: JobClass) -> None:
        del self._heads[bisect_left(self._heads, (found.members.first, found.number, found))]

    # -- order -----------------------------------------------------------------------------------------------

    def classes(self) -> Sequence[tuple[OrderKey, int, JobClass]]:
        """With their first members and numbers, ascending."""
        return self._heads

    def key(self, job_id: str) -> OrderKey:
        return self._keys[job_id]

    def class_of(self, job_id: str) -> JobClass:
        return self._class_of[job_id]

    def position(self, job_id: str) -> int:
        """From 1."""
        return self._order.position(self._keys[job_id]) + 1

    # -- overtaking ------------------------------------------------------------------------------------------

    def overtook(self, key: OrderKey, count: int) -> None:
        """So many tasks of the job with this key started: every job before it was overtaken so many times more."""
        self._order.overtook(key, count)
        if key.job in self._keys:
            self._started.add(key.job)

    def overtook_all(self, count: int) -> None:
        """So many tasks started of jobs that stand behind all of these, in another queue."""
        self._order.overtook_all(count)

    def forget_counts(self) -> None:
        """As if nothing had been overtaken: who loads everything does not know what started while jobs waited."""
        self._order.forget_counts()
        self._started.clear()

    def overtaken(self, job_id: str) -> int:
        """How many tasks of later jobs have started since it waits."""
        return self._order.overtaken(self._keys[job_id])

    def most_overtaken_before(self, key: OrderKey | None) -> int:
        """How often at most any of the jobs before this one was, or any of all."""
        return self._order.most_overtaken_before(key)

    def overtaken_at_least(
        self, count: int, but: AbstractSet[int] = frozenset()
    ) -> Iterator[tuple[OrderKey, int, JobClass]]:
        """The jobs that were overtaken so often or more, in order, with how often. Not those of the classes whose
        numbers are in `but`, which may grow meanwhile."""
        for key, overtaken, number in self._order.overtaken_at_least(count, but):
            yield key, overtaken, self._by_number[number]


def started(
    waiting: Mapping[str, WaitingJobs],
    queues: Mapping[str, JobQueue],
    queue: JobQueue,
    environment: str,
    key: OrderKey,
    count: int,
) -> None:
    """So many tasks of a job of this queue started in this environment: they have overtaken the jobs before it, those
    of queues of a higher priority that share the environment, and the older ones where the priority is the same."""
    for name, jobs in waiting.items():
        other = queues.get(name)
        if name == queue.name:
            jobs.overtook(key, count)
        elif other is None or environment not in other.environments or other.priority < queue.priority:
            continue
        elif other.priority == queue.priority:
            jobs.overtook(key, count)
        else:
            jobs.overtook_all(count)
