"""How long an explanation takes: `python -m tests.load.explain [--quick] [--json FILE]`.

Of asks that fit nowhere, at 1,000 and 10,000 instances: all of it (ExplainPlacement), the sentence of a task that waits
(DescribeTasks, once for all tasks that ask for the same), and a dry run of a thousand tasks that are placed. Beside
it: what the plain reference takes to count the refusals alone.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from random import Random
from typing import Any

from shoal_scheduler.model.ask import Ask, Port, Resources
from shoal_scheduler.placement.choices import choices
from shoal_scheduler.placement.explain import explain, waiting_reason
from shoal_scheduler.placement.place import place
from shoal_scheduler.state.instance_table import InstanceTable

from tests import reference
from tests.load import mixes
from tests.load.report import arguments, show, store
from tests.reference import Host

SIZES = (1_000, 10_000)
TOO_MUCH_MIB = 2**24


def main() -> None:
    options = arguments(__doc__.splitlines()[0]).parse_args()
    rounds = 10 if options.quick else 50
    figures: dict[str, Any] = {}
    rows: list[Sequence[object]] = []
    for size in SIZES:
        table = mixes.table(size)
        hosts = [Host.of(instance) for instance in mixes.instances(size)]
        for name, ask in asks().items():
            plain = median_ms(partial(reference.reasons, ask, hosts), 3)
            whole = median_ms(partial(explain, ask, table), rounds)
            sentence = median_ms(partial(waiting_reason, ask, table), rounds)
            rows.append((name, size, whole, sentence, plain, plain / whole))
            figures[f"{name}/{size}"] = {"explain_ms": whole, "sentence_ms": sentence, "reference_ms": plain}
        dry = median_ms(partial(dry_run, table), max(3, rounds // 10))
        rows.append(("dry run of 1,000", size, dry, "", "", ""))
        figures[f"dry run/{size}"] = {"explain_ms": dry}
    columns = ("ask", "instances", "explain ms", "sentence ms", "refusals by the reference ms", "ratio")
    show("An explanation, median", columns, rows)
    store(options.json, figures)


def asks() -> dict[str, Ask]:
    """None of them fits anywhere."""
    too_much = Resources(256, TOO_MUCH_MIB)
    return {
        "memory": Ask(too_much, "family:same"),
        "memory, port, zone": Ask(
            too_much._replace(ports=(Port("tcp", 8080, 8080),)),
            "family:same",
            ("attribute:ecs.availability-zone == zone-1",),
        ),
        "9 GPUs": Ask(Resources(256, 512, gpus=9), "family:same"),
        "everything": Ask(
            Resources(
                2**20, TOO_MUCH_MIB, 9, ports=(Port("tcp", 22, 22), Port("udp", 80, 90)), custom=(("licence", 2),)
            ),
            "family:same",
            ("attribute:ecs.instance-type =~ x.* or attribute:rack == r9", "not (task:group == family:other)"),
            distinct_instance=True,
            required_attributes=(("ecs.cpu-architecture", "arm64"),),
        ),
    }


def dry_run(table: InstanceTable) -> None:
    (ask,) = mixes.asks("identical", 1)
    spots = place(ask, 1_000, table.copy(), Random(1)).spots
    choices(ask, spots, table.copy())


def median_ms(work: Callable[[], object], rounds: int) -> float:
    return statistics.median(_times_ms(work, rounds))


def _times_ms(work: Callable[[], object], rounds: int) -> Sequence[float]:
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        times.append((time.perf_counter() - began) * 1000)
    return times


if __name__ == "__main__":
    main()
