"""How many tasks a second one host gets through, beside the bare engine: `python -m tests.load.starts [--quick] [--json
FILE]`.

Containers that do nothing: created, started, waited for and removed, on the bridge, as many at once for all three.

  bare    by aiodocker alone
  own     as tasks, by the agent's worker over its engine; each container has a network of its own
  ready   the same, with networks that are kept ready

The three take turns, and what counts are their ratios within a turn.
"""

import asyncio
import signal
import statistics
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiodocker
from shoal_agent.configuration import Configuration
from shoal_agent.engine.docker import DockerEngine
from shoal_agent.networks.namespaces import KernelNamespaces
from shoal_agent.task import Assignment

from tests.ground.engine import Engine, make_engine
from tests.ground.images import BUSYBOX, import_busybox
from tests.load.report import arguments, show, store
from tests.load.sleepers import CONCURRENCY, LOG_DRIVER, LOG_OPTIONS, MEMORY_BYTES, MEMORY_MIB
from tests.unit.agent.rig import Rig

COMMAND = ["true"]
READY_NETWORKS = 2 * CONCURRENCY
OWN_GOAL, READY_GOAL = 0.90, 1.4
TIMEOUT_SECONDS = 300.0
POLL_SECONDS = 0.01


async def compare(
    engine: Engine, folder: Path, turns: int, batch: int, ready_networks: int = READY_NETWORKS
) -> dict[str, Any]:
    """Containers a second, `batch` of them in each of `turns`, and the ratios to the bare engine's. `folder` is for the
    agents' states."""
    rates: list[dict[str, float]] = []
    async with (
        aiodocker.Docker(url=engine.host) as docker,
        _agent(engine, folder / "own", ready_networks=0) as own,
        _agent(engine, folder / "ready", ready_networks=ready_networks) as ready,
    ):
        for number in range(turns + 1):
            turn = {
                "bare": await bare_rate(docker, batch),
                "own": await _rate(own, batch),
                "ready": await _rate(ready, batch),
            }
            if number:  # the first one pays for caches, and makes the networks
                rates.append(turn)
    return {
        "per_second": {name: [turn[name] for turn in rates] for name in ("bare", "own", "ready")},
        "own_ratio": statistics.median(turn["own"] / turn["bare"] for turn in rates),
        "ready_ratio": statistics.median(turn["ready"] / turn["bare"] for turn in rates),
    }


@asynccontextmanager
async def _agent(engine: Engine, folder: Path, ready_networks: int) -> AsyncIterator[Rig]:
    """It removes containers at once, as the bare loop does."""
    rules = Configuration(ready_networks=ready_networks, concurrent_starts=CONCURRENCY, dead_container_keep_seconds=0.0)
    rig = Rig(folder, DockerEngine(engine.host), rules, instance=uuid.uuid4().hex, namespaces=KernelNamespaces())
    await rig.start()
    try:
        yield rig
    finally:
        await rig.crash()
        await rig.engine.close()


async def bare_rate(docker: aiodocker.Docker, count: int) -> float:
    room = asyncio.Semaphore(CONCURRENCY)
    host = {
        "NetworkMode": "bridge",
        "CpuShares": 2,
        "Memory": MEMORY_BYTES,
        "LogConfig": {"Type": LOG_DRIVER, "Config": LOG_OPTIONS},
    }
    body: dict[str, Any] = {"Image": BUSYBOX, "Cmd": COMMAND, "HostConfig": host}

    async def one() -> None:
        async with room:
            container = await docker.containers.create(body)
            await container.start()
            await container.wait()
            await container.delete()

    began = time.monotonic()
    async with asyncio.timeout(TIMEOUT_SECONDS):
        await asyncio.gather(*(one() for _ in range(count)))
    return count / (time.monotonic() - began)


async def _rate(rig: Rig, count: int) -> float:
    """Until nothing is left of the tasks."""
    container = {"name": "main", "image": BUSYBOX, "command": COMMAND, "cpu": 2, "memory": MEMORY_MIB}
    definition = {"family": "no-op", "networkMode": "bridge", "containerDefinitions": [container]}
    ids = [uuid.uuid4().hex for _ in range(count)]
    began = time.monotonic()
    rig.assign(*(Assignment(task_id, definition=definition, definition_arn="no-op:1") for task_id in ids))
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while len(rig.worker):  # noqa: ASYNC110 - the worker tells nobody when it has nothing left
            await asyncio.sleep(POLL_SECONDS)
    elapsed = time.monotonic() - began
    over = {report.task_id: report for report in rig.reports if report.last_status == "STOPPED"}
    failed = [over[task_id] for task_id in ids if over[task_id].containers[0].exit_code != 0]
    assert not failed, failed[0]
    rig.reports.clear()
    return count / elapsed


async def main() -> None:
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, help="turns of all three")
    parser.add_argument("--batch", type=int, help="containers of each turn")
    parser.add_argument("--ready", type=int, default=READY_NETWORKS, metavar="N", help="networks that are kept ready")
    options = parser.parse_args()
    turns = options.turns or (2 if options.quick else 7)
    batch = options.batch or (16 if options.quick else 64)
    whole = asyncio.current_task()
    assert whole is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, whole.cancel)
    with tempfile.TemporaryDirectory(prefix="shoal-load-") as folder:
        figures = await measure(Path(folder), turns, batch, options.ready)
    report(figures)
    store(options.json, figures)


async def measure(folder: Path, turns: int, batch: int, ready_networks: int = READY_NETWORKS) -> dict[str, Any]:
    """With an engine of its own."""
    engine = make_engine(folder / "engine")
    try:
        engine.start()
        import_busybox(engine)
        return await compare(engine, folder, turns, batch, ready_networks)
    finally:
        engine.end()


def report(figures: Mapping[str, Any]) -> None:
    rates = figures["per_second"]
    turns = zip(rates["bare"], rates["own"], rates["ready"], strict=True)
    rows = [(number, *turn, turn[1] / turn[0], turn[2] / turn[0]) for number, turn in enumerate(turns, 1)]
    medians = [statistics.median(rates[name]) for name in ("bare", "own", "ready")]
    show(
        f"No-op containers a second, {CONCURRENCY} at once",
        ("turn", "bare aiodocker", "own network", "ready network", "own / bare", "ready / bare"),
        [
            *rows,
            ("median", *medians, figures["own_ratio"], figures["ready_ratio"]),
            ("goal", "", "", "", f">={OWN_GOAL}", f">={READY_GOAL}"),
        ],
    )


if __name__ == "__main__":
    asyncio.run(main())
