"""Placement against the plain reference: the same best candidates, the same reasons, never more than there is."""

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from random import Random

import pytest
from shoal_scheduler.model.ask import Ask, Port, Resources, Strategy
from shoal_scheduler.model.held_image import HeldImage
from shoal_scheduler.model.instance import Instance
from shoal_scheduler.placement.filters import refusals
from shoal_scheduler.placement.place import best, place
from shoal_scheduler.state.instance_table import InstanceTable

from tests import reference
from tests.reference import Host

# 20,000 cases; 100,000 in the long run.
CASES = 20_000
SEEDS = [*range(10), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(10, 50))]
FIELDS = ("instanceId", "host", "attribute:zone", "attribute:rack", "attribute:nobody")
EXPRESSIONS = (
    "attribute:zone == a",
    "attribute:rack != r1 or attribute:zone == b",
    "attribute:rack exists",
    "task:group == family:f1",
    "not (task:group == family:f2)",
    "runningTasksCount < 2",
    "ec2InstanceId =~ h.*[02468]",
    "agentVersion >= 1.2",
)


def _images() -> list[HeldImage]:
    """Few, so that they have names, ids and layers in common."""
    rng = Random("images")
    sizes = {layer: rng.choice((0, 100, 5_000, 70_000, 2**35)) for layer in range(1, 9)}
    found = []
    for number in range(12):
        layers = rng.sample(sorted(sizes), rng.randrange(4))
        layers += layers[:1] if rng.random() < 0.2 else []
        names = tuple(rng.sample(("web:1", "web:2", "db:1", "web@sha256:aa"), rng.randrange(3)))
        tags, digests = (tuple(name for name in names if ("@" in name) is is_digest) for is_digest in (False, True))
        found.append(
            HeldImage(f"sha256:{number // 2}", tags, digests, 1, tuple(layers), tuple(sizes[each] for each in layers))
        )
    return found


IMAGES = _images()


class World:
    """The same hosts as a table and as plain records."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.table = InstanceTable()
        self.hosts: list[Host] = []
        for number in range(rng.choice((0, 1, 2, 3, 5, 8, 13, 60))):
            instance, connected = _instance(rng, number), rng.random() < 0.9
            self.table.put(instance, connected=connected)
            self.hosts.append(Host.of(instance, connected=connected))
            if connected and rng.random() < 0.1:
                self.table.set_impaired(instance.id, True)
                self.hosts[-1].impaired = True
        for _ in range(rng.randrange(30)):
            self.put_somewhere(_ask(rng))
        if rng.random() < 0.6:
            self.hold_images()

    def hold_images(self) -> None:
        """A few reports of each host, the first with all its images."""
        for row, host in enumerate(self.hosts):
            for full in (True, False, False)[: self.rng.randrange(4)]:
                came = self.rng.sample(IMAGES, self.rng.randrange(3))
                gone = [image.id for image in self.rng.sample(IMAGES, self.rng.randrange(2))]
                kept = {} if full else {image.id: image for image in host.images if image.id not in gone}
                host.images = list((kept | {image.id: image for image in came}).values())
                self.table.images.change(row, came, gone, full=full)

    def put_somewhere(self, ask: Ask) -> None:
        for spot in place(ask, 1, self.table, self.rng).spots:
            self.take(ask, spot.row, spot.gpus)

    def take(self, ask: Ask, row: int, gpus: tuple[int, ...]) -> None:
        self.hosts[row].take(ask, gpus)
        if self.rng.random() < 0.5:
            self.hosts[row].running += 1
            self.table.pending[row] -= 1
            self.table.running[row] += 1

    def id_of(self, row: int) -> str:
        return self.hosts[row].instance.id


def _instance(rng: Random, number: int) -> Instance:
    attributes = {"zone": rng.choice("abc")} | ({"rack": f"r{rng.randrange(3)}"} if rng.random() < 0.8 else {})
    return Instance(
        id=f"i-{number}",
        cluster="default",
        registered_at=number,
        hostname=f"h{number}",
        status="DRAINING" if rng.random() < 0.05 else "ACTIVE",
        cpu=rng.choice((500, 1000, 1000, 2000)),
        memory_mib=rng.choice((1000, 2000, 2000, 4000)),
        gpu_ids=tuple(f"g{each}" for each in range(rng.choice((0, 0, 1, 2, 4)))),
        custom={"licence": rng.randrange(1, 4)} if rng.random() < 0.5 else {},
        reserved_tcp=(22,),
        agent_version=rng.choice(("1.1.9", "1.2.0", "1.10.0")),
        agent_attributes=attributes,
    )


def _ask(rng: Random) -> Ask:
    gpus, milli = rng.choice(((0, 1000), (0, 1000), (1, 1000), (2, 1000), (1, 300), (1, 500), (2, 400)))
    return Ask(
        Resources(
            cpu=rng.choice((0, 100, 100, 250, 600)),
            memory_mib=rng.choice((1, 100, 250, 900)),
            gpus=gpus,
            gpu_milli=milli,
            ports=tuple(_ports(rng)) if rng.random() < 0.4 else (),
            custom=(("licence", rng.randrange(1, 3)),) if rng.random() < 0.15 else (),
        ),
        group=f"family:f{rng.randrange(4)}",
        expressions=tuple(rng.sample(EXPRESSIONS, rng.choice((0, 0, 0, 1, 2)))),
        distinct_instance=rng.random() < 0.2,
        strategies=tuple(_strategy(rng) for _ in range(rng.choice((0, 1, 1, 2, 3)))),
        required_attributes=(("zone", rng.choice("ab")),) if rng.random() < 0.2 else (),
        images=tuple(rng.sample(("web:1", "web:2", "db:1", "web@sha256:aa", "nobody:1"), rng.choice((0, 1, 1, 2)))),
    )


def _ports(rng: Random) -> Iterator[Port]:
    """None twice in the same ask: that is refused before it is placed."""
    protocol = rng.choice(("tcp", "tcp", "udp"))
    for first in rng.sample((22, 80, 443, 8000, 8002, 8004), rng.randrange(1, 3)):
        yield Port(protocol, first, first + rng.choice((0, 0, 0, 1)))


def _strategy(rng: Random) -> Strategy:
    kind = rng.choice(("random", "binpack", "binpack", "spread", "spread", "image"))
    if kind == "binpack":
        return Strategy(kind, rng.choice(("cpu", "memory", "gpu")))
    return Strategy(kind, rng.choice(FIELDS)) if kind == "spread" else Strategy(kind)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_best_candidates_are_those_of_the_reference(seed: int) -> None:
    for case in range(CASES // 20):
        rng = Random(f"{seed} {case}")
        world = World(rng)
        for _ in range(2):
            ask = _ask(rng)
            found = {world.id_of(row) for row in best(ask, world.table).tolist()}
            assert found == reference.best(ask, world.hosts), (seed, case, ask)
            assert refusals(ask, world.table) == reference.reasons(ask, world.hosts), (seed, case, ask)
            world.put_somewhere(ask)


@pytest.mark.parametrize("seed", range(10))
def test_each_of_many_equal_tasks_goes_to_a_best_candidate(seed: int) -> None:
    """One call for many places them as one call after another could."""
    for case in range(CASES // 100):
        rng = Random(f"{seed} {case} many")
        world, ask, count = World(rng), _ask(rng), rng.choice((2, 5, 20, 100))
        placed = place(ask, count, world.table, rng)
        for number, spot in enumerate(placed.spots):
            allowed = reference.best(ask, world.hosts)
            assert world.id_of(spot.row) in allowed, (seed, case, number, ask)
            world.hosts[spot.row].take(ask, spot.gpus)
        if len(placed.spots) < count:
            assert not reference.best(ask, world.hosts)
            assert placed.unplaceable is not None
            assert placed.unplaceable.reasons == reference.reasons(ask, world.hosts)
        else:
            assert placed.unplaceable is None


def test_nothing_is_given_twice() -> None:
    for case in range(CASES // 50):
        rng = Random(f"{case} full")
        world = World(rng)
        for _ in range(rng.randrange(40)):
            ask = _ask(rng)
            for spot in place(ask, rng.choice((1, 1, 7)), world.table, rng).spots:
                world.hosts[spot.row].take(ask, spot.gpus)
        for row, host in enumerate(world.hosts):
            assert min(host.cpu, host.memory, *host.gpus, 0) == 0, (case, host)
            assert all(count >= 0 for count in host.custom.values()), (case, host)
            numbers = Counter((p.protocol, n) for p in host.ports for n in range(p.first, p.last + 1))
            assert max(numbers.values(), default=0) <= 1, (case, host)
            assert (host.cpu, host.memory) == (world.table.free_cpu[row], world.table.free_memory[row])


def test_what_was_taken_can_be_given_back() -> None:
    for case in range(CASES // 100):
        rng = Random(f"{case} back")
        world = World(rng)
        before = _free(world.table)
        taken = []
        for _ in range(20):
            ask = _ask(rng)
            taken += [(ask, spot) for spot in place(ask, rng.choice((1, 4)), world.table, rng).spots]
        rng.shuffle(taken)
        for ask, spot in taken:
            world.table.give_back(spot.row, ask.resources, ask.group, spot.gpus)
        assert _free(world.table) == before, case


def _free(table: InstanceTable) -> object:
    groups = {name: list(table.groups[name].rows()) for name in table.groups}
    custom = {name: free.tolist() for name, free in table.free_custom.items() if free.any()}
    return (
        table.free_cpu.tolist(),
        table.free_memory.tolist(),
        table.gpus.free.tolist(),
        table.gpus.whole.tolist(),
        custom,
        {name: rows for name, rows in groups.items() if rows},
        table.pending.tolist(),
    )


def history(seed: int) -> str:
    rng = Random(seed)
    world = World(rng)
    return repr([place(_ask(rng), rng.choice((1, 3)), world.table, rng) for _ in range(50)])


def test_the_same_seed_gives_the_same_placement_in_another_process() -> None:
    script = "from tests.properties.test_placement import history; print([history(seed) for seed in range(20)])"
    said = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={"PYTHONHASHSEED": hash_seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert said == {f"{[history(seed) for seed in range(20)]}\n"}
