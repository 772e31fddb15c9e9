"""The order of jobs that wait, and how often each was overtaken, against the slow and obvious version."""

from random import Random

import pytest
from shoal_scheduler.model.ask import Ask, Resources
from shoal_scheduler.model.job_queue import JobQueue
from shoal_scheduler.state import order
from shoal_scheduler.state.order import OrderKey
from shoal_scheduler.state.waiting_jobs import WaitingJobs, Want, started


class ObviousJobs:
    """A dict of counts: everything else is looked for each time it is asked."""

    def __init__(self) -> None:
        self.keys: dict[str, OrderKey] = {}
        self.wants: dict[str, Want] = {}
        self.counts: dict[str, int] = {}

    def put(self, job: str, key: OrderKey, want: Want) -> None:
        if (self.keys.get(job), self.wants.get(job)) != (key, want):
            self.keys[job], self.wants[job], self.counts[job] = key, want, 0

    def remove(self, job: str) -> None:
        for each in (self.keys, self.wants, self.counts):
            each.pop(job, None)

    def overtook(self, key: OrderKey, count: int) -> None:
        for job, other in self.keys.items():
            self.counts[job] += count if other < key else 0

    def in_order(self) -> list[str]:
        return sorted(self.keys, key=self.keys.__getitem__)

    def heads(self) -> list[tuple[OrderKey, Want]]:
        first: dict[Want, OrderKey] = {}
        for job in self.in_order():
            first.setdefault(self.wants[job], self.keys[job])
        return sorted((key, want) for want, key in first.items())

    def overtaken_at_least(self, count: int) -> list[tuple[OrderKey, int]]:
        return [(self.keys[job], self.counts[job]) for job in self.in_order() if self.counts[job] >= count]


def some_key(rng: Random, number: int) -> OrderKey:
    return OrderKey(-rng.choice((0, 0, 0, 5)), rng.choice((number, rng.randrange(number + 1))), number, f"job-{number}")


@pytest.mark.parametrize("seed", range(12))
def test_order_and_counts_are_those_of_the_obvious_version(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = Random(seed)
    monkeypatch.setattr(order, "BLOCK_MAX", rng.choice((2, 3, 8, 256)))
    fast, slow = WaitingJobs(), ObviousJobs()
    wants = [Want(Ask(Resources(cpu=cpu)), consumables) for cpu in range(3) for consumables in ((), (("licence", 1),))]
    for number in range(400):
        key, job = some_key(rng, number), f"job-{number}"
        move = rng.choice(("put", "put", "put", "again", "remove", "start", "start", "start elsewhere"))
        if move == "put":
            want = rng.choice(wants)
            fast.put(job, key, *want)
            slow.put(job, key, want)
        elif move == "again" and slow.keys:
            job = rng.choice(list(slow.keys))
            want = rng.choice((slow.wants[job], rng.choice(wants)))
            fast.put(job, slow.keys[job], *want)
            slow.put(job, slow.keys[job], want)
        elif move == "remove":
            job = rng.choice([*slow.keys, job])
            fast.remove(job)
            slow.remove(job)
        elif move == "start":
            key = rng.choice([*slow.keys.values(), key])
            fast.overtook(key, number)
            slow.overtook(key, number)
        elif move == "start elsewhere":
            fast.overtook_all(1)
            slow.overtook(OrderKey(1, 0, 0, ""), 1)
        agree(fast, slow, rng)


def agree(fast: WaitingJobs, slow: ObviousJobs, rng: Random) -> None:
    jobs = slow.in_order()
    assert [key.job for key in fast] == jobs
    assert len(fast) == len(jobs)
    assert [(key, each.want) for key, _, each in fast.classes()] == slow.heads()
    threshold = rng.choice((0, 1, *slow.counts.values()))
    found = [(key, overtaken) for key, overtaken, _ in fast.overtaken_at_least(threshold)]
    assert found == slow.overtaken_at_least(threshold)
    for _, number, left_out in fast.classes()[:1]:
        found = [(key, overtaken) for key, overtaken, _ in fast.overtaken_at_least(threshold, {number})]
        assert found == [
            pair for pair in slow.overtaken_at_least(threshold) if slow.wants[pair[0].job] != left_out.want
        ]
    assert fast.most_overtaken_before(None) == max(slow.counts.values(), default=0)
    for job in rng.sample(jobs, min(3, len(jobs))):
        assert fast.overtaken(job) == slow.counts[job]
        assert fast.position(job) == jobs.index(job) + 1
        before = [slow.counts[other] for other in jobs[: jobs.index(job)]]
        assert fast.most_overtaken_before(slow.keys[job]) == max(before, default=0)
        alike = [other for other in jobs if slow.wants[other] == slow.wants[job]]
        assert [key.job for key in fast.class_of(job).members] == alike
        following = [slow.keys[other] for other in alike[alike.index(job) + 1 :]]
        assert fast.class_of(job).members.after(slow.keys[job]) == (following[0] if following else None)


def test_a_start_overtakes_who_waits_for_the_same_environment_and_comes_first() -> None:
    queues = {
        "high": JobQueue(name="high", created_at=0, priority=2, environments=("shared",)),
        "other": JobQueue(name="other", created_at=0, priority=2, environments=("own",)),
        "same": JobQueue(name="same", created_at=0, priority=1, environments=("own", "shared")),
        "queue": JobQueue(name="queue", created_at=0, priority=1, environments=("shared",)),
        "low": JobQueue(name="low", created_at=0, priority=0, environments=("shared",)),
    }
    waiting = {name: WaitingJobs() for name in queues}
    for jobs in waiting.values():
        for at in (1, 9):
            jobs.put(f"at-{at}", OrderKey(0, at, at, f"at-{at}"), Ask(Resources()))
    started(waiting, queues, queues["queue"], "shared", OrderKey(0, 5, 5, "at-5"), 3)
    counts = {name: (jobs.overtaken("at-1"), jobs.overtaken("at-9")) for name, jobs in waiting.items()}
    assert counts == {"high": (3, 3), "other": (0, 0), "same": (3, 0), "queue": (3, 0), "low": (0, 0)}
