"""In which order tasks are given up, against the plain rule, for random services."""

from collections import Counter
from collections.abc import Sequence
from random import Random

import pytest
from shoal_scheduler.control.context import Context, Limits
from shoal_scheduler.control.services.scale_in import order
from shoal_scheduler.control.services.view import ServiceView, view_of
from shoal_scheduler.model.ask import Strategy
from shoal_scheduler.model.task import Task

from tests.populated import CLUSTER, NOW, ZONE, Populated
from tests.unit.scheduler.plane import CountedIds

CASES = 40
SEEDS = [*range(5), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(5, 100))]
OVER_ZONES, OVER_INSTANCES = Strategy("spread", f"attribute:{ZONE}"), Strategy("spread", "instanceId")
STRATEGIES = (
    (OVER_ZONES, OVER_INSTANCES),
    (OVER_INSTANCES,),
    (OVER_ZONES, Strategy("binpack", "memory")),
    (Strategy("binpack", "cpu"),),
    (Strategy("random"),),
)
STATES = ("PENDING", "RUNNING", "RUNNING", "RUNNING")
HEALTHY_SINCE = NOW - 40_000


def random_service(rng: Random) -> Populated:
    made = Populated()
    hosts = [f"h{number}" for number in range(rng.randrange(1, 7))]
    for name in hosts:
        made.instance(
            name, rng.choice(("a", "b", "c", "")), status=rng.choice(("ACTIVE", "ACTIVE", "ACTIVE", "DRAINING"))
        )
    made.service("web", cpu=16, memory_mib=16, strategies=rng.choice(STRATEGIES))
    for _ in range(rng.randrange(1, 20)):
        made.task(
            "web",
            rng.choice(hosts),
            last_status=rng.choice(STATES),
            started_at=rng.choice((1, HEALTHY_SINCE, HEALTHY_SINCE + 1, NOW)),
            protected_until=NOW + 1 if rng.random() < 0.1 else 0,
        )
    return made


def plain(made: Populated, seen: ServiceView, tasks: Sequence[Task], beside: Sequence[Task]) -> list[Task]:
    left, there = list(tasks), [*tasks, *beside]
    gone: list[Task] = []
    while left := [task for task in left if task.protected_until <= NOW]:
        zones = Counter(zone(made, task) for task in there)
        instances = Counter(task.instance for task in there)

        def weight(task: Task, zones: Counter[str] = zones, instances: Counter[str] = instances) -> tuple[int, ...]:
            amounts = []
            for strategy in seen.service.strategies:
                room = made.tables.room(CLUSTER)
                row = room.rows[task.instance]
                freed = 16 * sum(each.instance == task.instance for each in gone)
                free = int(room.free_cpu[row] if strategy.field == "cpu" else room.free_memory[row])
                amounts.append(
                    {OVER_ZONES: zones[zone(made, task)], OVER_INSTANCES: instances[task.instance]}.get(
                        strategy, free + freed if strategy.type == "binpack" else 0
                    )
                )
            return (rank(made, task), *(-amount for amount in amounts), -list(tasks).index(task))

        best = min(left, key=weight)
        left.remove(best)
        there.remove(best)
        gone.append(best)
    return gone


def zone(made: Populated, task: Task) -> str:
    return made.tables.instances[task.instance].attribute(ZONE) or ""


def rank(made: Populated, task: Task) -> int:
    if task.last_status != "RUNNING":
        return 0
    if made.tables.instances[task.instance].status != "ACTIVE":
        return 1
    return 3 if task.started_at <= HEALTHY_SINCE else 2


@pytest.mark.parametrize("seed", SEEDS)
def test_the_order_is_that_of_the_plain_rule(seed: int) -> None:
    for case in range(CASES):
        rng = Random(f"{seed}:{case}")
        made = random_service(rng)
        seen = view_of(made.view, (CLUSTER, "web"), Context(NOW, CountedIds(), rng, Limits()))
        assert seen is not None
        tasks = [task for task in seen.wanted if rng.random() < 0.8]
        beside = [task for task in seen.wanted if task not in tasks]
        assert list(order(seen, tasks, beside)) == plain(made, seen, tasks, beside)
