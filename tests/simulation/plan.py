"""What a seed draws: how big the cluster is, how long faults last, which kinds of them strike and how hard.

Swarm testing: most seeds have one or two kinds only, so that each is met alone and long, and some have many.
"""

import math
from dataclasses import dataclass
from random import Random

NETWORK = ("loss", "delay", "reset", "cut", "cut one way", "repeated requests")
PROCESS = ("scheduler crash", "agent crash", "crash at persist", "scheduler pause", "agent pause", "double start")
ETCD = ("etcd away", "unknown outcome", "lease revoked", "lease kept", "etcd full", "etcd slow", "compaction")
CLOCK = ("clock skew", "clock jump")
DISK = ("disk full", "disk slow", "journal lost", "host dies")
ENGINE = (
    "reply lost",
    "start fails",
    "stop hangs",
    "engine restart",
    "engine hangs",
    "removed by hand",
    "foreign container",
    "silent events",
    "image missing",
)
LOAD = ("burst", "cancel race", "drain", "deregister")
OLDER = (*NETWORK, *PROCESS, *ETCD, *CLOCK, *DISK, *ENGINE, *LOAD)
NEWER = ("interruption", "interruption notice")
JOBS, SERVICES = "jobs", "services"
KINDS = (*OLDER, *NEWER, JOBS, SERVICES)

# Of all seeds, those with one of the newer kinds beside what they draw else.
NEWER_SHARE = 0.1

# Of all seeds, those whose users submit jobs as well.
JOBS_SHARE = 0.2

# Where users have services, these take their time: the longest is a task that is healthy once it has run for 40 s.
SERVICES_SECONDS = (30.0, 60.0, 120.0)
HOSTS_OF_SERVICES_MAX = 6
TASKS_BESIDE_SERVICES_MAX = 20

# A journal that is lost is made good by labels; what removes the labelled container as well leaves nobody who knows.
# The number of an agent's start is never below the wall clock, so that a lost journal does not lower it: unless the
# clock was set back as well.
NEVER_TOGETHER = (
    ("journal lost", "removed by hand"),
    ("host dies", "removed by hand"),
    ("interruption notice", "removed by hand"),
    ("journal lost", "clock jump"),
    ("journal lost", "clock skew"),
)


@dataclass(frozen=True, slots=True)
class Plan:
    """`strength` between 0 and 1: how often faults strike. `seconds`: how long they do."""

    seed: int
    schedulers: int
    hosts: int
    tasks: int
    seconds: float
    kinds: tuple[str, ...]
    strength: float
    one_way_hosts: bool = False

    # Children of the one array of a story of its own: see big_array. 0 in all others.
    array: int = 0

    def has(self, kind: str) -> bool:
        return kind in self.kinds

    def __str__(self) -> str:
        size = f"{self.schedulers} schedulers, {self.hosts} hosts, {self.tasks} tasks, {self.seconds:.0f} s"
        return f"{size}, strength {self.strength:.2f}, faults: {', '.join(self.kinds) or 'none'}"


def drawn(seed: int, only: tuple[str, ...] | None = None, *, services: bool = False) -> Plan:
    """`only`: these kinds instead of those the seed would draw. `services`: and users who have services."""
    rng = Random(f"plan {seed}")
    schedulers = rng.choice((1, 1, 2, 3))
    hosts = rng.choice((1, 1, 2, 2, 3, 3, 4, 5, rng.randint(6, 20)))
    tasks = round(math.exp(rng.uniform(0.0, math.log(300))))
    count = rng.choice((1, 1, 1, 2, 2, 2, 3, 4, rng.randint(5, 12)))
    kinds = tuple(rng.sample(OLDER, count))
    # Apart, so that what a seed drew before there were these is what it draws now.
    apart = Random(f"newer {seed}")
    kinds = (*kinds, *(kind for kind in NEWER if apart.random() < NEWER_SHARE))
    for one, other in NEVER_TOGETHER:
        if one in kinds and other in kinds:
            kinds = tuple(kind for kind in kinds if kind != other)
    if Random(f"jobs {seed}").random() < JOBS_SHARE:
        kinds = (*kinds, JOBS)
    kinds = kinds if only is None else only
    if services and SERVICES not in kinds:
        kinds = (*kinds, SERVICES)
    has_services = SERVICES in kinds
    spans = SERVICES_SECONDS if has_services else (10.0, 20.0, 30.0, 60.0)
    return Plan(
        seed=seed,
        schedulers=schedulers,
        hosts=min(hosts, HOSTS_OF_SERVICES_MAX) if has_services else hosts,
        tasks=min(tasks, TASKS_BESIDE_SERVICES_MAX) if has_services else tasks,
        seconds=rng.choice(spans) * rng.uniform(0.5, 1.0),
        kinds=kinds,
        strength=rng.uniform(0.1, 1.0),
    )
