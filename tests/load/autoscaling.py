"""Target tracking in virtual time: `python -m tests.load.autoscaling [FILE] [--quick] [--json FILE] [--plot FILE]`.

A service whose requests are counted is scaled by the scheduler's own decision, once a minute; its tasks need half a
minute to start, or what is said below. Three loads:

- A recorded day. There is no recorded day of web requests at hand: what is used is when the jobs of a recorded log
  were submitted, by the minute of the day, all its days on top of one another. So the shape of the day and the chance
  from minute to minute are recorded; its height is not, it is drawn so that the busiest quarter of an hour needs
  PEAK_TASKS tasks.
- A step to the tenfold, at each tenth second of a minute and with tasks that start in 10 to 180 seconds. It settles
  within 3 evaluations (the count changes no more after the third datapoint that has the step in it), at most 20 % above
  what is needed. Beside it, and bound to nothing, a processor's load, which is never told beyond 100 %.
- A week: that day seven times, and a synthetic day of a sine with 5 % of noise seven times. It does not flap: no
  scale-in is undone within a quarter of an hour while the load has stayed within 10 % of what it was then.
"""

import math
import sys
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import msgspec
from shoal_scheduler.control.autoscaling.decide import decide
from shoal_scheduler.control.autoscaling.target_tracking import IN_POINTS
from shoal_scheduler.control.autoscaling.votes import Datapoint, Readings
from shoal_scheduler.model.scaling import REQUESTS, ScalableTarget, ScalingPolicy, TargetTracking

from tests.load.report import arguments, show, store
from tests.load.swf import DATA
from tests.load.swf_log import read

DAY_MINUTES, TICK_SECONDS, LATE_SECONDS = 1440, 10, 5
TICKS = 60 // TICK_SECONDS

# Requests a task is to have in a minute.
TARGET = 600.0
PEAK_TASKS, TASKS_MIN, TASKS_MAX = 40, 2, 1_000
START_SECONDS = 30
STEP_FACTOR, STEP_TASKS, STEP_MINUTES = 10, 4, 30
EVALUATIONS_MAX, OVERSHOOT_MAX = 3, 0.2
SATURATED = 2.0


class Minute(NamedTuple):
    """`load`: in tasks at the target; `wanted`: the desired count at its end; `running` on average."""

    load: float
    wanted: int
    running: float

    @property
    def utilisation(self) -> float:
        return self.load / self.running if self.running else 0.0


class Step(NamedTuple):
    offset_seconds: int
    start_seconds: int
    evaluations: int
    overshoot: float
    minutes: list[Minute]


def main() -> None:
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("log", type=Path, nargs="?", default=DATA, metavar="FILE", help="a log: .swf, .swf.gz or .zip")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw a PNG there")
    options = parser.parse_args()
    recorded = recorded_day(options.log)
    days = 2 if options.quick else 7
    weeks = {"recorded": run(recorded * days), "synthetic": run(synthetic_day(Random(1)) * days)}
    steps = [
        step(offset, start)
        for offset in range(0, 60, TICK_SECONDS)
        for start in ((30,) if options.quick else (10, 30, 60, 180))
    ]
    saturating = step(0, START_SECONDS, saturates=True)
    figures = {
        "source": f"submissions of {options.log.name} by the minute of the day",
        "weeks": {name: figures_of(minutes) for name, minutes in weeks.items()},
        "step": {
            "evaluations": max(each.evaluations for each in steps),
            "overshoot": max(each.overshoot for each in steps),
            "saturating_evaluations": saturating.evaluations,
            "saturating_overshoot": saturating.overshoot,
        },
    }
    _show(figures, days)
    store(options.json, figures)
    if options.plot:
        plot(options.plot, weeks["recorded"], steps[0].minutes)
    if failed := list(_failed(figures)):
        sys.exit("; ".join(failed))


def recorded_day(log: Path) -> list[float]:
    """Of each minute the load, in tasks at the target."""
    minutes = Counter(job.submitted % (24 * 3600) // 60 for job in read(log).jobs)
    counts = [minutes[minute] for minute in range(DAY_MINUTES)]
    quarters = [sum(counts[begin : begin + 15]) / 15 for begin in range(0, DAY_MINUTES, 15)]
    return [PEAK_TASKS * count / max(quarters) for count in counts]


def synthetic_day(chance: Random) -> list[float]:
    mean, height = 0.55 * PEAK_TASKS, 0.45 * PEAK_TASKS
    turn = 2 * math.pi / DAY_MINUTES
    return [
        (mean - height * math.cos(turn * minute)) * max(0.0, chance.gauss(1.0, 0.05)) for minute in range(DAY_MINUTES)
    ]


def step(offset_seconds: int, start_seconds: int, *, saturates: bool = False) -> Step:
    """To the tenfold, so many seconds after a minute began."""
    low = 0.9 * STEP_TASKS
    share = offset_seconds / 60
    first = low * (share + STEP_FACTOR * (1 - share))
    load = [low] * STEP_MINUTES + [first] + [low * STEP_FACTOR] * STEP_MINUTES
    minutes = run(load, start_seconds, count=STEP_TASKS, saturates=saturates)
    counts = [minute.wanted for minute in minutes[STEP_MINUTES:]]
    settled = next(number for number, count in enumerate(counts) if count == counts[-1])
    needed = math.ceil(low * STEP_FACTOR)
    return Step(offset_seconds, start_seconds, settled + 1, max(counts) / needed - 1, minutes)


def run(
    load: Sequence[float], start_seconds: int = START_SECONDS, count: int = TASKS_MIN, *, saturates: bool = False
) -> list[Minute]:
    """The load is even within a minute. `count` tasks run at the beginning."""
    target = ScalableTarget(
        cluster="default", service="web", created_at=0, min_capacity=TASKS_MIN, max_capacity=TASKS_MAX
    )
    tracking = TargetTracking(target=TARGET, predefined=REQUESTS)
    policy = ScalingPolicy(cluster="default", service="web", name="requests", created_at=0, tracking=tracking)
    points: list[Datapoint] = []
    minutes: list[Minute] = []
    tasks = [0] * count  # when each of them runs
    for number, wanted in enumerate(load):
        running = sum(sum(at <= 60 * number + tick * TICK_SECONDS for at in tasks) for tick in range(TICKS)) / TICKS
        value = TARGET * (wanted / running) if running else 0.0
        points.append(Datapoint(min(value, TARGET * SATURATED) if saturates else value, running))
        at = 60 * (number + 1) + LATE_SECONDS
        readings = Readings({policy.name: tuple(points[-IN_POINTS:])})
        decided = decide(target, [policy], readings, len(tasks), at * 1000, is_deploying=False)
        target = msgspec.structs.replace(target, scaled=decided.scaled)
        # Those that run the shortest go first.
        tasks = tasks[: decided.capacity] + [at + start_seconds] * (decided.capacity - len(tasks))
        minutes.append(Minute(wanted, len(tasks), running))
    return minutes


def figures_of(minutes: Sequence[Minute]) -> dict[str, Any]:
    counts = [minute.wanted for minute in minutes]
    changes = [after - before for before, after in pairwise(counts) if after != before]
    busy = sorted(minute.utilisation for minute in minutes)
    return {
        "minutes": len(minutes),
        "scale_outs": sum(change > 0 for change in changes),
        "scale_ins": sum(change < 0 for change in changes),
        "flaps": undone(minutes, load_within=0.1),
        "undone_whatever_the_load": undone(minutes, load_within=math.inf),
        "mean_utilisation": sum(minute.load for minute in minutes) / sum(minute.running for minute in minutes),
        "p99_utilisation": busy[int(0.99 * len(busy))],
        "minutes_above_target": sum(value > 1 for value in busy),
        "task_minutes": sum(minute.running for minute in minutes),
        "task_minutes_needed": sum(max(TASKS_MIN, math.ceil(minute.load)) for minute in minutes),
    }


def undone(minutes: Sequence[Minute], load_within: float) -> int:
    """Scale-ins undone within a quarter of an hour, while the load stayed within that share above the most of the
    quarter before."""
    found = 0
    for number in range(1, len(minutes)):
        before = minutes[number - 1].wanted
        if minutes[number].wanted >= before:
            continue
        following = minutes[number + 1 : number + 1 + IN_POINTS]
        usual = max(minute.load for minute in minutes[max(0, number + 1 - IN_POINTS) : number + 1])
        back = next((place for place, minute in enumerate(following) if minute.wanted >= before), None)
        if back is not None and max(minute.load for minute in following[: back + 1]) <= (1 + load_within) * usual:
            found += 1
    return found


def _failed(figures: dict[str, Any]) -> list[str]:
    flapping = [name for name, week in figures["weeks"].items() if week["flaps"]]
    found = [f"the {name} week flaps" for name in flapping]
    if figures["step"]["evaluations"] > EVALUATIONS_MAX:
        found.append(f"the step settles after {figures['step']['evaluations']} evaluations")
    if figures["step"]["overshoot"] > OVERSHOOT_MAX:
        found.append(f"the step is overshot by {figures['step']['overshoot']:.0%}")
    return found


def _show(figures: dict[str, Any], days: int) -> None:
    names = list(figures["weeks"])
    rows = [[key, *(figures["weeks"][name][key] for name in names)] for key in figures["weeks"][names[0]]]
    show(f"{days} days, loads: {figures['source']}; a sine with 5 % of noise", ["", *names], rows)
    show("A step to the tenfold, the worst", ["", ""], [[key, value] for key, value in figures["step"].items()])


def plot(path: Path, week: Sequence[Minute], stepped: Sequence[Minute]) -> None:
    import matplotlib as mpl  # takes a second to import, and only plots need it

    mpl.use("Agg")
    from matplotlib import pyplot

    parts = {
        "a recorded day": week[-DAY_MINUTES:],
        "a step to the tenfold": stepped,
        f"{len(week) // DAY_MINUTES} days": week,
    }
    figure, axes = pyplot.subplots(2, len(parts), figsize=(6 * len(parts), 7), squeeze=False)
    for column, (title, minutes) in enumerate(parts.items()):
        hours = [number / 60 for number in range(len(minutes))]
        upper, lower = axes[0][column], axes[1][column]
        upper.plot(hours, [minute.load for minute in minutes], lw=0.7, label="load, in tasks at the target")
        upper.plot(hours, [minute.wanted for minute in minutes], lw=1.2, label="desired count")
        lower.plot(hours, [minute.utilisation for minute in minutes], lw=0.7, label="utilisation")
        lower.axhline(1.0, linestyle="--", color="tab:red", label="target")
        upper.set(title=title, ylim=(0, None))
        lower.set(xlabel="h", ylim=(0, None))
        for each in (upper, lower):
            each.grid(visible=True, alpha=0.3)
            each.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


if __name__ == "__main__":
    main()
