"""Instances and asks by the thousand, from a seed: what the benchmarks of placement are run on."""

from collections.abc import Sequence
from random import Random
from typing import NamedTuple

from shoal_scheduler.model.ask import Ask, Port, Resources, Strategy
from shoal_scheduler.model.cluster import Cluster
from shoal_scheduler.model.instance import Instance
from shoal_scheduler.state.instance_table import InstanceTable

ZONES = 3
RACKS = 40
FAMILIES = 500
TYPES = {"m5.large": (16_384, 65_536), "m5.4xlarge": (65_536, 262_144), "r5.4xlarge": (65_536, 524_288)}

BINPACK = (Strategy("binpack", "memory"),)
SPREAD_THEN_BINPACK = (Strategy("spread", "attribute:ecs.availability-zone"), Strategy("binpack", "memory"))
THREE_TERMS = (
    "attribute:ecs.instance-type =~ m5.* and attribute:ecs.os-type == linux and attribute:stack in [prod, test]",
)


CLUSTER = Cluster(name="default", created_at=0)


class Mix(NamedTuple):
    name: str
    about: str


MIXES = (
    Mix("identical", "the same cpu and memory each time"),
    Mix("heterogeneous", "one attribute constraint and one port each"),
    Mix("constrained", "distinctInstance, a group to be apart from, an expression of two terms, two ports"),
    Mix("gpu", "whole GPUs, and shares of one"),
)


def instances(count: int, seed: int = 1) -> list[Instance]:
    """Of three types in three zones and forty racks; every eighth has GPUs."""
    rng = Random(f"instances {seed}")
    return [_instance(number, rng) for number in range(count)]


def _instance(number: int, rng: Random) -> Instance:
    kind = rng.choice(sorted(TYPES))
    cpu, memory_mib = TYPES[kind]
    return Instance(
        id=f"{number:032x}",
        cluster="default",
        registered_at=1_700_000_000_000 + number,
        hostname=f"host-{number}",
        incarnation=1,
        cpu=cpu,
        memory_mib=memory_mib,
        gpu_ids=tuple(f"GPU-{number}-{gpu}" for gpu in range(8)) if number % 8 == 0 else (),
        reserved_tcp=(22, 2375, 2376),
        agent_version="0.1.0",
        agent_attributes={
            "ecs.instance-type": kind,
            "ecs.availability-zone": f"zone-{number % ZONES}",
            "ecs.os-type": "linux",
            "ecs.cpu-architecture": "x86_64",
            "rack": f"rack-{number % RACKS}",
            "stack": rng.choice(("prod", "prod", "test")),
        },
    )


def table(count: int, seed: int = 1) -> InstanceTable:
    """All of them there and connected, nothing placed."""
    made = InstanceTable()
    for instance in instances(count, seed):
        made.put(instance, connected=True)
    return made


def asks(mix: str, count: int, strategies: Sequence[Strategy] = BINPACK, seed: int = 1) -> list[Ask]:
    rng = Random(f"{mix} {seed}")
    make = {"identical": _identical, "heterogeneous": _heterogeneous, "constrained": _constrained, "gpu": _gpu}[mix]
    return [make(rng)._replace(strategies=tuple(strategies)) for _ in range(count)]


def spread_asks(count: int, seed: int = 1) -> list[Ask]:
    """Spread by zone, then binpack memory, an expression of three terms, two ports."""
    rng = Random(f"spread {seed}")
    return [
        Ask(
            _sizes(rng)._replace(ports=_ports(rng, 2)),
            group=f"family:f{rng.randrange(FAMILIES)}",
            expressions=THREE_TERMS,
            strategies=SPREAD_THEN_BINPACK,
        )
        for _ in range(count)
    ]


def _sizes(rng: Random) -> Resources:
    return Resources(rng.choice((64, 128, 256, 512, 1024)), rng.choice((128, 256, 512, 1024, 2048)))


def _ports(rng: Random, count: int) -> tuple[Port, ...]:
    return tuple(Port("tcp", number, number) for number in rng.sample(range(20_000, 60_000), count))


def _identical(_rng: Random) -> Ask:
    return Ask(Resources(256, 512), group="family:same")


def _heterogeneous(rng: Random) -> Ask:
    return Ask(
        _sizes(rng)._replace(ports=_ports(rng, 1)),
        group=f"family:f{rng.randrange(FAMILIES)}",
        expressions=(f"attribute:ecs.availability-zone == zone-{rng.randrange(ZONES)}",),
    )


def _constrained(rng: Random) -> Ask:
    family = rng.randrange(FAMILIES)
    return Ask(
        _sizes(rng)._replace(ports=_ports(rng, 2)),
        group=f"family:f{family}",
        expressions=(
            f"attribute:stack == prod and attribute:rack != rack-{rng.randrange(RACKS)}",
            f"not (task:group == family:f{(family + 1) % FAMILIES})",
        ),
        distinct_instance=True,
    )


def _gpu(rng: Random) -> Ask:
    gpus, milli = rng.choice(((1, 1000), (2, 1000), (8, 1000), (1, 250), (1, 500)))
    return Ask(_sizes(rng)._replace(gpus=gpus, gpu_milli=milli), group=f"family:f{rng.randrange(FAMILIES)}")
