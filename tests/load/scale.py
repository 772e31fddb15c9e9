"""A million tasks in memory, and steps under churn: `python -m tests.load.scale [--quick] [--json FILE]`.

The state of a scheduler with 1,000,000 running tasks on 10,000 instances, as agents report them (a container id, an
image digest, a published port each), in a process of its own; then tasks end and others take their place. Each step
does all that the scheduler's loop does but the store's round trip: decide, encode, apply, dispatch, note events.

The collector of cycles is governed as in the scheduler: see shoal_scheduler.garbage. Beside it, in the same run and
on the same state, one full collection, which is what a step would wait for if it were not.
"""

import gc
import multiprocessing
import resource
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import psutil
from shoal_scheduler import garbage
from shoal_scheduler.control import inputs as i
from shoal_scheduler.control import retention
from shoal_scheduler.control.context import Context, Limits
from shoal_scheduler.control.step import step
from shoal_scheduler.control_plane import ControlPlane
from shoal_scheduler.engine import RandomIds
from shoal_scheduler.model.ask import Strategy
from shoal_scheduler.model.definition import Definition
from shoal_scheduler.model.task import Binding, ContainerState, Launch, Task
from shoal_scheduler.state import changes as c
from shoal_scheduler.state.memory import MemoryCluster, MemoryStore
from shoal_scheduler.state.tables import Tables
from shoal_scheduler.state.writes import write_of

from tests.load import mixes
from tests.load.report import arguments, line_plot, percentile, show, store

RSS_NEEDED_GIB = 2.5
STEP_P99_NEEDED_MS = 20.0
STEP_MAX_NEEDED_MS = 100.0
STEPS_PER_SECOND = 20
DOCUMENT = {"family": "small", "containerDefinitions": [{"name": "app", "image": "busybox", "cpu": 16, "memory": 32}]}
DIGEST = "sha256:" + "5f" * 32

Figures = dict[str, Any]


def main() -> None:
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--plot", type=Path, metavar="FOLDER", help="write PNG plots there")
    parser.add_argument("--tasks", type=int, help="running tasks (default: 1,000,000)")
    parser.add_argument("--per-launch", type=int, default=1_000, help="tasks of a submission")
    parser.add_argument("--seconds", type=float, help="of churn (default: 600)")
    parser.add_argument("--rate", type=int, default=1_500, help="tasks that end, and that start, a second")
    options = parser.parse_args()
    tasks = options.tasks or (100_000 if options.quick else 1_000_000)
    seconds = options.seconds or (15.0 if options.quick else 600.0)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        figures = pool.apply(measure, (tasks, options.per_launch, seconds, options.rate))
    _report_table(figures)
    if options.plot:
        options.plot.mkdir(parents=True, exist_ok=True)
        line_plot(options.plot / "scale-steps.png", "Longest step of each second, ms", "s", {"step": figures["worst"]})
    store(options.json, figures)


def measure(tasks: int, per_launch: int, seconds: float, rate: int) -> Figures:
    garbage.govern()
    tables = _tables()
    loaded_in = _fill(tables, tasks, per_launch)
    garbage.leave_alone()
    rss = psutil.Process().memory_info().rss
    plane = ControlPlane(tables, MemoryStore(MemoryCluster(), 0), 1)
    durations, worst = _churn(plane, seconds, rate)
    began = time.perf_counter()
    gc.unfreeze()
    gc.collect()
    return {
        "tasks": tasks,
        "instances": len(tables.instances),
        "per_launch": per_launch,
        "fill_seconds": loaded_in,
        "rss_gib": rss / 2**30,
        "rss_after_gib": psutil.Process().memory_info().rss / 2**30,
        "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "steps": len(durations),
        "churn_per_second": rate,
        "step_p50_ms": percentile(durations, 0.5),
        "step_p99_ms": percentile(durations, 0.99),
        "step_max_ms": max(durations),
        "full_collection_ms": (time.perf_counter() - began) * 1000,
        "worst": worst,
    }


def _tables() -> Tables:
    tables = Tables()
    changes: list[c.Change] = []
    for instance in mixes.instances(10_000):
        changes += [c.PutInstance(instance), c.SetSession(instance.id, 1)]
    changes.append(c.PutDefinition(Definition(family="small", revision=1, registered_at=0, document=DOCUMENT)))
    changes.append(c.PutCluster(mixes.CLUSTER))
    tables.apply(changes, 1)
    return tables


def _fill(tables: Tables, tasks: int, per_launch: int) -> float:
    began, rng = time.perf_counter(), Random(1)
    ids = list(tables.instances)
    for number in range(tasks // per_launch):
        launch = Launch(
            id=f"{number:024x}",
            cluster="default",
            definition="small:1",
            created_at=number,
            count=per_launch,
            group="family:small",
        )
        changes: list[c.Change] = [c.PutLaunch(launch)]
        for index in range(per_launch):
            instance = ids[(number * per_launch + index) % len(ids)]
            running = Task(
                launch=launch,
                index=index,
                instance=instance,
                last_status="RUNNING",
                version=2,
                started_at=1_700_000_000_000 + index,
                containers=(_container(rng),),
            )
            changes.append(c.PutTask(running))
        tables.apply(changes, 2 + number)
    return time.perf_counter() - began


def _container(rng: Random) -> ContainerState:
    """As an agent reports it. The digest is one object for all tasks of an image: see api.agent_convert."""
    binding = Binding(80, rng.randrange(32_768, 61_000))
    return ContainerState("app", "RUNNING", f"{rng.getrandbits(256):064x}", None, "", DIGEST, "", (binding,))


def _churn(plane: ControlPlane, seconds: float, rate: int) -> tuple[list[float], list[tuple[float, float]]]:
    """Milliseconds of each step, and the longest of each second."""
    batch = max(1, rate // STEPS_PER_SECOND)
    ending = _tasks_in_order(plane.tables)
    context = Context(1_700_000_000_000, RandomIds(), Random(1), Limits(stopped_tasks_max=100_000))
    durations: list[float] = []
    worst: dict[int, float] = {}
    placed: list[Task] = []
    started = time.perf_counter()
    while (at := time.perf_counter() - started) < seconds:
        inputs: list[i.Input] = [_report(task, "RUNNING") for task in placed]
        inputs += [_report(task, "STOPPED") for task, _ in zip(ending, range(batch), strict=False)]
        inputs.append(i.RunTask("default", "small", batch, strategies=(Strategy("spread", "instanceId"),)))
        began = time.perf_counter()
        placed = []
        while inputs:
            inputs = _one_step(plane, inputs, context, placed)
        took = (time.perf_counter() - began) * 1000
        durations.append(took)
        worst[int(at)] = max(worst.get(int(at), 0.0), took)
        time.sleep(max(0.0, 1 / STEPS_PER_SECOND - took / 1000))
    return durations, [(float(second), took) for second, took in worst.items()]


def _one_step(plane: ControlPlane, inputs: list[i.Input], context: Context, placed: list[Task]) -> list[i.Input]:
    """Decide, encode, apply, tell: what is left for the next step, and what was placed."""
    result = step(plane.tables, inputs, context, retention.expired(plane.tables, context))
    write = write_of(plane.tables, result.changes, secrets.token_hex(4))
    revision = plane.tables.revision + (write is not None)
    plane.tables.apply(result.changes, revision)
    plane.committed(result.changes, revision, context.now)
    for reply in result.replies:
        if isinstance(reply, i.Launched):
            placed += reply.tasks
    return inputs[len(result.replies) :]


def _tasks_in_order(tables: Tables) -> Iterator[Task]:
    """Submission by submission, the oldest first, for ever."""
    while True:
        for launch_id in list(tables.launches):
            entry = tables.launches.get(launch_id)
            if entry is not None and entry.live:
                yield from [task for task in entry.tasks.values() if not task.is_stopped]


def _report(task: Task, status: str) -> i.TaskReport:
    state = _container(Random(task.index)) if status == "RUNNING" else ContainerState("app", "STOPPED", exit_code=0)
    return i.TaskReport(task.instance, 1, task.id, status, (state,), started_at=1_700_000_000_000)


def _report_table(figures: Figures) -> None:
    instances, per_launch = figures["instances"], figures["per_launch"]
    show(
        f"{figures['tasks']:,} running tasks on {instances:,} instances, {per_launch} a submission",
        ("", "figure", "needed"),
        [
            ("memory, GiB", figures["rss_gib"], RSS_NEEDED_GIB),
            ("memory after churn, GiB", figures["rss_after_gib"], RSS_NEEDED_GIB),
            ("filled in, s", figures["fill_seconds"], ""),
        ],
    )
    show(
        f"{figures['steps']:,} steps, {figures['churn_per_second']:,} tasks ending and starting a second, ms",
        ("", "governed", "needed", "one full collection"),
        [
            ("p50", figures["step_p50_ms"], "", ""),
            ("p99", figures["step_p99_ms"], STEP_P99_NEEDED_MS, ""),
            ("max", figures["step_max_ms"], STEP_MAX_NEEDED_MS, figures["full_collection_ms"]),
        ],
    )


if __name__ == "__main__":
    main()
