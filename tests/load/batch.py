"""Batch under load: `python -m tests.load.batch [--quick] [--json FILE] [--only PART,...] [--peer slurm|swarm]`.

  submit   SubmitJob of arrays of 10,000 and of 1,000,000 children, one after the other: until it is acknowledged,
           which is until it is durable. Nothing starts meanwhile.
  noop     an array of no-ops through the whole path: real scheduler, etcd with fsync on a disk, mutual TLS, 200
           agents that speak the real session protocol and say of every task at once that it runs and has ended. No
           containers: it is the scheduler that is measured.
  queued   the step of the scheduler alone, in this process, while 100,000 jobs wait.
  starts   no-op containers on a real engine: bare aiodocker, our agent, our agent with networks kept ready; by turns.

A peer runs its own no-ops on this machine: Slurm starts processes, Swarm containers (a replicated job); neither is what
`noop` measures, and `starts` is what Swarm is to be compared with.
"""

import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.ground.certificates import Certificates
from tests.load import batch_peers, jobs, queued, starts
from tests.load.report import arguments, show, store
from tests.load.workers import run

PARTS = ("submit", "noop", "queued", "starts")
Figures = dict[str, Any]


async def main() -> None:
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--only", default=",".join(PARTS), metavar="PART,...", help="some parts: %(default)s")
    parser.add_argument("--folder", type=Path, default=Path("/var/tmp"), help="on a disk, for etcd: %(default)s")
    parser.add_argument("--peer", choices=batch_peers.NAMES, help="that one as well")
    options = parser.parse_args()
    wanted = options.only.split(",")
    if unknown := sorted(set(wanted) - set(PARTS)):
        parser.error(f"--only: there is no {unknown[0]!r}; there are {', '.join(PARTS)}")
    figures: Figures = {"machine": {"cores": os.cpu_count()}}
    with tempfile.TemporaryDirectory(prefix="shoal-load-", dir=options.folder) as folder:
        for name in wanted:
            certificates = Certificates(Path(folder) / "certificates")
            figures[name] = await _measure(name, Path(folder) / name, certificates, quick=options.quick)
            SHOW[name](figures[name])
        if options.peer:
            figures[options.peer] = await batch_peers.measure(options.peer, Path(folder), quick=options.quick)
            batch_peers.report(options.peer, figures[options.peer])
    store(options.json, figures)


async def _measure(name: str, folder: Path, certificates: Certificates, *, quick: bool) -> Figures:
    folder.mkdir()
    match name:
        case "submit":
            times = 5 if quick else 30
            return await jobs.submissions(folder, certificates, [(10_000, times), (1_000_000, times)])
        case "noop":
            return await jobs.throughput(folder, certificates, 200, 4_000 if quick else 20_000, 1 if quick else 3)
        case "queued":
            return await queued.measure(10_000 if quick else 100_000, 100 if quick else 500)
        case _:
            return await starts.measure(folder, 2 if quick else 7, 24 if quick else 64)


def _show_submit(figures: Figures) -> None:
    rows = [
        (size, each["acknowledged_ms"]["p50"], each["acknowledged_ms"]["max"], int(each["etcd_bytes"]), goal)
        for (size, each), goal in zip(figures.items(), ("<= 250", "<= 1,000"), strict=True)
    ]
    show("SubmitJob, acknowledged, ms", ("children", "p50", "max", "bytes to etcd", "asked of max"), rows)


def _show_noop(figures: Figures) -> None:
    rows = [
        (number, each["seconds"], each["children_per_second"], each["used"]["cores"]["scheduler"], ">= 1,000")
        for number, each in enumerate(figures["rounds"], 1)
    ]
    title = f"An array of {figures['children']} no-ops, {figures['agents']} simulated agents"
    show(title, ("round", "seconds", "children a second", "cores of the scheduler", "asked"), rows)


def _show_queued(figures: Figures) -> None:
    took = figures["step_ms"]
    title = f"A step while {figures['jobs']} jobs wait, ms"
    show(title, ("", "p50", "p99", "max", "asked of p99"), [("shoal", took["p50"], took["p99"], took["max"], "<= 20")])


SHOW: Mapping[str, Callable[[Figures], None]] = {
    "submit": _show_submit,
    "noop": _show_noop,
    "queued": _show_queued,
    "starts": starts.report,
}


if __name__ == "__main__":
    run(main())
