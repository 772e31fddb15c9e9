"""Explanations against the plain reference: the smallest change makes the ask placeable, and nothing smaller does."""

import dataclasses
from collections.abc import Iterator
from itertools import combinations, product
from random import Random
from typing import NamedTuple

import msgspec
import pytest
from shoal_scheduler.model.ask import MEMORY_MIB_MIN, Ask, Port, Resources
from shoal_scheduler.placement.explain import Explanation, explain, waiting_reason
from shoal_scheduler.placement.filters import NO_ROW
from shoal_scheduler.placement.kinds import LATER
from shoal_scheduler.placement.place import place
from shoal_scheduler.placement.suggest import Suggestion

from tests import reference
from tests.properties.test_placement import EXPRESSIONS, World
from tests.reference import Host

# Unplaceable asks: 1,000; 10,000 in the long run.
CASES = 100
SEEDS = [*range(10), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(10, 100))]
PLENTY = 2**40


class Case(NamedTuple):
    world: World
    ask: Ask
    held: int
    found: Explanation

    @property
    def open_hosts(self) -> list[Host]:
        """Those which nothing but the ask keeps from taking it."""
        return [
            host
            for row, host in enumerate(self.world.hosts)
            if host.connected and host.instance.status == "ACTIVE" and row != self.held
        ]

    def fits(self, ask: Ask) -> bool:
        return any(reference.refusal(ask, host) is None for host in self.open_hosts)


class Option(NamedTuple):
    """A demand of an ask given up, in part or as a whole, so that one host meets it."""

    relative: float
    ask: Ask


def unplaceable(seed: int) -> Iterator[Case]:
    rng = Random(f"{seed} explain")
    left = CASES
    while left:
        world = World(rng)
        shrink_some(world)
        for _ in range(5):
            ask = some_ask(rng)
            held = rng.randrange(len(world.hosts)) if world.hosts and rng.random() < 0.2 else NO_ROW
            found = explain(ask, world.table, held)
            assert (found is None) == bool(place(ask, 1, world.table.copy(), rng, held).spots)
            if found is not None and left:
                left -= 1
                yield Case(world, ask, held, found)


def shrink_some(world: World) -> None:
    """An instance may come back smaller than what runs there."""
    for row, host in enumerate(world.hosts):
        if world.rng.random() < 0.05:
            smaller = msgspec.structs.replace(host.instance, cpu=200, memory_mib=150)
            host.cpu += smaller.cpu - host.instance.cpu
            host.memory += smaller.memory_mib - host.instance.memory_mib
            host.instance = smaller
            world.table.put(smaller, connected=host.connected)
            assert world.table.rows[smaller.id] == row


def some_ask(rng: Random) -> Ask:
    """Mostly too much for most."""
    gpus, milli = rng.choice(((0, 1000), (0, 1000), (1, 1000), (2, 1000), (5, 1000), (1, 300), (1, 950), (3, 400)))
    names = rng.sample(("licence", "dongle"), rng.choice((0, 0, 1, 2)))
    platform = (("zone", rng.choice("abd")), ("rack", f"r{rng.randrange(5)}"))
    return Ask(
        Resources(
            cpu=rng.choice((0, 1, 100, 777, 1500, 5000, 2**30)),
            memory_mib=rng.choice((6, 100, 900, 3001, 9000, 2**30)),
            gpus=gpus,
            gpu_milli=milli,
            ports=tuple(some_ports(rng)),
            custom=tuple((name, rng.randrange(1, 9)) for name in sorted(names)),
        ),
        group=f"family:f{rng.randrange(4)}",
        expressions=tuple(rng.choices((*EXPRESSIONS, "attribute:zone == nowhere"), k=rng.choice((0, 0, 1, 2)))),
        distinct_instance=rng.random() < 0.3,
        required_attributes=tuple(rng.sample(platform, rng.choice((0, 0, 0, 1, 2)))),
    )


def some_ports(rng: Random) -> Iterator[Port]:
    protocol = rng.choice(("tcp", "tcp", "udp"))
    for first in rng.sample((22, 80, 443, 8000, 8002, 8004), rng.choice((0, 0, 1, 2))):
        yield Port(protocol, first, first + rng.choice((0, 0, 0, 1)))


@pytest.mark.parametrize("seed", SEEDS)
def test_the_smallest_change_places_it_and_nothing_smaller_does(seed: int) -> None:
    for number, case in enumerate(unplaceable(seed)):
        where = (seed, number, case.ask)
        suggested = case.found.suggestion
        if suggested is None:
            assert not case.fits(at_the_least(case.ask)), where
            continue
        host = case.world.hosts[suggested.row]
        assert host in case.open_hosts, where
        assert reference.refusal(suggested.ask, host) is None, where
        assert place(suggested.ask, 1, case.world.table.copy(), Random(1), case.held).spots, where
        for more in a_little_more(case.ask, suggested.ask):
            assert not case.fits(more), (where, suggested, more)
        fields, relative = smallest_of_all(case, len(suggested.changes))
        assert fields == len(suggested.changes), (where, suggested)
        assert relative == pytest.approx(sum(change.relative for change in suggested.changes)), (where, suggested)


def at_the_least(ask: Ask) -> Ask:
    return Ask(Resources(memory_mib=min(MEMORY_MIB_MIN, ask.resources.memory_mib)))


def a_little_more(ask: Ask, changed: Ask) -> Iterator[Ask]:
    """Each field that was lowered by one less, and each rule that was dropped back again; the others as suggested."""
    yield from (changed._replace(resources=more) for more in more_resources(ask.resources, changed.resources))
    for expression in ask.expressions:
        if expression not in changed.expressions:
            yield changed._replace(expressions=(*changed.expressions, expression))
    for pair in ask.required_attributes:
        if pair not in changed.required_attributes:
            yield changed._replace(required_attributes=(*changed.required_attributes, pair))
    if ask.distinct_instance and not changed.distinct_instance:
        yield changed._replace(distinct_instance=True)


def more_resources(wanted: Resources, got: Resources) -> Iterator[Resources]:
    if got.cpu < wanted.cpu:
        yield got._replace(cpu=got.cpu + 1)
    if got.memory_mib < wanted.memory_mib:
        yield got._replace(memory_mib=got.memory_mib + 1)
    if not got.gpus and wanted.gpus:
        yield got._replace(gpus=1, gpu_milli=1)
    if 0 < got.gpus < wanted.gpus and (wanted.gpu_milli < 1000 or got.gpu_milli == 1000):
        yield got._replace(gpus=got.gpus + 1)
    if got.gpus and got.gpu_milli < wanted.gpu_milli:
        yield got._replace(gpu_milli=got.gpu_milli + 1)
    left = dict(got.custom)
    for name, amount in wanted.custom:
        if left.get(name, 0) < amount:
            yield got._replace(custom=tuple(sorted({**left, name: left.get(name, 0) + 1}.items())))
    for port in wanted.ports:
        if port not in got.ports:
            yield got._replace(ports=(*got.ports, port))


def smallest_of_all(case: Case, fields_max: int) -> tuple[int, float]:
    """The fewest fields and the least part given up, by trying every choice of fields on every host."""
    outcomes = [(PLENTY, 0.0)]
    for host in case.open_hosts:
        ways = list(ways_to_give_in(case.ask, host))
        for fields in range(fields_max + 1):
            outcomes += [
                (fields, sum(option.relative for option in options))
                for chosen in combinations(ways, fields)
                for options in product(*chosen)
                if reference.refusal(joined(case.ask, options), host) is None
            ]
    return min(outcomes)


def ways_to_give_in(ask: Ask, host: Host) -> Iterator[list[Option]]:
    """For each field of the ask, the ways to ask for less of it that the host might take."""
    wanted = ask.resources
    if 0 <= host.cpu < wanted.cpu:
        part = (wanted.cpu - host.cpu) / wanted.cpu
        yield [Option(part, ask._replace(resources=wanted._replace(cpu=host.cpu)))]
    if MEMORY_MIB_MIN <= host.memory < wanted.memory_mib:
        part = (wanted.memory_mib - host.memory) / wanted.memory_mib
        yield [Option(part, ask._replace(resources=wanted._replace(memory_mib=host.memory)))]
    if wanted.gpus:
        yield list(less_gpus(ask, host))
    for name, amount in wanted.custom:
        left = max(0, min(host.custom[name], amount))
        less = tuple(pair for pair in (*(p for p in wanted.custom if p[0] != name), (name, left)) if pair[1])
        yield [Option((amount - left) / amount, ask._replace(resources=wanted._replace(custom=less)))]
    for port in wanted.ports:
        fewer = tuple(each for each in wanted.ports if each != port)
        yield [Option(1.0, ask._replace(resources=wanted._replace(ports=fewer)))]
    for at in range(len(ask.expressions)):
        yield [Option(1.0, ask._replace(expressions=(*ask.expressions[:at], "", *ask.expressions[at + 1 :])))]
    for pair in ask.required_attributes:
        others = tuple(each for each in ask.required_attributes if each != pair)
        yield [Option(1.0, ask._replace(required_attributes=others))]
    if ask.distinct_instance:
        yield [Option(1.0, ask._replace(distinct_instance=False))]


def less_gpus(ask: Ask, host: Host) -> Iterator[Option]:
    """Of whole ones, fewer, or a share of one; of shares, fewer or smaller ones."""
    number, milli = ask.resources.gpus, ask.resources.gpu_milli
    parts = [milli, *(part for part in host.gpus if 0 < part < milli)]
    for count, part in product(range(number + 1), parts):
        is_whole = part == 1000 or count <= 1
        if count * part < number * milli and (milli < 1000 or is_whole):
            resources = ask.resources._replace(gpus=count, gpu_milli=part if count else 1000)
            yield Option(1 - count * part / (number * milli), ask._replace(resources=resources))


def joined(ask: Ask, options: tuple[Option, ...]) -> Ask:
    """The ask with all that the options change in it."""
    wanted, resources, changed = ask.resources, ask.resources, ask
    dropped: set[int] = set()
    for _, other in options:
        for field in ("cpu", "memory_mib", "gpus", "gpu_milli"):
            if getattr(other.resources, field) != getattr(wanted, field):
                resources = resources._replace(**{field: getattr(other.resources, field)})
        amounts = dict(other.resources.custom)
        lowered = ((name, min(amount, amounts.get(name, 0))) for name, amount in resources.custom)
        ports = tuple(port for port in resources.ports if port in other.resources.ports)
        resources = resources._replace(custom=tuple(pair for pair in lowered if pair[1]), ports=ports)
        dropped |= {at for at, expression in enumerate(other.expressions) if not expression}
        kept = tuple(pair for pair in changed.required_attributes if pair in other.required_attributes)
        distinct = changed.distinct_instance and other.distinct_instance
        changed = changed._replace(required_attributes=kept, distinct_instance=distinct)
    expressions = tuple(each for at, each in enumerate(ask.expressions) if at not in dropped)
    return changed._replace(resources=resources, expressions=expressions)


@pytest.mark.parametrize("seed", range(5))
def test_the_nearest_fail_what_the_reference_says_and_the_refusals_add_up(seed: int) -> None:
    for case in unplaceable(seed):
        hosts = {host.instance.id: host for host in case.world.hosts}
        counts = reference.reasons(case.ask, [host for row, host in enumerate(case.world.hosts) if row != case.held])
        told = dict(case.found.refusals)
        assert sum(told.values()) == case.found.instances == len(hosts)
        if case.held == NO_ROW:
            assert told == counts
        failing = [len(near.shortfalls) for near in case.found.nearest]
        assert failing == sorted(failing)
        assert len(failing) == min(10, len(hosts))
        for near in case.found.nearest:
            host = hosts[near.instance.id]
            is_held = case.held != NO_ROW and host is case.world.hosts[case.held]
            assert sorted(lack.reason for lack in near.shortfalls) == sorted(failed(case.ask, host, is_held))
        assert waiting_reason(case.ask, case.world.table, case.held) == case.found.reason


def failed(ask: Ask, host: Host, is_held: bool) -> Iterator[str]:
    """The reason of each rule that refuses it, asked alone."""
    if host.instance.status != "ACTIVE":
        yield "INSTANCE:DRAINING"
    if not host.connected:
        yield "AGENT"
    if host.impaired:
        yield "INSTANCE:IMPAIRED"
    if is_held:
        yield "HELD"
    instance = msgspec.structs.replace(host.instance, status="ACTIVE")
    there = dataclasses.replace(host, connected=True, impaired=False, instance=instance)
    roomy = dataclasses.replace(there, cpu=PLENTY, memory=PLENTY)
    wanted, nothing = ask.resources, Ask(Resources(), ask.group)
    alone = [nothing._replace(required_attributes=(pair,)) for pair in ask.required_attributes]
    alone += [nothing._replace(expressions=(expression,)) for expression in ask.expressions]
    alone += [nothing._replace(distinct_instance=ask.distinct_instance)]
    alone += [nothing._replace(resources=Resources(gpus=wanted.gpus, gpu_milli=wanted.gpu_milli))]
    alone += [nothing._replace(resources=Resources(custom=(pair,))) for pair in wanted.custom]
    alone += [nothing._replace(resources=Resources(ports=(port,))) for port in wanted.ports]
    pairs = [(each, roomy) for each in alone]
    pairs.append((nothing._replace(resources=Resources(cpu=wanted.cpu)), dataclasses.replace(there, memory=PLENTY)))
    pairs.append(
        (nothing._replace(resources=Resources(memory_mib=wanted.memory_mib)), dataclasses.replace(there, cpu=PLENTY))
    )
    for each, where in pairs:
        reason = reference.refusal(each, where)
        if reason is not None:
            yield reason


@pytest.mark.parametrize("seed", range(5))
def test_one_more_instance_of_the_kind_takes_it_and_none_is_named_where_none_would(seed: int) -> None:
    for case in unplaceable(seed):
        kind, ask = case.found.one_more, case.ask
        fresh = [Host.of(msgspec.structs.replace(host.instance, status="ACTIVE")) for host in case.world.hosts]
        for host in fresh:
            host.instance = msgspec.structs.replace(host.instance, registered_at=LATER, hostname="")
        would_take = [host.instance.id for host in fresh if reference.refusal(ask, host) is None]
        if kind.like is not None:
            assert kind.like.id in would_take
            assert kind.cpu >= ask.resources.cpu
            assert kind.memory_mib >= ask.resources.memory_mib
        else:
            assert not would_take
            assert (kind.cpu, kind.memory_mib) == (ask.resources.cpu, ask.resources.memory_mib)


def test_the_suggestion_is_the_same_every_time() -> None:
    def suggestions() -> list[Suggestion | None]:
        return [case.found.suggestion for case in unplaceable(3)]

    assert suggestions() == suggestions()
