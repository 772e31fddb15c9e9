"""How long a step takes while jobs with many different asks wait:
`python -m tests.load.asks [--quick] [--json FILE] [--jobs N]`.

The instances are full and 100,000 jobs wait in one queue. Then a few tasks end and a few jobs are submitted, again and
again, each time until nothing more is left to do; every step counts, by its processor time. Once with jobs that all ask
for the same, once with thousands of different asks, and once where all that waits asks for more than any instance has,
while small jobs pass it: those can never start and hold up nobody. A step is to take no more than 20 ms (p99). The
collector of cycles is governed as in the scheduler: see shoal_scheduler.garbage.
"""

import sys
import time
from collections.abc import Sequence
from random import Random
from typing import Any, NamedTuple

from shoal_scheduler import garbage
from shoal_scheduler.control import inputs as i
from shoal_scheduler.control.batch.job_inputs import SubmitJob
from shoal_scheduler.model.job import Job
from shoal_scheduler.model.job_queue import ComputeEnvironment, JobQueue
from shoal_scheduler.model.task import Task
from shoal_scheduler.state import batch_changes as b
from shoal_scheduler.state.changes import Change

from tests.load.bare import Bare, ended, job_definition
from tests.load.report import arguments, show, store, summary

JOBS, QUICK_JOBS = 100_000, 10_000
HOSTS, HOST_CPU, HOST_MEMORY_MIB = 200, 16 * 1024, 64 * 1024
ENDS_PER_ROUND, SUBMISSIONS_PER_ROUND, ROUNDS = 5, 2, 200
P99_MAX_SECONDS = 0.020


class Size(NamedTuple):
    cpu: int
    memory_mib: int


SMALL = Size(1024, 512)


class Case(NamedTuple):
    name: str
    sizes: Sequence[Size]

    # Jobs that arrive while the others wait.
    arriving: Sequence[Size]


class Run(NamedTuple):
    case: str
    asks: int
    waiting: int
    started: int
    step_seconds: list[float]
    apply_seconds: list[float]


def main() -> None:
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, metavar="N", help=f"that wait (default {JOBS}, {QUICK_JOBS} if quick)")
    options = parser.parse_args()
    garbage.govern()
    jobs = options.jobs or (QUICK_JOBS if options.quick else JOBS)
    runs = [run(case, jobs) for case in cases(different=jobs // 20)]
    report(jobs, runs)
    store(options.json, figures(jobs, runs))
    sys.exit(0 if all(summary(each.step_seconds)["p99"] <= P99_MAX_SECONDS for each in runs) else 1)


def cases(different: int) -> list[Case]:
    rng = Random(1)
    mixed = [Size(rng.randint(100, HOST_CPU), rng.randint(100, HOST_MEMORY_MIB)) for _ in range(different)]
    huge = [Size(HOST_CPU + 1 + number, 100) for number in range(different)]
    return [
        Case("all the same", [Size(HOST_CPU, 100)], [Size(HOST_CPU, 100)]),
        Case("different", mixed, mixed),
        Case("can never start", huge, [SMALL]),
    ]


def run(case: Case, jobs: int) -> Run:
    rng, plane = Random(1), prepared(case)
    for number in range(jobs):
        plane.now += 1
        size = case.sizes[number % len(case.sizes)]
        plane.tables.apply([b.PutJob(job(plane, size))], 1)
    plane.take([])
    garbage.leave_alone()
    live = {task.id: task for task in plane.started}
    plane.seconds.clear()
    plane.apply_seconds.clear()
    started = 0
    for _ in range(ROUNDS):
        plane.now += 1
        over = rng.sample(list(live.values()), min(ENDS_PER_ROUND, len(live)))
        for task in over:
            del live[task.id]
        plane.started.clear()
        plane.take([*map(ended, over), *(submission(rng.choice(case.arriving)) for _ in range(SUBMISSIONS_PER_ROUND))])
        fresh = [task for task in plane.started if is_live(plane, task)]
        live.update((task.id, task) for task in fresh)
        started += len(fresh)
    waiting = len(plane.tables.batch.waiting["queue"])
    return Run(case.name, len(case.sizes), waiting, started, plane.seconds, plane.apply_seconds)


def is_live(plane: Bare, task: Task) -> bool:
    found = plane.tables.task(task.key)
    return found is not None and not found.is_stopped


def prepared(case: Case) -> Bare:
    plane = Bare(time.process_time)
    hosts = [
        i.AgentHello("default", f"{number:032x}", 1, f"host-{number}", HOST_CPU, HOST_MEMORY_MIB)
        for number in range(HOSTS)
    ]
    plane.take([i.PutClusterDocument("default", {}, create=True), *hosts])
    changes: list[Change] = [
        b.PutComputeEnvironment(ComputeEnvironment(name="hosts", created_at=0)),
        b.PutJobQueue(JobQueue(name="queue", created_at=0, environments=("hosts",))),
    ]
    for size in dict.fromkeys((*case.sizes, *case.arriving)):
        changes += job_definition(name_of(size), *size)
    plane.take([], changes)
    return plane


def name_of(size: Size) -> str:
    return f"cpu-{size.cpu}-memory-{size.memory_mib}"


def job(plane: Bare, size: Size) -> Job:
    name = f"{name_of(size)}:1"
    return Job(id=plane.ids.job_id(), name="job", queue="queue", definition=name, created_at=plane.now)


def submission(size: Size) -> SubmitJob:
    return SubmitJob({"jobName": "job", "jobQueue": "queue", "jobDefinition": f"{name_of(size)}:1"})


def report(jobs: int, runs: Sequence[Run]) -> None:
    rows: list[tuple[object, ...]] = []
    for each in runs:
        steps, applies = summary(each.step_seconds), summary(each.apply_seconds)
        told = [1000 * steps["p50"], 1000 * steps["p99"], 1000 * steps["max"], 1000 * applies["p99"]]
        rows.append((each.case, each.asks, each.waiting, len(each.step_seconds), each.started, *told))
    show(
        f"{jobs} jobs wait for {HOSTS} instances; processor time in ms",
        ("", "asks", "waiting", "steps", "started", "step p50", "p99", "max", "made true p99"),
        rows,
    )


def figures(jobs: int, runs: Sequence[Run]) -> dict[str, Any]:
    return {
        "jobs": jobs,
        "hosts": HOSTS,
        "cases": {
            each.case: {
                "asks": each.asks,
                "waiting": each.waiting,
                "started": each.started,
                "step_seconds": summary(each.step_seconds),
                "apply_seconds": summary(each.apply_seconds),
            }
            for each in runs
        },
    }


if __name__ == "__main__":
    main()
