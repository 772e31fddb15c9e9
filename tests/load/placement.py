"""How fast the engine of placement is, alone: `python -m tests.load.placement [--quick] [--json FILE] [--plot FOLDER]`.

  single     one ask after another, at 100 to 10,000 instances, by mix; beside the plain reference of the tests
  spread     spread by zone, then binpack memory, an expression of three terms and two ports, at 5,000 instances
  identical  10,000 equal asks over 10,000 instances in one call, by strategy
  step       whole steps of the control plane with their task records: inputs of one task, inputs of many
  filled     one ask after another while up to 1,000,000 tasks run on 10,000 instances

No network, no store. All from one seed.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from shoal_scheduler.control import inputs as i
from shoal_scheduler.control.context import Context, Limits
from shoal_scheduler.control.step import step
from shoal_scheduler.engine import RandomIds
from shoal_scheduler.model.ask import Ask, Strategy
from shoal_scheduler.model.definition import Definition
from shoal_scheduler.placement.place import place
from shoal_scheduler.state import changes as c
from shoal_scheduler.state.instance_table import InstanceTable
from shoal_scheduler.state.tables import Tables

from tests import reference
from tests.load import mixes
from tests.load.report import arguments, line_plot, show, store

Figures = dict[str, Any]

# What is asked for, a second: at 1,000 and at 10,000 instances; for spread; for whole steps. And milliseconds.
SINGLE_NEEDED = {1_000: 60_000, 10_000: 30_000}
SPREAD_NEEDED = 10_000
STEP_NEEDED = 20_000
IDENTICAL_NEEDED_MS = 20.0


def main() -> None:
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--plot", type=Path, metavar="FOLDER", help="write PNG plots there")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    rounds, count = (3, 5_000) if options.quick else (5, 20_000)
    figures: Figures = {
        "single": _single(rounds, count, options.seed, options.quick),
        "spread": _spread(rounds, count, options.seed),
        "identical": _identical(rounds, options.seed),
        "step": _steps(rounds, options.seed),
        "filled": _filled(200_000 if options.quick else 1_000_000, options.seed),
    }
    if options.plot:
        _plot(options.plot, figures)
    store(options.json, figures)


def rate(work: Callable[[], int], rounds: int) -> float:
    """Things done a second, median of the rounds."""
    rates = []
    for _ in range(rounds):
        began = time.perf_counter()
        done = work()
        rates.append(done / (time.perf_counter() - began))
    return statistics.median(rates)


def _one_by_one(empty: InstanceTable, asks: Sequence[Ask], seed: int) -> Callable[[], int]:
    """Counts those that were placed: all of them, or the figure means nothing."""

    def work() -> int:
        table, rng = empty.copy(), Random(seed)
        placed = sum(len(place(ask, 1, table, rng).spots) for ask in asks)
        assert placed == len(asks), f"{placed} of {len(asks)} found room"
        return placed

    return work


def _single(rounds: int, count: int, seed: int, quick: bool) -> Figures:
    figures: Figures = {}
    rows = []
    for size in (1_000, 10_000) if quick else (100, 300, 1_000, 3_000, 5_000, 10_000):
        empty = mixes.table(size, seed)
        for mix in mixes.MIXES:
            # As many as the instances can hold, of GPUs and of what wants an instance of its own.
            fits = min(count, size * 4 if mix.name != "gpu" else size // 4)
            asks = mixes.asks(mix.name, fits, seed=seed)
            ours = rate(_one_by_one(empty, asks, seed), rounds)
            plain = _plain_rate(size, asks[:5], seed)
            figures[f"{mix.name}/{size}"] = {"per_second": ours, "plain_per_second": plain, "ratio": ours / plain}
            needed = SINGLE_NEEDED.get(size) if mix.name == "heterogeneous" else None
            rows.append((mix.name, size, round(ours), needed or "", round(plain), f"{ours / plain:.0f}"))
    show(
        "Placements a second, one ask after another, binpack memory",
        ("mix", "instances", "shoal", "needed", "plain reference", "ratio"),
        rows,
    )
    return figures


def _plain_rate(size: int, asks: Sequence[Ask], seed: int) -> float:
    hosts = [reference.Host.of(instance) for instance in mixes.instances(size, seed)]
    began = time.perf_counter()
    for ask in asks:
        chosen = min(reference.best(ask, hosts))
        next(host for host in hosts if host.instance.id == chosen).take(ask, ())
    return len(asks) / (time.perf_counter() - began)


def _spread(rounds: int, count: int, seed: int) -> Figures:
    empty = mixes.table(5_000, seed)
    asks = mixes.spread_asks(count, seed)
    ours = rate(_one_by_one(empty, asks, seed), rounds)
    plain = _plain_rate(5_000, asks[:5], seed)
    show(
        "Spread by zone, then binpack memory; three terms, two ports; 5,000 instances",
        ("", "a second", "needed", "plain reference", "ratio"),
        [("shoal", round(ours), SPREAD_NEEDED, round(plain), f"{ours / plain:.0f}")],
    )
    return {"per_second": ours, "plain_per_second": plain, "ratio": ours / plain}


IDENTICAL = {
    "no strategy": (),
    "binpack memory": (Strategy("binpack", "memory"),),
    "spread instanceId": (Strategy("spread", "instanceId"),),
    "spread zone, binpack memory": mixes.SPREAD_THEN_BINPACK,
    "spread zone, spread instanceId": (mixes.SPREAD_THEN_BINPACK[0], Strategy("spread", "instanceId")),
}


def _identical(rounds: int, seed: int) -> Figures:
    empty = mixes.table(10_000, seed)
    figures: Figures = {}
    for name, strategies in IDENTICAL.items():
        (ask,) = mixes.asks("identical", 1, strategies, seed)
        at_once = statistics.median(_at_once_ms(ask, empty.copy(), seed) for _ in range(rounds))
        figures[name] = {"milliseconds": at_once, "one_by_one_milliseconds": _one_by_one_ms(ask, empty.copy(), seed)}
    show(
        "10,000 equal asks over 10,000 instances, ms",
        ("strategies", "at once", "needed", "one by one", "ratio"),
        [
            (
                name,
                each["milliseconds"],
                IDENTICAL_NEEDED_MS,
                each["one_by_one_milliseconds"],
                each["one_by_one_milliseconds"] / each["milliseconds"],
            )
            for name, each in figures.items()
        ],
    )
    return figures


def _at_once_ms(ask: Ask, table: InstanceTable, seed: int) -> float:
    began = time.perf_counter()
    placed = place(ask, 10_000, table, Random(seed))
    assert len(placed.spots) == 10_000
    return (time.perf_counter() - began) * 1000


def _one_by_one_ms(ask: Ask, table: InstanceTable, seed: int) -> float:
    """Of a tenth of them, times ten."""
    began, rng = time.perf_counter(), Random(seed)
    for _ in range(1_000):
        place(ask, 1, table, rng)
    return (time.perf_counter() - began) * 10_000


def tables(size: int, seed: int, families: int = mixes.FAMILIES) -> Tables:
    """A cluster with instances and definitions of many sizes, as committed."""
    made = Tables()
    changes: list[c.Change] = [c.PutCluster(mixes.CLUSTER)]
    for instance in mixes.instances(size, seed):
        changes += [c.PutInstance(instance), c.SetSession(instance.id, 1)]
    rng = Random(f"definitions {seed}")
    for number in range(families):
        port = {"containerPort": 80, "hostPort": rng.randrange(20_000, 60_000)}
        container = {
            "name": "app",
            "image": "busybox",
            "cpu": rng.choice((64, 128, 256, 512, 1024)),
            "memory": rng.choice((128, 256, 512, 1024, 2048)),
            "portMappings": [port],
        }
        document = {"family": f"f{number}", "containerDefinitions": [container]}
        changes.append(c.PutDefinition(Definition(family=f"f{number}", revision=1, registered_at=0, document=document)))
    made.apply(changes, 1)
    return made


def run_inputs(inputs: int, count: int, seed: int, families: int = mixes.FAMILIES) -> list[i.Input]:
    rng = Random(f"inputs {seed}")
    return [
        i.RunTask(
            cluster="default",
            definition=f"f{rng.randrange(families)}",
            count=count,
            expressions=(f"attribute:ecs.availability-zone == zone-{rng.randrange(mixes.ZONES)}",),
            strategies=mixes.BINPACK,
        )
        for _ in range(inputs)
    ]


def _steps(rounds: int, seed: int) -> Figures:
    figures: Figures = {}
    rows = []
    for size in (1_000, 10_000):
        made = tables(size, seed)
        for inputs, count in ((80, 1), (80, 10), (40, 100), (10, 1_000)):
            requests = run_inputs(inputs, count, seed)
            context = Context(1_700_000_000_000, RandomIds(), Random(seed), Limits())

            ours = rate(partial(_tasks_placed, made, requests, context), rounds * 4)
            figures[f"{inputs}x{count}/{size}"] = ours
            rows.append((f"{inputs} inputs of {count}", size, round(ours), STEP_NEEDED))
    show("Tasks a second through whole steps", ("inputs", "instances", "tasks/s", "needed"), rows)
    return figures


def _tasks_placed(made: Tables, requests: Sequence[i.Input], context: Context) -> int:
    """By as many steps as it takes; none of them is applied."""
    done, left = 0, list(requests)
    while left:
        result = step(made, left, context)
        left = left[len(result.replies) :]
        done += sum(isinstance(change, c.PutTask) for change in result.changes)
    return done


def _filled(most: int, seed: int) -> Figures:
    """Of small tasks, so that the last million still finds room."""
    table, rng = mixes.table(10_000, seed), Random(seed)
    (small,) = mixes.asks("identical", 1, (Strategy("spread", "instanceId"),), seed)
    small = small._replace(resources=small.resources._replace(cpu=16, memory_mib=32))
    asks = mixes.asks("heterogeneous", 3_000, seed=seed)
    figures: Figures = {}
    placed = 0
    for target in (0, most // 20, most // 10, most // 4, most // 2, most):
        while placed < target:
            placed += len(place(small, min(10_000, target - placed), table, rng).spots)
        figures[str(placed)] = rate(_one_by_one(table, asks, seed), 3)
    show(
        "Placements a second at 10,000 instances while tasks run there (heterogeneous, binpack memory)",
        ("tasks placed", "a second", "needed"),
        [(f"{int(placed_before):,}", round(each), SINGLE_NEEDED[10_000]) for placed_before, each in figures.items()],
    )
    return figures


def _plot(folder: Path, figures: Figures) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    by_mix: dict[str, list[tuple[float, float]]] = {}
    for name, each in figures["single"].items():
        mix, _, size = name.partition("/")
        by_mix.setdefault(mix, []).append((int(size), each["per_second"]))
    line_plot(folder / "placement-instances.png", "Placements a second", "instances", by_mix)
    filled = {"heterogeneous": [(int(placed), each) for placed, each in figures["filled"].items()]}
    line_plot(folder / "placement-filled.png", "Placements a second, 10,000 instances", "tasks that run", filled)


if __name__ == "__main__":
    main()
