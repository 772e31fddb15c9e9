"""The whole cluster under load: `python -m tests.load.cluster [--quick] [--json FILE] [--plot FOLDER] [--only PART]`.

Real gRPC clients, the scheduler's own process, etcd with fsync on a disk, simulated agents that speak the real session
protocol from other processes, mutual TLS everywhere. Each part has a new, empty cluster:

  burst      ten RunTask(count=1000) at once: acknowledged, then at their agents. Beside it etcd alone with the
             same transactions.
  sustained  submissions of a seeded mix as fast as their tasks get to run. Beside it what etcd alone commits.
  unary      RunTask(count=1) from 64 callers in turns with an empty call through the same door.
  idle       agents that are connected and have nothing to do. Beside it the scheduler without agents.

Clients, agents, etcd and the scheduler share the machine: `cores` says who took what of it.
"""

import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.ground.certificates import Certificates
from tests.load import burst, idle, sustained, unary
from tests.load.report import arguments, show, store
from tests.load.workers import run

PARTS = ("burst", "sustained", "unary", "idle")
Show = Callable[[dict[str, Any]], None]


async def main() -> None:
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--plot", type=Path, metavar="FOLDER", help="draw the figures over time there, as PNG")
    parser.add_argument("--only", default=",".join(PARTS), metavar="PART,...", help="some parts: %(default)s")
    parser.add_argument("--folder", type=Path, default=Path("/var/tmp"), help="on a disk, for etcd: %(default)s")
    options = parser.parse_args()
    wanted = options.only.split(",")
    if unknown := sorted(set(wanted) - set(PARTS)):
        parser.error(f"--only: there is no {unknown[0]!r}; there are {', '.join(PARTS)}")
    figures: dict[str, Any] = {"machine": {"cores": os.cpu_count()}}
    with tempfile.TemporaryDirectory(prefix="shoal-load-", dir=options.folder) as folder:
        for name in wanted:
            certificates = Certificates(Path(folder) / "certificates")
            figures[name] = await _measure(name, Path(folder) / name, certificates, quick=options.quick)
            SHOW[name](figures[name])
    store(options.json, figures)
    if options.plot is not None:
        from tests.load import plots  # a second to import, for those who want pictures

        plots.draw(options.plot, figures)


async def _measure(name: str, folder: Path, certificates: Certificates, *, quick: bool) -> dict[str, Any]:
    folder.mkdir()
    match name:
        case "burst":
            return await burst.measure(folder, certificates, burst.Size(200, 2 if quick else 5))
        case "sustained":
            size = sustained.Size(200, 8.0) if quick else sustained.Size(1000, 60.0)
            return await sustained.measure(folder, certificates, size)
        case "unary":
            return await unary.measure(folder, certificates, unary.Size(50, 2 if quick else 7, 1.0 if quick else 3.0))
        case _:
            return await idle.measure(folder, certificates, idle.Size(500, 4.0) if quick else idle.Size(3000, 60.0))


def _show_burst(figures: dict[str, Any]) -> None:
    rounds, used = figures["rounds"], figures["rounds"][-1]["used"]
    acknowledged, delivered = figures["acknowledged_per_second"], figures["delivered_seconds"]
    show(
        f"Burst: {burst.SUBMISSIONS} RunTask(count={burst.COUNT}) at once, {figures['agents']} agents,"
        f" median of {len(rounds)}",
        ("", "measured", "must"),
        [
            ("acknowledged, tasks/s", acknowledged, at_least(acknowledged, 10_000)),
            ("every assignment at its agent, s", delivered, at_most(delivered, 3.0)),
            ("every task RUNNING and committed, s", figures["running_seconds"], ""),
            ("acknowledged, ms p50 / max", _two(rounds[-1]["acknowledged_ms"], "p50", "max"), ""),
            ("etcd alone, the same transactions, s", figures["etcd_alone_seconds"], ""),
            ("delivered / etcd alone", delivered / figures["etcd_alone_seconds"], ""),
            *_cost(used, rounds[-1]["tasks_per_step"]),
        ],
    )


def _show_sustained(figures: dict[str, Any]) -> None:
    rate = figures["running_per_second"]
    commits, alone = figures["etcd_commits_per_second"], figures["etcd_alone_commits_per_second"]
    show(
        f"Sustained: {figures['seconds']:.0f} s, {figures['agents']} agents\n{figures['mix']}",
        ("", "measured", "must"),
        [
            ("placed, delivered, RUNNING committed, tasks/s", rate, f"{at_least(rate, 1500)}, goal 3000"),
            ("submission acknowledged, ms p50 / p99 / max", _three(figures["acknowledged_ms"]), ""),
            ("submission wholly delivered, ms p50 / p99 / max", _three(figures["delivered_ms"]), ""),
            ("submission wholly RUNNING, ms p50 / p99 / max", _three(figures["running_ms"]), ""),
            ("messages to agents per task", figures["messages_per_task"], ""),
            ("commits/s, here / etcd alone, ratio", f"{commits:.0f} / {alone:.0f}, {commits / alone:.2f}", ""),
            *_cost(figures["used"], figures["tasks_per_step"]),
        ],
    )


def _show_unary(figures: dict[str, Any]) -> None:
    empty, assigned, running = (figures[kind] for kind in unary.KINDS)
    ratio, p99_ms = figures["ratio"], assigned["ms"]["p99"]
    show(
        f"Unary: {unary.CALLERS} callers in {unary.PROCESSES} processes, {figures['agents']} agents",
        ("", "measured", "must"),
        [
            ("RunTask(count=1), assigned to an agent, calls/s", assigned["per_second"], ""),
            ("DescribeControlPlane, calls/s", empty["per_second"], ""),
            ("ratio of medians", ratio, at_least(ratio, 0.45)),
            ("RunTask, ms p50 / p99 / max", _three(assigned["ms"]), f"p99 {at_most(p99_ms, 150)}"),
            ("empty call, ms p50 / p99 / max", _three(empty["ms"]), ""),
            ("RunTask with its task RUNNING at once, calls/s", running["per_second"], ""),
            ("ratio of that", figures["ratio_running"], ""),
            ("ms p50 / p99 / max of that", _three(running["ms"]), ""),
            ("scheduler, us of CPU per empty call", empty["used"]["scheduler_cpu_us_per_task"], ""),
            ("with its task RUNNING", running["used"]["scheduler_cpu_us_per_task"], ""),
            ("cores, empty call", _cores(empty["used"]), ""),
            *_cost(assigned["used"], assigned["tasks_per_step"]),
        ],
    )


def _show_idle(figures: dict[str, Any]) -> None:
    cores = figures["scheduler_cores"]
    show(
        f"Idle: {figures['agents']} connected agents, {figures['seconds']:.0f} s",
        ("", "measured", "must"),
        [
            ("scheduler, cores", cores, at_most(cores, 0.5)),
            ("scheduler without agents, cores", figures["scheduler_cores_without_agents"], ""),
            ("scheduler, MiB", figures["scheduler_rss_mib"], ""),
            ("scheduler without agents, MiB", figures["scheduler_rss_mib_without_agents"], ""),
            ("agents connected per second", figures["connects_per_second"], ""),
            ("cores", _cores(figures["used"]), ""),
        ],
    )


SHOW: Mapping[str, Show] = {
    "burst": _show_burst,
    "sustained": _show_sustained,
    "unary": _show_unary,
    "idle": _show_idle,
}


def _cost(used: dict[str, Any], steps: dict[str, float]) -> list[tuple[str, object, str]]:
    return [
        ("tasks placed in a step, p50 / p99 / max", _three(steps), ""),
        ("etcd transactions", int(used["etcd_transactions"]), ""),
        ("etcd fsync, ms mean", used["etcd_fsync_ms_mean"], ""),
        ("bytes sent to etcd per task", used["etcd_bytes_written_per_task"], ""),
        ("etcd's file grew, bytes per task", used["etcd_database_bytes_per_task"], ""),
        ("scheduler, us of CPU per task", used["scheduler_cpu_us_per_task"], ""),
        ("cores", _cores(used), ""),
        ("MiB", ", ".join(f"{name} {size:.0f}" for name, size in used["rss_mib"].items()), ""),
    ]


def _cores(used: dict[str, Any]) -> str:
    return ", ".join(f"{name} {share:.2f}" for name, share in used["cores"].items())


def _two(values: dict[str, float], first: str, second: str) -> str:
    return f"{values[first]:.1f} / {values[second]:.1f}"


def _three(values: dict[str, float]) -> str:
    return f"{values['p50']:.1f} / {values['p99']:.1f} / {values['max']:.1f}"


def at_least(value: float, bound: float) -> str:
    return f">= {bound:g}: {'holds' if value >= bound else 'MISSED'}"


def at_most(value: float, bound: float) -> str:
    return f"<= {bound:g}: {'holds' if value <= bound else 'MISSED'}"


if __name__ == "__main__":
    run(main())
