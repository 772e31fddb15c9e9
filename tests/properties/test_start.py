"""Which jobs start, against the same rules written out as plainly as can be: one task at a time, nothing remembered."""

import asyncio
from dataclasses import dataclass, field
from random import Random

import pytest
from shoal_scheduler.control.batch import overtaking, queue_look
from shoal_scheduler.control.batch.job_inputs import CancelJob
from shoal_scheduler.model.job import Job
from shoal_scheduler.model.job_queue import ComputeEnvironment, ConsumableResource, JobQueue

from tests.unit.scheduler.batch.yard import Yard, environment, taking
from tests.unit.scheduler.plane import instance

VCPU = 1024
HOSTS = {"a": 4, "b": 8}
SIZES = {"one": 1, "two": 2, "four": 4, "eight": 8, "huge": 16}
LICENCES = 3


@dataclass
class Entry:
    """A job of the plain version."""

    job: Job
    number: int
    cpu: int
    licences: int
    waiting: int
    running: list[str] = field(default_factory=list)
    is_cancelled: bool = False
    overtaken: int = 0

    @property
    def waits(self) -> bool:
        """In the queue: it is not if only its own bound keeps it from starting another one."""
        has_left = self.waiting > 0 and not self.is_cancelled
        return has_left and not (self.job.max_concurrent and len(self.running) >= self.job.max_concurrent)

    @property
    def key(self) -> tuple[int, int]:
        return -self.job.priority, self.number


class Plain:
    def __init__(self, queues: list[JobQueue], environments: list[ComputeEnvironment]) -> None:
        self.queues = {queue.name: queue for queue in sorted(queues, key=lambda queue: (-queue.priority, queue.name))}
        self.environments = {each.name: each for each in environments}
        self.entries: list[Entry] = []

    def settle(self) -> None:
        for queue in self.queues.values():
            for entry in self.waiting(queue):
                while self._start_one(queue, entry):
                    pass

    def waiting(self, queue: JobQueue) -> list[Entry]:
        return sorted((e for e in self.entries if e.job.queue == queue.name and e.waits), key=lambda e: e.key)

    def _start_one(self, queue: JobQueue, entry: Entry) -> bool:
        if not entry.waits or self._is_at_its_bound(queue) or entry.licences > self._licences():
            return False
        for name in queue.environments:
            place = self.environments[name]
            if self._fits(place, entry) and not any(self._holds_up(e, entry) for e in self._before(queue, name, entry)):
                for other in self._before(queue, name, entry):
                    other.overtaken += 1
                entry.waiting -= 1
                entry.running.append(name)
                entry.overtaken = entry.overtaken if entry.waits else 0
                return True
        return False

    def _fits(self, place: ComputeEnvironment, entry: Entry) -> bool:
        host = place.expression[-1]
        used = sum(e.cpu for e in self.entries for name in e.running if self.environments[name].expression[-1] == host)
        held = sum(e.cpu for e in self.entries for name in e.running if name == place.name)
        is_open = place.state == "ENABLED" and (not place.max_vcpus or held < place.max_vcpus)
        return is_open and used + entry.cpu <= HOSTS[host]

    def _before(self, queue: JobQueue, place: str, entry: Entry) -> list[Entry]:
        """Who waits and comes before it, in its queue or in another one that shares the environment."""
        found = []
        for other in self.queues.values():
            shares = other.name == queue.name or (place in other.environments and other.priority >= queue.priority)
            is_above = other.name != queue.name and other.priority > queue.priority
            found += [e for e in self.waiting(other) if shares and e is not entry and (is_above or e.key < entry.key)]
        return found

    def _holds_up(self, other: Entry, entry: Entry) -> bool:
        queue = self.queues[other.job.queue]
        if other.overtaken < queue.overtaking_max or self._is_at_its_bound(queue) or not self._is_possible(other):
            return False
        return not self._is_withheld(other) or (other.licences > 0 and entry.licences > 0)

    def _is_withheld(self, other: Entry) -> bool:
        """It lacks licences, or may not have them because somebody before it waits for them."""
        queue = self.queues[other.job.queue]
        if not other.licences or other.licences > self._licences():
            return other.licences > 0
        before = [e for e in self.waiting(queue) if e.key < other.key and e.overtaken >= queue.overtaking_max]
        return any(e.licences > self._licences() for e in before)

    def _is_possible(self, entry: Entry) -> bool:
        places = [self.environments[name] for name in self.queues[entry.job.queue].environments]
        return any(place.state == "ENABLED" and entry.cpu <= HOSTS[place.expression[-1]] for place in places)

    def _is_at_its_bound(self, queue: JobQueue) -> bool:
        running = sum(len(e.running) for e in self.entries if e.job.queue == queue.name)
        return bool(queue.max_concurrent) and running >= queue.max_concurrent

    def _licences(self) -> int:
        return LICENCES - sum(e.licences * len(e.running) for e in self.entries)


def some_world(rng: Random, queues_max: int) -> Plain:
    environments = [
        environment("on-a", expression="attribute:host == a"),
        environment("on-b", expression="attribute:host == b", max_vcpus=rng.choice((0, 0, 5))),
        environment("also-b", expression="attribute:host == b", state=rng.choice(("ENABLED", "ENABLED", "DISABLED"))),
    ]
    queues = [
        JobQueue(
            name=name,
            created_at=0,
            priority=rng.choice((1, 1, 2)),
            environments=tuple(rng.sample([each.name for each in environments], rng.randint(1, 3))),
            max_concurrent=rng.choice((0, 0, 0, 3)),
            overtaking_max=rng.choice((0, 1, 2, 5, 100)),
        )
        for name in ("p", "q", "r")[: rng.randint(1, queues_max)]
    ]
    return Plain(queues, environments)


async def play(rng: Random, queues_max: int = 3) -> None:
    plain, yard = some_world(rng, queues_max), Yard()
    await yard.open(
        *(instance(name, cpu=cpu * VCPU, attributes={"host": name}) for name, cpu in HOSTS.items()),
        queues=list(plain.queues.values()),
        environments=list(plain.environments.values()),
        consumables=[ConsumableResource(name="licence", created_at=0, total=LICENCES)],
        sizes={name: cpu * VCPU for name, cpu in SIZES.items()},
    )
    for number in range(60):
        move = rng.choice(("submit", "submit", "end", "end", "cancel"))
        busy = [entry for entry in plain.entries if entry.running]
        if move == "submit":
            plain.entries.append(await submitted(yard, rng, list(plain.queues), number))
        elif move == "end" and busy:
            entry = rng.choice(busy)
            task = rng.choice(yard.live(entry.job))
            assert task.launch.job is not None
            entry.running.remove(task.launch.job.environment)
            await yard.end(task)
        elif move == "cancel" and rng.random() < 0.3 and any(entry.waits for entry in plain.entries):
            entry = rng.choice([entry for entry in plain.entries if entry.waits])
            entry.is_cancelled = True
            await yard.one(CancelJob(entry.job.id, "why"))
            await yard.settle()
        plain.settle()
        agree(plain, yard)


async def submitted(yard: Yard, rng: Random, queues: list[str], number: int) -> Entry:
    size, array, licences = rng.choice(list(SIZES)), rng.choice((0, 0, 2, 5)), rng.choice((0, 0, 0, 1, 3))
    more = taking("licence", licences) if licences else {}
    if array:
        more["arrayProperties"] = {"maxConcurrent": rng.choice((0, 2))}
    job = await yard.submit(
        size, rng.choice(queues), array=array, schedulingPriorityOverride=rng.choice((0, 0, 3)), **more
    )
    return Entry(job, number, SIZES[size], licences, array or 1)


def agree(plain: Plain, yard: Yard) -> None:
    for entry in plain.entries:
        running = [task.launch.job.environment for task in yard.live(entry.job) if task.launch.job is not None]
        assert sorted(running) == sorted(entry.running), entry
        assert (entry.job.id in yard.tables.batch.waiting[entry.job.queue]) == entry.waits
        if entry.waits:
            assert yard.overtaken(entry.job) == entry.overtaken


@pytest.mark.parametrize("seed", range(12))
def test_it_is_the_same_where_a_step_has_time_for_little(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one queue: of several, those behind do not wait until the first has been looked at to its end."""
    rng = Random(seed)
    monkeypatch.setattr(queue_look, "FITTINGS_MAX", rng.choice((4, 6)))
    monkeypatch.setattr(queue_look, "CLASSES_MAX", rng.choice((1, 2, 3)))
    monkeypatch.setattr(queue_look, "TASKS_MAX", rng.choice((1, 2, 3)))
    monkeypatch.setattr(overtaking, "_SEARCH_TASKS", rng.choice((1, 2)))
    asyncio.run(play(rng, queues_max=1))


@pytest.mark.parametrize("seed", range(40))
def test_what_starts_is_what_the_plain_rules_say(seed: int) -> None:
    asyncio.run(play(Random(seed)))
