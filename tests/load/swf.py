"""Replays a recorded log of jobs through the scheduler, in virtual time:
`python -m tests.load.swf [FILE] [--quick] [--json FILE] [--plot FILE]`.

Every job of the log is submitted when it was, or 1.2 and 1.5 times as fast, to one queue over one instance with as many
vCPUs as the machine had processors; it starts when the scheduler's own step starts it, and ends after its recorded run
time. It asks for no memory, has no priority, and what it would have said of its run time beforehand is not used.
Beside it runs plain first come, first served with the same bound on overtaking (`tests.load.swf_reference`), and for
the eye the same without overtaking. What counts: utilisation (of processors, from the first arrival to the last end),
at least 1 / 1.05 of the reference's, and mean bounded slowdown (how many times as long as it runs a job is in the
system, run times below 10 s counting as that), at most 1.05 of it. How logs are read: `tests.load.swf_log`.
"""

import statistics
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from heapq import heappop, heappush
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
from shoal_scheduler.control import inputs as i
from shoal_scheduler.control.batch.job_inputs import SubmitJob
from shoal_scheduler.model.job import Job
from shoal_scheduler.model.job_queue import OVERTAKING_MAX, ComputeEnvironment, JobQueue
from shoal_scheduler.model.task import Task
from shoal_scheduler.state import batch_changes as b

from tests.load.bare import Bare, ended, job_definition
from tests.load.report import arguments, show, store
from tests.load.swf_log import Log, LoggedJob, at_load, read
from tests.load.swf_reference import first_come_first_served

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data" / "swf" / "NASA-iPSC-1993-3.1-cln.swf.zip"
LOADS = (1.0, 1.2, 1.5)
QUICK_JOBS = 2_000
SLOWDOWN_BOUND_SECONDS = 10
RATIO_MAX = 1.05
UNITS_PER_VCPU = 1024

# What one instance can have: see `model.ask.AMOUNT_MAX`.
PROCESSORS_MAX = 2**30 // UNITS_PER_VCPU


class Outcome(NamedTuple):
    utilisation: float
    slowdown: float
    wait_seconds: float


class Run(NamedTuple):
    load: float
    ours: Outcome
    reference: Outcome
    in_order: Outcome

    # Jobs that did not start when the reference started them.
    different: int
    seconds: float

    @property
    def passes(self) -> bool:
        return (
            self.ours.utilisation * RATIO_MAX >= self.reference.utilisation
            and self.ours.slowdown <= RATIO_MAX * self.reference.slowdown
        )


def main() -> None:
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("log", type=Path, nargs="?", default=DATA, metavar="FILE", help="a log: .swf, .swf.gz or .zip")
    parser.add_argument("--overtaking", type=int, default=OVERTAKING_MAX, metavar="N", help="the bound of both sides")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw a PNG there")
    options = parser.parse_args()
    log = read(options.log)
    jobs = log.jobs[:QUICK_JOBS] if options.quick else log.jobs
    with ProcessPoolExecutor() as pool:
        runs = list(pool.map(partial(compare, jobs, log.processors, overtaking_max=options.overtaking), LOADS))
    report(log, len(jobs), runs)
    store(options.json, figures(log, len(jobs), runs))
    if options.plot:
        plot(options.plot, log, runs)
    sys.exit(0 if all(run.passes for run in runs) else 1)


def compare(jobs: Sequence[LoggedJob], processors: int, load: float, overtaking_max: int = OVERTAKING_MAX) -> Run:
    arriving = at_load(jobs, load)
    reference = first_come_first_served(arriving, processors, overtaking_max)
    in_order = first_come_first_served(arriving, processors, 0)
    began = time.perf_counter()
    ours = replay(arriving, processors, overtaking_max)
    seconds = time.perf_counter() - began
    return Run(
        load,
        outcome(arriving, ours, processors),
        outcome(arriving, reference, processors),
        outcome(arriving, in_order, processors),
        different=sum(one != other for one, other in zip(ours, reference, strict=True)),
        seconds=seconds,
    )


def outcome(jobs: Sequence[LoggedJob], starts: Sequence[int], processors: int) -> Outcome:
    pairs = list(zip(jobs, starts, strict=True))
    end = max(start + job.run for job, start in pairs)
    used = sum(job.run * job.processors for job in jobs)
    slowdowns = [
        max(1.0, (start - job.submitted + job.run) / max(job.run, SLOWDOWN_BOUND_SECONDS)) for job, start in pairs
    ]
    waits = [start - job.submitted for job, start in pairs]
    utilisation = used / (processors * (end - jobs[0].submitted))
    return Outcome(utilisation, statistics.mean(slowdowns), statistics.mean(waits))


# The run.


def machine(processors: int, sizes: set[int], overtaking_max: int) -> Bare:
    """One instance, one environment, one queue, and a job definition for each number of processors."""
    if processors > PROCESSORS_MAX:
        sys.exit(f"a machine of {processors} processors: an instance has at most {PROCESSORS_MAX}")
    plane = Bare()
    environment = ComputeEnvironment(name="machine", created_at=0)
    queue = JobQueue(name="log", created_at=0, environments=("machine",), overtaking_max=overtaking_max)
    definitions = [change for size in sorted(sizes) for change in job_definition(name_of(size), size * UNITS_PER_VCPU)]
    host = i.AgentHello("default", "machine", 1, "machine", processors * UNITS_PER_VCPU, 1024)
    plane.take([i.PutClusterDocument("default", {}, create=True), host])
    plane.take([], [b.PutComputeEnvironment(environment), b.PutJobQueue(queue), *definitions])
    return plane


def name_of(processors: int) -> str:
    return f"processors-{processors}"


def replay(jobs: Sequence[LoggedJob], processors: int, overtaking_max: int) -> list[int]:
    """When the scheduler starts each of the jobs, in seconds of virtual time."""
    plane = machine(processors, {job.processors for job in jobs}, overtaking_max)
    starts, index_of = [0] * len(jobs), dict[str, int]()
    arrived, ends = 0, list[tuple[int, int, Task]]()
    while ends or arrived < len(jobs):
        now = min([end for end, _, _ in ends[:1]] + [job.submitted for job in jobs[arrived : arrived + 1]])
        plane.now = now * 1000 + 1
        inputs: list[i.Input] = []
        while ends and ends[0][0] == now:
            inputs.append(ended(heappop(ends)[2]))
        first, arrived = arrived, arrived + arriving_at(jobs, arrived, now)
        inputs += [submission(jobs[index]) for index in range(first, arrived)]
        plane.started.clear()
        replies = [reply for reply in plane.take(inputs) if isinstance(reply, Job)]
        index_of.update(zip((job.id for job in replies), range(first, arrived), strict=True))
        for task in plane.started:
            index = index_of[task.launch.started_by]
            starts[index] = now
            heappush(ends, (now + jobs[index].run, index, task))
    return starts


def arriving_at(jobs: Sequence[LoggedJob], first: int, now: int) -> int:
    """How many from this one on arrive now."""
    count = 0
    while first + count < len(jobs) and jobs[first + count].submitted == now:
        count += 1
    return count


def submission(job: LoggedJob) -> SubmitJob:
    definition = f"{name_of(job.processors)}:1"
    return SubmitJob({"jobName": f"job-{job.number}", "jobQueue": "log", "jobDefinition": definition})


# What is told.


def report(log: Log, count: int, runs: Sequence[Run]) -> None:
    rows: list[tuple[object, ...]] = []
    for run in runs:
        sides = (("scheduler", run.ours), ("reference", run.reference), ("no overtaking", run.in_order))
        for name, told in sides:
            seconds: object = run.seconds if told is run.ours else ""
            rows.append((f"{run.load} x, {name}", 100 * told.utilisation, told.slowdown, told.wait_seconds, seconds))
    left_out = ", ".join(f"{number} left out ({reason})" for reason, number in log.left_out.items()) or "none left out"
    show(
        f"{log.name}: {count} of {len(log.jobs)} jobs on {log.processors} processors, {left_out}",
        ("", "utilisation, %", "mean bounded slowdown", "mean wait, s", "took, s"),
        rows,
    )
    for run in runs:
        print(
            f"{run.load} x {'passes' if run.passes else 'FAILS'}: utilisation {_ratio(run, 'utilisation'):.4f} and"
            f" slowdown {_ratio(run, 'slowdown'):.4f} of the reference's; {run.different} jobs started at another time"
        )


def _ratio(run: Run, name: str) -> float:
    ours, theirs = getattr(run.ours, name), getattr(run.reference, name)
    return float(ours / theirs)


def figures(log: Log, count: int, runs: Sequence[Run]) -> dict[str, Any]:
    return {
        "log": log.name,
        "processors": log.processors,
        "jobs": count,
        "left_out": dict(log.left_out),
        "loads": {
            str(run.load): {
                "scheduler": run.ours._asdict(),
                "reference": run.reference._asdict(),
                "no_overtaking": run.in_order._asdict(),
                "different_starts": run.different,
                "replay_seconds": run.seconds,
                "passes": run.passes,
            }
            for run in runs
        },
    }


def plot(path: Path, log: Log, runs: Sequence[Run]) -> None:
    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(11, 4.5))
    sides = (("scheduler", "ours", "#009e73"), ("reference", "reference", "#56b4e9"))
    for position, (name, side, color) in enumerate((*sides, ("no overtaking", "in_order", "#8c8c8c"))):
        at = [number + (position - 1) * 0.27 for number in range(len(runs))]
        for each, measure, scale in ((axes[0], "utilisation", 100), (axes[1], "slowdown", 1)):
            values = [scale * getattr(getattr(run, side), measure) for run in runs]
            each.bar_label(each.bar(at, values, 0.27, label=name, color=color), fmt="%.1f", fontsize=8)
    axes[0].set(title=f"{log.name}, {log.processors} processors", ylabel="utilisation, %", ylim=(0, 100))
    axes[1].set(title="first come, first served, overtaking bounded", ylabel="mean bounded slowdown", yscale="log")
    for each in axes:
        each.set_xticks(range(len(runs)), [f"{run.load} x the load" for run in runs])
        each.grid(axis="y", alpha=0.3)
    axes[0].legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120, bbox_inches="tight")
    pyplot.close(figure)


if __name__ == "__main__":
    main()
