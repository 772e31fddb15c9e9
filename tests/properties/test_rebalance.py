"""Plans of rebalancing for random clusters, carried out by a simple model: nothing gets worse, what binds holds, and it
comes to an end."""

from collections import Counter
from random import Random
from typing import Any

import pytest
from shoal_scheduler.control.rebalance.inputs import Wanted
from shoal_scheduler.control.rebalance.load import Load
from shoal_scheduler.control.rebalance.plan import Plan, plan
from shoal_scheduler.model.ask import Strategy
from shoal_scheduler.model.rebalance import EMPTY, SPREAD, ZONES, Budget
from shoal_scheduler.placement.place import Spot

from tests.populated import CLUSTER, NOW, ZONE, Populated

CASES = 60
SEEDS = [*range(4), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(4, 60))]
OVER_ZONES, OVER_INSTANCES = Strategy("spread", f"attribute:{ZONE}"), Strategy("spread", "instanceId")
STRATEGIES: tuple[tuple[Strategy, ...], ...] = (
    (),
    (),
    (OVER_ZONES, OVER_INSTANCES),
    (OVER_INSTANCES,),
    (OVER_ZONES, Strategy("binpack", "memory")),
    (Strategy("binpack", "cpu"),),
    (Strategy("random"),),
)
EXPRESSIONS: tuple[tuple[str, ...], ...] = (
    (),
    (),
    (),
    (f"attribute:{ZONE} != c",),
    ("attribute:disk == ssd",),
    ("not (task:group == service:s1)",),
)


def random_cluster(rng: Random, *, roomy: bool = False) -> Populated:
    """`roomy`: nothing but what tasks take decides where they may go, and of that there is enough anywhere."""
    made = Populated()
    hosts = [f"{number:032x}" for number in range(1, rng.choice((2, 3, 5, 8, 13)))]
    for host in hosts:
        made.instance(
            host,
            rng.choice(("a", "b", "c")) if rng.random() < 0.9 else "",
            connected=roomy or rng.random() < 0.95,
            status="ACTIVE" if roomy or rng.random() < 0.95 else "DRAINING",
            custom_attributes={"disk": rng.choice(("ssd", "hdd"))},
            **({"cpu": 10**6, "memory_mib": 10**6} if roomy else {"memory_mib": rng.choice((2048, 4096, 8192))}),
        )
    for number in range(rng.randrange(1, 7)):
        add_service(made, rng, f"s{number}", hosts, roomy=roomy)
    return made


def add_service(made: Populated, rng: Random, name: str, hosts: list[str], *, roomy: bool) -> None:
    limits: dict[str, Any] = {"expressions": rng.choice(EXPRESSIONS), "distinct_instance": rng.random() < 0.15}
    made.service(
        name,
        cpu=rng.choice((64, 128, 512)),
        memory_mib=rng.choice((128, 512, 1024)),
        desired_count=0,
        strategies=rng.choice(STRATEGIES),
        zone_rebalancing=rng.random() < 0.5,
        **({} if roomy else limits),
    )
    few = rng.sample(hosts, rng.randrange(1, len(hosts) + 1))
    for _ in range(rng.randrange(1, 12)):
        host = rng.choice(few)
        if isinstance(made.place_on(name, host), Spot):
            made.task(name, host, protected_until=NOW + 1 if not roomy and rng.random() < 0.05 else 0)
    made.desire(name, len(made.tasks_of(name)))


def planned(made: Populated, kind: str, *instances: str, moves: int = 400) -> Plan:
    return plan(made.view, CLUSTER, Wanted(kind, instances=instances, budget=Budget(moves)), NOW)


def unevenness(counts: Counter[str]) -> int:
    return sum(count * count for count in counts.values())


def spread_of(made: Populated, name: str) -> list[int]:
    """How uneven, level by level; as far as its strategies say."""
    zones, instances = made.counts(name)
    of = {OVER_ZONES: zones, OVER_INSTANCES: instances}
    strategies = made.service_of(name).strategies or (OVER_ZONES, OVER_INSTANCES)
    found = []
    for strategy in strategies:
        if strategy not in of:
            break
        found.append(unevenness(of[strategy]))
    return found


def loads(made: Populated) -> list[float]:
    """Of those in service, the fullest first."""
    room = made.tables.room(CLUSTER)
    return sorted(Load.of(room).shares()[room.away == 0].tolist(), reverse=True)


def fewest(counts: Counter[str]) -> int:
    """Moves that make them even."""
    least, more = divmod(sum(counts.values()), len(counts))
    return sum(max(0, count - least - (at < more)) for at, count in enumerate(sorted(counts.values(), reverse=True)))


def width(counts: Counter[str]) -> int:
    return max(counts.values(), default=0) - min(counts.values(), default=0)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_run_improves_until_there_is_nothing_left(seed: int) -> None:
    for case in range(CASES):
        rng = Random(f"{seed}:{case}")
        made, kind = random_cluster(rng), rng.choice((SPREAD, ZONES))
        for _ in range(100):
            found = planned(made, kind)
            if not found.moves:
                break
            pinned = all(move.is_pinned for move in found.moves)
            moved, load = {move.service for move in found.moves if pinned or not move.is_pinned}, loads(made)
            before = {name: (spread_of(made, name), made.counts(name)) for name in moved}
            made.carry_out(found.moves)
            for name, (uneven, (zones, instances)) in before.items():
                after = spread_of(made, name)
                zones_now, instances_now = made.counts(name)
                assert after < uneven or (pinned and after == uneven), f"{name} is no more even"
                assert width(zones_now) <= width(zones) or made.service_of(name).strategies == (OVER_INSTANCES,)
                assert width(instances_now) <= width(instances) or after[0] < uneven[0]
            assert not pinned or loads(made) < load, "the fullest are as full as before"
        else:
            pytest.fail("it never comes to an end")


@pytest.mark.parametrize("seed", SEEDS)
def test_where_there_is_room_one_run_is_enough_and_no_move_too_many(seed: int) -> None:
    for case in range(CASES):
        made = random_cluster(Random(f"{seed}:{case}"), roomy=True)
        before = [(each, made.counts(each.name)) for each in made.services()]
        found = planned(made, SPREAD)
        assert len({move.task for move in found.moves}) == len(found.moves)
        made.carry_out(found.moves)
        assert not planned(made, SPREAD).moves
        for service, (zones, instances) in before:
            moves = sum(move.service == service.name for move in found.moves)
            first, *others = service.strategies or (OVER_ZONES, OVER_INSTANCES)
            counts = {OVER_ZONES: zones, OVER_INSTANCES: instances}.get(first)
            if counts is None:
                assert not moves
                continue
            assert width(made.counts(service.name)[first == OVER_INSTANCES]) <= 1
            assert moves == fewest(counts) or (others == [OVER_INSTANCES] and moves >= fewest(counts))


@pytest.mark.parametrize("seed", SEEDS)
def test_instances_are_emptied_as_far_as_there_is_room(seed: int) -> None:
    for case in range(CASES):
        rng = Random(f"{seed}:{case}")
        made = random_cluster(rng)
        named = rng.sample(sorted(made.tables.instances), 1)
        there = {task.id for each in named for task in made.view.tasks_on(each)}
        found = planned(made, EMPTY, *named)
        assert {move.task for move in found.moves} | {stays.task for stays in found.stays} == there
        assert all(stays.reason for stays in found.stays)
        assert not any(move.target in named for move in found.moves)
        made.carry_out(found.moves)
        assert {task.id for each in named for task in made.view.tasks_on(each)} == {each.task for each in found.stays}


@pytest.mark.parametrize("seed", SEEDS)
def test_consolidation_empties_whole_instances_and_ends(seed: int) -> None:
    for case in range(CASES):
        rng = Random(f"{seed}:{case}")
        made = random_cluster(rng, roomy=rng.random() < 0.3)
        before = used(made)
        zones = {each.name: width(made.counts(each.name)[0]) for each in made.services()}
        found = planned(made, EMPTY)
        made.carry_out(found.moves)
        emptied = before - used(made)
        assert used(made) <= before
        assert {move.source for move in found.moves} == emptied
        for each in made.services():
            if spread_of(made, each.name) and each.strategies[:1] != (OVER_INSTANCES,):
                assert width(made.counts(each.name)[0]) <= zones[each.name]
        assert not planned(made, EMPTY).moves


def used(made: Populated) -> set[str]:
    return {name for name in made.tables.instances if made.view.tasks_on(name)}


@pytest.mark.parametrize("seed", SEEDS)
def test_the_effects_are_what_comes_of_it(seed: int) -> None:
    for case in range(CASES):
        rng = Random(f"{seed}:{case}")
        made = random_cluster(rng)
        found = planned(made, rng.choice((SPREAD, EMPTY)), moves=rng.choice((1, 3, 400)))
        made.carry_out(found.moves)
        room = made.tables.room(CLUSTER)
        for effect in found.effects:
            row = room.rows[effect.instance]
            assert effect.tasks_after == len(made.view.tasks_on(effect.instance))
            assert effect.cpu_after == room.total_cpu[row] - room.free_cpu[row]
            assert effect.memory_mib_after == room.total_memory[row] - room.free_memory[row]
