"""How fast tasks start, beside the bare engine: `python -m tests.load.launch [--quick] [--json FILE]`.

Two questions, on one host with the image present:

  overhead   one task at a time on an idle cluster: (submit -> its container started) less the time inside engine
             calls, from the trace the agent reports. What is left is ours.
  sustained  many tasks at once: containers started a second through the whole system, and by a bare aiodocker
             loop with the same concurrency; interleaved pairs, medians, ratio.
"""

import asyncio
import statistics
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiodocker
from shoal import arn, awsjson
from shoal.client import Client
from shoal.v1 import task_definition_pb2, task_pb2

from tests.ground.cluster import Cluster
from tests.ground.engine import make_engine
from tests.ground.images import BUSYBOX, import_busybox
from tests.load.report import arguments, show, store, summary

CONCURRENCY = 8
COMMAND = ["sleep", "100000"]
DEFINITION: dict[str, Any] = {
    "family": "launch",
    "networkMode": "bridge",
    "containerDefinitions": [
        {"name": "main", "image": BUSYBOX, "command": COMMAND, "cpu": 1, "memory": 6, "stopTimeout": 2}
    ],
}
POLL_SECONDS = 0.02
TIMEOUT_SECONDS = 300.0


async def main() -> None:
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--tasks", type=int, help="tasks of the overhead run")
    parser.add_argument("--batch", type=int, help="containers of one sustained run")
    parser.add_argument("--pairs", type=int, help="interleaved pairs of sustained runs")
    options = parser.parse_args()
    tasks = options.tasks or (15 if options.quick else 100)
    batch = options.batch or (16 if options.quick else 40)
    pairs = options.pairs or (1 if options.quick else 5)
    async with _ground() as (client, engine):
        await _register(client)
        await _start_and_stop(client, 2)
        overhead = summary([await _overhead_ms(client) for _ in range(tasks)])
        sustained = [(await _bare_rate(engine, batch), await _our_rate(client, batch)) for _ in range(pairs)]
    _report(options.json, overhead, sustained)


@asynccontextmanager
async def _ground() -> AsyncIterator[tuple[Client, aiodocker.Docker]]:
    with tempfile.TemporaryDirectory(prefix="shoal-launch-") as folder:
        engine = make_engine(Path(folder) / "engine")
        engine.start()
        try:
            import_busybox(engine)
            cluster = Cluster(Path(folder) / "cluster", engine.host, engine)
            cluster.up()
            try:
                async with (
                    aiodocker.Docker(url=engine.host) as docker,
                    cluster.client() as client,
                ):
                    yield client, docker
            finally:
                cluster.end()
        finally:
            engine.end()


async def _register(client: Client) -> None:
    request, _ = awsjson.to_message(DEFINITION, task_definition_pb2.RegisterTaskDefinitionRequest)
    await client.cluster.RegisterTaskDefinition(request)


async def _overhead_ms(client: Client) -> float:
    """Of one task: everything between submit and started that no engine call accounts for."""
    submitted_micros = time.time_ns() // 1000
    (task_id,) = await _run(client, 1)
    (task,) = await _running(client, [task_id])
    engine_spans = [span for span in task.trace if span.name.startswith("engine.")]
    start = next(span for span in engine_spans if span.name == "engine.start")
    started_micros = start.start_micros + start.duration_micros
    inside_micros = sum(span.duration_micros for span in engine_spans if span.start_micros <= start.start_micros)
    await _stop(client, [task_id])
    return (started_micros - submitted_micros - inside_micros) / 1000


async def _our_rate(client: Client, count: int) -> float:
    began = time.time_ns() // 1000
    ids = await _run(client, count)
    tasks = await _running(client, ids)
    ended = max(
        span.start_micros + span.duration_micros for task in tasks for span in task.trace if span.name == "engine.start"
    )
    await _stop(client, ids)
    return count / ((ended - began) / 1e6)


async def _bare_rate(docker: aiodocker.Docker, count: int) -> float:
    """The same containers by the engine alone: create and start, as many at once as the agent does."""
    room = asyncio.Semaphore(CONCURRENCY)
    body: dict[str, Any] = {
        "Image": BUSYBOX,
        "Cmd": COMMAND,
        "HostConfig": {
            "NetworkMode": "bridge",
            "CpuShares": 2,
            "Memory": 6 * 1024 * 1024,
            "LogConfig": {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "3"}},
        },
    }

    async def one() -> Any:
        async with room:
            container = await docker.containers.create(body)
            await container.start()
            return container

    began = time.monotonic()
    containers = await asyncio.gather(*(one() for _ in range(count)))
    elapsed = time.monotonic() - began
    for container in containers:
        await container.delete(force=True)
    return count / elapsed


async def _run(client: Client, count: int) -> list[str]:
    answer = await client.cluster.RunTask(task_pb2.RunTaskRequest(task_definition="launch", count=count))
    assert not answer.failures, answer.failures[0]
    return [arn.short(task.task_arn) for task in answer.tasks]


async def _running(client: Client, ids: list[str]) -> list[task_pb2.Task]:
    return await _all_are(client, ids, "RUNNING")


async def _stop(client: Client, ids: list[str]) -> None:
    await asyncio.gather(*(client.cluster.StopTask(task_pb2.StopTaskRequest(task=task_id)) for task_id in ids))
    await _all_are(client, ids, "STOPPED")


async def _all_are(client: Client, ids: list[str], status: str) -> list[task_pb2.Task]:
    """Asked for seldom enough not to be felt."""
    request = task_pb2.DescribeTasksRequest(tasks=ids, include=["TRACE"])
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while True:
            answer = await client.cluster.DescribeTasks(request)
            if all(task.last_status == status for task in answer.tasks):
                return list(answer.tasks)
            ended = [task for task in answer.tasks if task.last_status == "STOPPED" != status]
            assert not ended, ended[0].stopped_reason
            await asyncio.sleep(POLL_SECONDS * min(len(ids), 10))


async def _start_and_stop(client: Client, count: int) -> None:
    """The first start of all pays for caches of the engine and of ours."""
    ids = await _run(client, count)
    await _running(client, ids)
    await _stop(client, ids)


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
        f"Containers started a second, {CONCURRENCY} at once",
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
