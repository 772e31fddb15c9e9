"""What services cost a step: `python -m tests.load.services [--quick] [--json FILE]`.

With nothing to do; and what it costs to look at all of them, as a new leader does, and at one of which something
changed: of 100 services of 10 tasks each, of 1,000 of 10, and of one of 5,000.
"""

import asyncio
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import msgspec
from shoal_scheduler.control.services import reconcile
from shoal_scheduler.control.step import KEYS_PER_STEP, step
from shoal_scheduler.model.service import SUCCESSFUL, Deployment, Service, ServiceRevision
from shoal_scheduler.state.changes import Change, PutTask
from shoal_scheduler.state.overlay import Overlay
from shoal_scheduler.state.records import PutRecord

from tests.load.report import arguments, show, store
from tests.unit.scheduler.plane import DEFINITION, Plane, instance

SIZES = ((100, 10), (1_000, 10), (1, 5_000))
HOSTS = 100
TINY: dict[str, Any] = {
    **DEFINITION,
    "containerDefinitions": [{**DEFINITION["containerDefinitions"][0], "cpu": 1, "memory": 6}],
}


def main() -> None:
    options = arguments(__doc__.splitlines()[0]).parse_args()
    rounds = 5 if options.quick else 50
    figures, rows = dict[str, Any](), list[Sequence[object]]()
    for services, tasks in SIZES[:1] if options.quick else SIZES:
        plane = asyncio.run(steady(services, tasks))
        keys = sorted(plane.tables.services.live)
        measured = {
            "idle_ms": median_ms(partial(step, plane.tables, [], plane.context), rounds),
            "all_looked_at_ms": median_ms(partial(look_at, plane, keys), rounds),
            "one_looked_at_ms": median_ms(partial(look_at, plane, keys[:1]), rounds),
        }
        rows.append((f"{services} x {tasks}", *measured.values()))
        figures[f"{services}x{tasks}"] = measured
    show("A step, median", ("services x tasks", "nothing to do ms", "all looked at ms", "one looked at ms"), rows)
    store(options.json, figures)


async def steady(services: int, tasks: int) -> Plane:
    """All of their tasks run and are healthy, and that is known."""
    plane = Plane()
    zones = [{"ecs.availability-zone": f"zone-{number % 3}"} for number in range(HOSTS)]
    hosts = [instance(f"i{number}", 100_000, 1_000_000, attributes=zone) for number, zone in enumerate(zones)]
    await plane.prepare(*hosts, document=TINY)
    await plane.run([], [change for number in range(services) for change in service(f"s{number}", tasks)])
    await rest(plane)
    started = [msgspec.structs.replace(task, last_status="RUNNING", started_at=1) for task in plane.tables.tasks()]
    await plane.run([], [PutTask(task) for task in started])
    await rest(plane)
    assert all(each.is_steady for each in plane.tables.records.all(Service)), "the services are not steady"
    return plane


def service(name: str, tasks: int) -> list[Change]:
    """Its deployment is over as soon as its tasks are healthy."""
    names: dict[str, Any] = {"cluster": "default", "service": name}
    return [
        PutRecord(
            Service(cluster="default", name=name, created_at=0, desired_count=tasks, revision="r", deployment="d")
        ),
        PutRecord(ServiceRevision(**names, id="r", created_at=0, definition="web:1", is_resolved=True)),
        PutRecord(Deployment(**names, id="d", revision="r", status=SUCCESSFUL, created_at=0)),
    ]


async def rest(plane: Plane) -> None:
    while plane.tables.is_unsettled:
        await plane.run([])


def look_at(plane: Plane, keys: Sequence[tuple[str, str]]) -> None:
    overlay = Overlay(plane.tables)
    for key in keys:
        reconcile.look(overlay, key, plane.context, KEYS_PER_STEP)
    assert not overlay.touched, "there is nothing to do"


def median_ms(work: Callable[[], object], rounds: int) -> float:
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        times.append((time.perf_counter() - began) * 1000)
    return statistics.median(times)


if __name__ == "__main__":
    main()
