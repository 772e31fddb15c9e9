"""What it costs to know who holds which images: `python -m tests.load.images [--quick] [--json FILE]`.

Instances with 50 images each, of a set that they have in common, or of their own but for base layers. Each report goes
the way of a real one: from its message through the checks and a step into the tables. Then what a change costs, and an
ask that has to find out anew where its images are; beside it the same ask where nothing is known of images.
"""

import asyncio
import gc
import statistics
import time
from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

import psutil
from shoal.v1 import image_pb2 as pb
from shoal_scheduler.api.image_reports import take
from shoal_scheduler.control import inputs as i
from shoal_scheduler.control_plane import ControlPlane
from shoal_scheduler.model.ask import Ask, Resources, Strategy
from shoal_scheduler.placement.place import place
from shoal_scheduler.state.instance_table import InstanceTable
from shoal_scheduler.state.memory import MemoryCluster, MemoryStore
from shoal_scheduler.state.tables import Tables

from tests.load.report import arguments, percentile, show, store

IMAGES = 50
LAYERS_OF_A_BASE, LAYERS_OF_ITS_OWN = 4, 6
KINDS = {"in common": 500, "of their own": 0}  # how many there are of an image's name; 0: as many as needed


def main() -> None:
    options = arguments(__doc__.splitlines()[0]).parse_args()
    sizes = (1_000,) if options.quick else (1_000, 10_000)
    figures: dict[str, Any] = {}
    rows: list[Sequence[object]] = []
    for size in sizes:
        for kind, different in KINDS.items():
            found = asyncio.run(measured(size, different))
            figures[f"{size}/{kind}"] = found
            rows.append((f"{size:,} x {IMAGES} {kind}", *found.values()))
    columns = (
        "images",
        "MiB",
        "full report ms",
        "change ms",
        "place, anew ms",
        "place ms",
        "without ms",
        "1,000 equal ms",
    )
    show("What is known of images; milliseconds, medians", columns, rows)
    store(options.json, figures)


async def measured(size: int, different: int) -> dict[str, float]:
    tables = Tables()
    cluster = MemoryCluster()
    plane = ControlPlane(tables, MemoryStore(cluster, cluster.elect()), epoch=1)
    running = asyncio.create_task(plane.engine.run())
    await plane.engine.submit(i.PutClusterDocument("default", {}, create=True))
    names = [f"{number:032x}" for number in range(size)]
    await plane.engine.submit_all([hello(name) for name in names])
    images = image_pool(different)
    rng = Random(1)
    gc.collect()
    process = psutil.Process()
    before = process.memory_info().rss
    took = []
    for name in names:
        report = full_report(next(images)) if not different else full_report(rng.sample(next(images), IMAGES))
        report = pb.ImageReport.FromString(report.SerializeToString())
        took.append(await timed(take(plane, name, 1, report)))
    gc.collect()
    after = process.memory_info().rss
    changes = [
        await timed(take(plane, name, 1, pb.ImageReport(images=[image("new", number, [])])))
        for number, name in enumerate(rng.sample(names, 100))
    ]
    room = tables.room("default")
    ask = Ask(Resources(10, 10), "family:web", (), False, (Strategy("spread", "host"),), (), ("image-7:1",))
    figures = {
        "mib": (after - before) / 2**20,
        "full_report_ms": statistics.median(took),
        "change_ms": statistics.median(changes),
        "place_anew_ms": percentile([place_ms(ask, room, anew=True) for _ in range(50)], 0.5),
        "place_ms": percentile([place_ms(ask, room) for _ in range(200)], 0.5),
        "place_without_ms": percentile([place_ms(ask._replace(images=()), room) for _ in range(200)], 0.5),
        "equal_ms": percentile([place_ms(ask, room, count=1_000) for _ in range(20)], 0.5),
    }
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    return figures


def image_pool(different: int) -> Iterator[list[pb.HeldImage]]:
    """For each instance those that it may hold."""
    if different:
        pool = [image("image", number, base(number)) for number in range(different)]
        while True:
            yield pool
    number = 0
    while True:
        yield [image("image", number + each, base(each)) for each in range(IMAGES)]
        number += IMAGES


def base(number: int) -> list[int]:
    return [10**6 * (number % 10) + layer for layer in range(LAYERS_OF_A_BASE)]


def image(name: str, number: int, layers: list[int]) -> pb.HeldImage:
    own = [10**9 + 100 * number + layer for layer in range(LAYERS_OF_ITS_OWN)]
    return pb.HeldImage(
        image_id=f"sha256:{number:064x}",
        image_tags=[f"{name}-{number}:1"],
        image_digests=[f"{name}-{number}@sha256:{number:064x}"],
        image_size_in_bytes=10**8,
        layers=[*layers, *own],
        layer_sizes_in_bytes=[10**7] * (len(layers) + len(own)),
    )


def full_report(images: list[pb.HeldImage]) -> pb.ImageReport:
    return pb.ImageReport(full=True, images=images)


def hello(name: str) -> i.AgentHello:
    return i.AgentHello(cluster="default", instance=name, incarnation=1, hostname="", cpu=10**6, memory_mib=10**6)


async def timed(work: Any) -> float:
    """Milliseconds."""
    began = time.perf_counter()
    await work
    return (time.perf_counter() - began) * 1000


def place_ms(ask: Ask, table: InstanceTable, count: int = 1, *, anew: bool = False) -> float:
    copy, rng = table.copy(), Random(1)
    if anew:
        copy.images._ranks.clear()
    began = time.perf_counter()
    place(ask, count, copy, rng)
    return (time.perf_counter() - began) * 1000


if __name__ == "__main__":
    main()
