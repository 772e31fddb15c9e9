"""How fast tasks start, beside the bare engine: `python -m tests.load.launch [--quick] [--json FILE]`.

Two questions, on one host with the image present:

  overhead   one task at a time on an idle cluster: (submit -> its container started) less the time inside engine
             calls, from the trace the agent reports. What is left is ours.
  sustained  many tasks at once: containers started a second through the whole system, and by a bare aiodocker
             loop with the same concurrency; interleaved pairs, medians, ratio.
"""

import asyncio
import statistics
import time
from pathlib import Path

import aiodocker
from shoal.client import Client

from tests.load import sleepers
from tests.load.report import arguments, show, store, summary

FAMILY = "launch"


async def main() -> None:
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--tasks", type=int, help="tasks of the overhead run")
    parser.add_argument("--batch", type=int, help="containers of one sustained run")
    parser.add_argument("--pairs", type=int, help="interleaved pairs of sustained runs")
    options = parser.parse_args()
    tasks = options.tasks or (15 if options.quick else 100)
    batch = options.batch or (16 if options.quick else 40)
    pairs = options.pairs or (1 if options.quick else 5)
    async with sleepers.ground() as (client, docker, _, _):
        await sleepers.register(client, FAMILY)
        await _start_and_stop(client, 2)
        overhead = summary([await _overhead_ms(client) for _ in range(tasks)])
        sustained = [(await _bare_rate(docker, batch), await _our_rate(client, batch)) for _ in range(pairs)]
    _report(options.json, overhead, sustained)


async def _overhead_ms(client: Client) -> float:
    """Of one task: everything between submit and started that no engine call accounts for."""
    submitted_micros = time.time_ns() // 1000
    (task_id,) = await sleepers.run(client, FAMILY, 1)
    (task,) = await sleepers.all_run(client, [task_id])
    engine_spans = [span for span in task.trace if span.name.startswith("engine.")]
    start = next(span for span in engine_spans if span.name == "engine.start")
    started_micros = start.start_micros + start.duration_micros
    inside_micros = sum(span.duration_micros for span in engine_spans if span.start_micros <= start.start_micros)
    await sleepers.stop(client, [task_id])
    return (started_micros - submitted_micros - inside_micros) / 1000


async def _our_rate(client: Client, count: int) -> float:
    began = time.time_ns() // 1000
    ids = await sleepers.run(client, FAMILY, count)
    tasks = await sleepers.all_run(client, ids)
    ended = max(
        span.start_micros + span.duration_micros for task in tasks for span in task.trace if span.name == "engine.start"
    )
    await sleepers.stop(client, ids)
    return count / ((ended - began) / 1e6)


async def _bare_rate(docker: aiodocker.Docker, count: int) -> float:
    began = time.monotonic()
    containers = await sleepers.start_bare(docker, count)
    elapsed = time.monotonic() - began
    await sleepers.remove(containers)
    return count / elapsed


async def _start_and_stop(client: Client, count: int) -> None:
    """The first start of all pays for caches of the engine and of ours."""
    ids = await sleepers.run(client, FAMILY, count)
    await sleepers.all_run(client, ids)
    await sleepers.stop(client, ids)


def _report(path: Path | None, overhead: dict[str, float], sustained: list[tuple[float, float]]) -> None:
    ratios = [ours / bare for bare, ours in sustained]
    figures = {
        "overhead_ms": overhead,
        "sustained": {
            "bare_per_second": [bare for bare, _ in sustained],
            "shoal_per_second": [ours for _, ours in sustained],
            "ratios": ratios,
            "ratio_median": statistics.median(ratios),
        },
    }
    show(
        "Orchestration overhead of one task, ms (submit -> started, less engine calls)",
        ("", "p50", "p99", "max", "tasks", "goal"),
        [("shoal", overhead["p50"], overhead["p99"], overhead["max"], int(overhead["count"]), "p50<=25 p99<=150")],
    )
    show(
        f"Containers started a second, {sleepers.CONCURRENCY} at once",
        ("pair", "bare aiodocker", "shoal", "ratio"),
        [
            *((number, bare, ours, ours / bare) for number, (bare, ours) in enumerate(sustained, 1)),
            (
                "median",
                statistics.median(bare for bare, _ in sustained),
                statistics.median(ours for _, ours in sustained),
                statistics.median(ratios),
            ),
        ],
    )
    store(path, figures)


if __name__ == "__main__":
    asyncio.run(main())
