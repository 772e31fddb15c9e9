"""How full a GPU cluster gets, by strategy: `python -m tests.load.packing [--quick] [--json FILE] [--data FOLDER]`.

Tasks of a recorded list arrive one after another and none ends; one that fits nowhere is refused. Arrivals are the
list and as many drawn from it again as ask for 130 % of the cluster's GPUs, shuffled by a seed; then once more in the
list's own order. What counts is the share of all GPUs that is allocated when 100 % and 130 % of demand has arrived.
A list is two CSV files: instances (cpu_milli, memory_mib, gpu, model) and tasks (cpu_milli, memory_mib, num_gpu,
gpu_milli, gpu_spec: models that will do, by "|"). Where there are no GPUs it is the CPU that counts.
"""

import csv
import statistics
import sys
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray
from shoal_scheduler.model.ask import Ask, Resources, Strategy
from shoal_scheduler.model.instance import Instance
from shoal_scheduler.placement.filters import fitting
from shoal_scheduler.placement.place import place
from shoal_scheduler.state.instance_table import InstanceTable
from shoal_scheduler.state.seen import Shape

from tests.load.report import arguments, show, store

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data" / "openb"
DEMAND_PERCENT = 130
SEEDS = 10
STRATEGIES = ("first-fit", "best-fit", "binpack gpu", "fragmentation")
COLORS = {"first-fit": "#8c8c8c", "best-fit": "#e69f00", "binpack gpu": "#56b4e9", "fragmentation": "#009e73"}

# Means of ten seeds at 100 % and 130 %, as published for the list of so many instances and tasks (ATC'23).
PUBLISHED_FOR = (1213, 8152)
PUBLISHED = {
    "Random": (86.3, 87.5),
    "DotProd": (90.6, 90.9),
    "GpuPacking": (91.8, 92.0),
    "BestFit": (92.9, 93.1),
    "FGD": (95.2, 95.4),
}


class Offer(NamedTuple):
    """An instance of the list."""

    cpu: int
    memory_mib: int
    gpus: int
    model: str


class Arrival(NamedTuple):
    shape: Shape
    models: str


class Run(NamedTuple):
    """Allocated share in percent when 0, 1, 2 ... 130 % of demand has arrived, and processor time a placement."""

    curve: list[float]
    microseconds: float


def main() -> None:
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA, metavar="FOLDER", help="the two CSV files of a list")
    parser.add_argument("--seeds", type=int, help=f"shuffles to take the mean of (default {SEEDS}, one if quick)")
    parser.add_argument("--plot", type=Path, metavar="FOLDER", help="draw packing.png there")
    options = parser.parse_args()
    offers, arrivals = read_list(options.data)
    seeds = options.seeds or (1 if options.quick else SEEDS)
    plain = {name: run(name, offers, repeated(offers, arrivals), 0) for name in STRATEGIES}
    shuffled: dict[str, list[Run]] = {name: [] for name in STRATEGIES}
    for seed in range(1, seeds + 1):
        order = inflated(offers, arrivals, seed)
        for name in STRATEGIES:
            shuffled[name].append(run(name, offers, order, seed))
    report(shuffled, plain, len(offers), published=(len(offers), len(arrivals)) == PUBLISHED_FOR)
    store(options.json, figures(shuffled, plain))
    if options.plot:
        plot(options.plot, shuffled)


# The list.


def read_list(folder: Path) -> tuple[list[Offer], list[Arrival]]:
    if not folder.is_dir():
        sys.exit(f"{folder} is not there: --data takes a folder with a CSV file of instances and one of tasks")
    nodes = _rows(folder, "node", {"cpu_milli", "memory_mib", "gpu"})
    pods = _rows(folder, "pod", {"cpu_milli", "memory_mib", "num_gpu", "gpu_milli"})
    offers = [Offer(_int(n["cpu_milli"]), _int(n["memory_mib"]), _int(n["gpu"]), n.get("model") or "") for n in nodes]
    arrivals = [Arrival(_shape(pod), pod.get("gpu_spec") or "") for pod in pods]
    if not _demand(offers, arrivals):
        sys.exit(f"{folder}: the tasks ask for nothing of what is measured (GPUs, or CPU where there are none)")
    return offers, arrivals


def _rows(folder: Path, name: str, columns: set[str]) -> list[dict[str, str]]:
    """The file with these columns; of several, the one with the name."""
    found = []
    for path in sorted(folder.glob("*.csv")):
        with path.open(newline="") as file:
            reader = csv.DictReader(file)
            if columns <= set(reader.fieldnames or ()):
                found.append((path, list(reader)))
    named = [(path, rows) for path, rows in found if name in path.name] or found
    if len(named) != 1:
        sys.exit(f"{folder}: {len(named)} CSV files *{name}* have the columns {sorted(columns)}, want exactly one")
    return named[0][1]


def _int(text: str | None) -> int:
    return int(float(text or 0))


def _shape(pod: dict[str, str]) -> Shape:
    gpus = _int(pod["num_gpu"])
    milli = (_int(pod["gpu_milli"]) or 1000) if gpus else 0
    return Shape(_int(pod["cpu_milli"]), _int(pod["memory_mib"]), gpus, milli)


def _capacity(offers: Sequence[Offer]) -> int:
    return sum(offer.gpus for offer in offers) * 1000 or sum(offer.cpu for offer in offers)


def _weight(offers: Sequence[Offer], shape: Shape) -> int:
    return shape.gpus * shape.gpu_milli if any(offer.gpus for offer in offers) else shape.cpu


def _demand(offers: Sequence[Offer], arrivals: Sequence[Arrival]) -> int:
    by_shape = {shape: _weight(offers, shape) for shape in {arrival.shape for arrival in arrivals}}
    return sum(by_shape[arrival.shape] for arrival in arrivals)


def repeated(offers: Sequence[Offer], arrivals: list[Arrival]) -> list[Arrival]:
    """The list's own order, from the start again until it asks for enough; `run` stops where it does."""
    wanted = _capacity(offers) * DEMAND_PERCENT / 100
    return arrivals * (int(wanted / _demand(offers, arrivals)) + 1)


def inflated(offers: Sequence[Offer], arrivals: list[Arrival], seed: int) -> list[Arrival]:
    rng = Random(seed)
    missing = _capacity(offers) * DEMAND_PERCENT / 100 - _demand(offers, arrivals)
    order = list(arrivals)
    while missing > 0:
        order.append(rng.choice(arrivals))
        missing -= _weight(offers, order[-1].shape)
    rng.shuffle(order)
    return order


# The run.


OURS = {
    "binpack gpu": (Strategy("binpack", "gpu"),),
    "fragmentation": (Strategy("fragmentation"),),
}


class Packed:
    """The scheduler's own table of instances, and where a strategy puts an arrival: ours by the scheduler's own
    placement, the others beside them."""

    def __init__(self, offers: Sequence[Offer], strategy: str, rng: Random) -> None:
        self.strategy, self.rng, self.table = strategy, rng, InstanceTable()
        for number, offer in enumerate(offers):
            self.table.put(_instance(number, offer), connected=True)
        gpu = max(1, int(self.table.gpus.total.sum()))
        self.totals = (max(1, int(self.table.free_cpu.sum())), max(1, int(self.table.free_memory.sum())), gpu)

    def place(self, arrival: Arrival) -> bool:
        """Who found no room waits, and counts among what is asked for."""
        self.table.seen.add(arrival.shape)
        ask = _ask(arrival, OURS.get(self.strategy, ()))
        if self.strategy in OURS:
            return bool(place(ask, 1, self.table, self.rng).spots)
        rows = (fitting(ask, self.table) == 0).nonzero()[0]
        if not len(rows):
            return False
        row = int(rows[0]) if self.strategy == "first-fit" else self._best_fit(rows)
        wanted = ask.resources
        gpus = self.table.gpus.choose(row, wanted.gpus, wanted.gpu_milli) if wanted.gpus else ()
        self.table.take(row, wanted, ask.group, gpus)
        return True

    def _best_fit(self, rows: NDArray[np.intp]) -> int:
        """The least left of everything together, each by its share of the cluster."""
        cpu, memory, gpu = self.totals
        table = self.table
        left = table.free_cpu[rows] / cpu + table.free_memory[rows] / memory + table.gpus.total[rows] / gpu
        return int(self.rng.choice(rows[left == left.min()].tolist()))


def _instance(number: int, offer: Offer) -> Instance:
    return Instance(
        id=f"i-{number}",
        cluster="default",
        registered_at=0,
        cpu=offer.cpu,
        memory_mib=offer.memory_mib,
        gpu_ids=tuple(f"gpu-{gpu}" for gpu in range(offer.gpus)),
        agent_attributes={"model": offer.model},
    )


@cache
def _ask(arrival: Arrival, strategies: tuple[Strategy, ...]) -> Ask:
    shape, models = arrival
    allowed = ", ".join(f"'{model}'" for model in models.split("|"))
    return Ask(
        Resources(shape.cpu, shape.memory_mib, shape.gpus, shape.gpu_milli or 1000),
        expressions=(f"attribute:model in [{allowed}]",) if models else (),
        strategies=strategies,
    )


def run(strategy: str, offers: Sequence[Offer], arrivals: Sequence[Arrival], seed: int) -> Run:
    packed = Packed(offers, strategy, Random(seed))
    weights = {shape: _weight(offers, shape) for shape in {arrival.shape for arrival in arrivals}}
    capacity, arrived, allocated, count = _capacity(offers), 0, 0, 0
    curve: list[float] = []
    began = time.process_time()
    for arrival in arrivals:
        count += 1
        arrived += weights[arrival.shape]
        allocated += weights[arrival.shape] * packed.place(arrival)
        while len(curve) <= DEMAND_PERCENT and arrived * 100 >= capacity * len(curve):
            curve.append(100 * allocated / capacity)
        if len(curve) > DEMAND_PERCENT:
            break
    return Run(curve, (time.process_time() - began) / count * 1e6)


# What is told.


def report(shuffled: dict[str, list[Run]], plain: dict[str, Run], instances: int, *, published: bool) -> None:
    rows: list[tuple[object, ...]] = []
    if published:
        rows += [(f"{name}, published", *_told(means), "", "", "", "", "") for name, means in PUBLISHED.items()]
    for name, runs in shuffled.items():
        at100, at130 = [each.curve[100] for each in runs], [each.curve[DEMAND_PERCENT] for each in runs]
        of_seeds = _told((statistics.mean(at100), statistics.mean(at130), min(at130), max(at130)))
        in_order = _told((plain[name].curve[100], plain[name].curve[DEMAND_PERCENT]))
        rows.append((name, *of_seeds, *in_order, round(statistics.median(each.microseconds for each in runs))))
    print("Share allocated, percent, when 100 % and 130 % of demand has arrived, and processor time a placement")
    show(
        f"{instances} instances; mean of {len(next(iter(shuffled.values())))} shuffles, least and most; list's order",
        ("", "100 %", "130 %", "min", "max", "100 %", "130 %", "µs"),
        rows,
    )
    ours, theirs = (100 - _mean(shuffled[name]) for name in ("fragmentation", "binpack gpu"))
    ratio = f"{ours / theirs:.2f}" if theirs else "all is used"
    print(f"Left idle at 130 %: fragmentation {ours:.2f} % / binpack gpu {theirs:.2f} % = {ratio}")


def _told(percents: Sequence[float]) -> list[str]:
    return [f"{percent:.2f}" for percent in percents]


def _mean(runs: Sequence[Run]) -> float:
    return statistics.mean(each.curve[DEMAND_PERCENT] for each in runs)


def figures(shuffled: dict[str, list[Run]], plain: dict[str, Run]) -> dict[str, Any]:
    def told(each: Run) -> dict[str, float]:
        return {"at_100": each.curve[100], "at_130": each.curve[DEMAND_PERCENT], "microseconds": each.microseconds}

    return {
        name: {
            "shuffled": [told(each) for each in runs],
            "at_100_mean": statistics.mean(each.curve[100] for each in runs),
            "at_130_mean": _mean(runs),
            "in_order": told(plain[name]),
        }
        for name, runs in shuffled.items()
    }


def plot(folder: Path, shuffled: dict[str, list[Run]]) -> None:
    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 5))
    for name, runs in shuffled.items():
        mean = np.mean([each.curve for each in runs], axis=0)
        axes.plot(range(60, DEMAND_PERCENT + 1), mean[60:], label=f"{name} {mean[-1]:.1f} %", color=COLORS[name])
    axes.set(xlabel="demand that has arrived, % of capacity", ylabel="allocated, % of capacity", ylim=(60, 100))
    axes.set_title(f"Nothing departs; mean of {len(runs)} shuffles", loc="left")
    axes.grid(alpha=0.3)
    axes.legend()
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / "packing.png", dpi=120, bbox_inches="tight")


if __name__ == "__main__":
    main()
