"""How long a plan takes for a big cluster: 5,000 instances with 50,000 tasks of services.

    python -m tests.load.rebalance [--instances N] [--tasks N] [--services N]

Planned within two seconds: what is printed as more is too slow for a step of the scheduler.
"""

import argparse
import time
from collections.abc import Callable
from random import Random

from shoal_scheduler.control.rebalance.inputs import Wanted
from shoal_scheduler.control.rebalance.plan import plan
from shoal_scheduler.model.rebalance import EMPTY, INSTANCES_MAX, MOVES_MAX, SPREAD, ZONES, Budget

from tests.populated import CLUSTER, NOW, Populated

SECONDS_MAX = 2.0
ZONES_OF = ("a", "b", "c")
ALL = Budget(MOVES_MAX)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--instances", type=int, default=5_000)
    options.add_argument("--tasks", type=int, default=50_000)
    options.add_argument("--services", type=int, default=1_000)
    given = options.parse_args()
    print(f"{given.instances:,} instances, {given.tasks:,} tasks of {given.services:,} services")
    even = populated(given.instances, given.tasks, given.services, lambda number: number % given.instances)
    chance = Random(1)
    uneven = populated(given.instances, given.tasks, given.services, lambda _: chance.randrange(given.instances))
    named = tuple(sorted(uneven.tables.instances)[:INSTANCES_MAX])
    report("even: nothing to do", even, Wanted(SPREAD, budget=ALL))
    report("by chance: spread", uneven, Wanted(SPREAD, budget=ALL))
    report("over zones alone", uneven, Wanted(ZONES, budget=ALL))
    report(f"{INSTANCES_MAX} instances emptied", uneven, Wanted(EMPTY, named, budget=ALL))
    report("consolidated", uneven, Wanted(EMPTY, budget=ALL))
    for number in range(given.instances // 10):
        even.instance(f"{given.instances + number:032x}", ZONES_OF[number % 3], cpu=1024, memory_mib=2048)
        uneven.instance(f"{given.instances + number:032x}", ZONES_OF[number % 3])
    report("a tenth more join: load", even, Wanted(SPREAD, budget=ALL))
    report("a tenth more join: spread", uneven, Wanted(SPREAD, budget=ALL))


def populated(instances: int, tasks: int, services: int, where: Callable[[int], int]) -> Populated:
    """`where`: on which instance each task is, by their numbers."""
    made, each = Populated(), tasks // services
    for number in range(instances):
        made.instance(f"{number:032x}", ZONES_OF[number % len(ZONES_OF)], cpu=1024, memory_mib=2048)
    for number in range(services):
        made.service(f"s{number}", cpu=64, memory_mib=128, desired_count=each, zone_rebalancing=True)
        for at in range(number * each, (number + 1) * each):
            made.task(f"s{number}", f"{where(at):032x}")
    return made


def report(what: str, made: Populated, wanted: Wanted) -> None:
    plan(made.view, CLUSTER, wanted, NOW)  # what is known of an expression or a column stays known, as in a scheduler
    began = time.perf_counter()
    found = plan(made.view, CLUSTER, wanted, NOW)
    seconds = time.perf_counter() - began
    print(f"{what:25} {seconds:6.3f} s   {len(found.moves):4} moves{'' if seconds < SECONDS_MAX else '   TOO SLOW'}")


if __name__ == "__main__":
    main()
