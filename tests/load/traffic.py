"""A service under constant load while everything happens to it: `python -m tests.load.traffic [--quick] [--json FILE]`.

Six replicas of nginx on three hosts, each host with an engine and an agent of its own in a network namespace; two
schedulers, etcd, the registry, the ingress with Traefik. Half of the requests come over new connections, half over
connections that are kept alive, and none is asked twice. Every transaction of the scheduler's is judged by the events
that anybody can watch: never fewer healthy tasks, never more tasks than the percents allow.

What is planned must fail no request; of what is killed only those may fail that a container was at. Needs root.
"""

import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.ground import engine as engines
from tests.ground import fleet as fleets
from tests.ground import images, nginx, sweep, trials
from tests.ground.engine import Engine
from tests.ground.fleet import Fleet
from tests.ground.served import served
from tests.ground.trials import Done, Trial
from tests.ground.visitors import Visitors
from tests.load.report import arguments, percentile, show, store
from tests.load.workers import run

HOSTS, SCHEDULERS = 3, 2
RATE = 200.0
PLANNED = (trials.rest, trials.deploy, trials.drain, trials.scale_in_and_out)
KILLS = (
    *(trials.kill_container, trials.kill_agent, trials.kill_ingress, trials.kill_leader, trials.kill_etcd),
    *(trials.deploy_while_all_is_killed, trials.lose_host),
)
FAILURES = (trials.crashing, trials.never_healthy, trials.not_existing, trials.registry_dies)
ALL: dict[str, Done] = {each.__name__: each for each in (*PLANNED, *KILLS, *FAILURES)}
# Chance decides when a kill strikes.
REPEATS = {"kill_container": 10, "lose_host": 10, "deploy": 3}
# In figures of the trials, of all repeats.
BOUNDS = {"until_replaced_s": 3.0, "until_elsewhere_s": 20.0}


async def main() -> None:
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--only", metavar="TRIAL,...", help=f"some of {', '.join(ALL)}")
    parser.add_argument("--rate", type=float, default=RATE, help="requests per second: %(default)s")
    options = parser.parse_args()
    names = options.only.split(",") if options.only else [each for each in ALL if not options.quick or is_quick(each)]
    if unknown := sorted(set(names) - set(ALL)):
        parser.error(f"--only: there is no {unknown[0]!r}; there are {', '.join(ALL)}")
    wanted = [name for name in names for _ in range(1 if options.quick else REPEATS.get(name, 1))]
    with ground() as (fleet, engine):
        done, broken, revisions = await _try(fleet, engine, wanted, options.rate)
    figures = _figures(done, broken, revisions, options.rate)
    _show(figures)
    store(options.json, figures)
    if not all(each["holds"] for each in figures["trials"]) or broken:
        sys.exit(1)


def is_quick(name: str) -> bool:
    return ALL[name] in (*PLANNED, *KILLS)


@contextmanager
def ground() -> Iterator[tuple[Fleet, Engine]]:
    """Hosts that are up, and an engine with the base image; nothing is left of it."""
    if lacking := engines.missing() or images.missing(images.WEB):
        sys.exit(lacking)
    # A short path: sockets lie in it.
    folder = Path(tempfile.mkdtemp(prefix="shoal-", dir="/tmp"))
    engine = engines.make_engine(folder / "engine")
    try:
        engine.start()
        images.import_web_images(engine)
        nginx.make_base(engine)
        fleet = fleets.make(folder / "fleet", HOSTS, SCHEDULERS)
        fleet.cluster.up()
        yield fleet, engine
    finally:
        engine.end()
        sweep.sweep(folder)


async def _try(fleet: Fleet, engine: Engine, wanted: Sequence[str], rate: float) -> tuple[list[Trial], list[str], int]:
    """The trials, and what the judge of the percents found."""
    versions = (nginx.FIRST, nginx.SECOND, nginx.CRASHES, nginx.SICK, nginx.HEAVY)
    found = []
    async with served(fleet, engine, *versions) as service, Visitors("127.0.0.1", service.port, rate) as visitors:
        for name in wanted:
            found.append(await trials.run(ALL[name], service, visitors))
            print(f"{name}: {len(found[-1].failed)} of {len(found[-1].visits)} requests failed", file=sys.stderr)
        judge = service.judge
    return found, judge.broken, judge.revisions


def _figures(done: Sequence[Trial], broken: list[str], revisions: int, rate: float) -> dict[str, Any]:
    names = dict.fromkeys(trial.name for trial in done)
    percents = {"transactions": revisions, "broken": broken}
    results = [_result(name, [trial for trial in done if trial.name == name]) for name in names]
    return {"machine": {"cores": os.cpu_count()}, "rate": rate, "percents": percents, "trials": results}


def _result(name: str, repeats: Sequence[Trial]) -> dict[str, Any]:
    """Of all repeats of a trial."""
    measured = dict.fromkeys(figure for trial in repeats for figure in trial.figures)
    figures = {}
    for figure in measured:
        values = [trial.figures[figure] for trial in repeats if figure in trial.figures]
        figures[figure] = {"p50": percentile(values, 0.5), "p99": percentile(values, 0.99)}
    is_served = all(len(trial.failed) <= trial.may_fail for trial in repeats)
    is_in_time = all(figures[figure]["p99"] <= bound for figure, bound in BOUNDS.items() if figure in figures)
    return {
        "name": name,
        "repeats": [trial.document() for trial in repeats],
        "requests": sum(len(trial.visits) for trial in repeats),
        "failed": sum(len(trial.failed) for trial in repeats),
        "may_fail": sum(trial.may_fail for trial in repeats),
        "slowest_ms": max(trial.slowest_ms for trial in repeats),
        "figures": figures,
        "holds": is_served and is_in_time,
    }


def _show(figures: dict[str, Any]) -> None:
    rows = [
        (
            each["name"],
            len(each["repeats"]),
            each["requests"],
            f"{each['failed']} (at most {each['may_fail']})",
            each["slowest_ms"],
            ", ".join(f"{name} {value['p50']:.1f} / {value['p99']:.1f}" for name, value in each["figures"].items()),
            "holds" if each["holds"] else "MISSED",
        )
        for each in figures["trials"]
    ]
    columns = ("", "repeats", "requests", "failed", "slowest ms", "seconds, median / p99", "")
    show(f"6 nginx on {HOSTS} hosts, {figures['rate']:g} requests/s", columns, rows)
    percents = figures["percents"]
    print(f"Percents held after {percents['transactions']} transactions, broken {len(percents['broken'])} times")
    print(*percents["broken"][:20], sep="\n")


if __name__ == "__main__":
    run(main())
