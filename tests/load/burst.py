"""Ten RunTask(count=1000) at once: how fast they are acknowledged, and when every task is at its agent."""

import asyncio
import random
import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shoal.v1 import task_pb2

from tests.ground.certificates import Certificates
from tests.ground.waiting import wait_until
from tests.load import etcd_alone, mix
from tests.load.agents import Fleet, fleet
from tests.load.report import summary
from tests.load.stack import Meter, Stack, between, stack

SUBMISSIONS = 10
COUNT = 1000
PAUSE_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Size:
    agents: int
    rounds: int
    strategy: str = ""


async def measure(folder: Path, certificates: Certificates, size: Size) -> dict[str, Any]:
    async with stack(folder, certificates) as measured, fleet(measured) as agents:
        await agents.connect(size.agents)
        definition = await mix.register(measured.cluster, mix.definition("burst", random.Random(1)))
        meter = Meter(measured, **agents.pids)
        rounds = [await _round(measured, agents, meter, definition, size) for _ in range(size.rounds)]
    used = rounds[-1]["used"]
    transactions = int(used["etcd_transactions"])
    size_bytes = int(used["etcd_bytes_written_per_task"] * SUBMISSIONS * COUNT / max(1, transactions))
    alone = await etcd_alone.commit_seconds(folder, certificates, transactions, size_bytes)
    return {
        "agents": size.agents,
        "strategy": size.strategy or "none",
        "acknowledged_per_second": statistics.median(each["acknowledged_per_second"] for each in rounds),
        "delivered_seconds": statistics.median(each["delivered_seconds"] for each in rounds),
        "delivered_seconds_max": max(each["delivered_seconds"] for each in rounds),
        "running_seconds": statistics.median(each["running_seconds"] for each in rounds),
        "etcd_alone_seconds": alone,
        "rounds": rounds,
    }


async def _round(measured: Stack, agents: Fleet, meter: Meter, definition: str, size: Size) -> dict[str, Any]:
    before, known = await agents.counts(), await agents.launches()

    async def running() -> int:
        return (await agents.counts())["running"]

    def all_run(seen: int) -> bool:
        return seen == before["running"] + SUBMISSIONS * COUNT

    first = await meter.read()
    began = time.monotonic()
    acknowledged = await asyncio.gather(*(_submit(measured, definition, size.strategy) for _ in range(SUBMISSIONS)))
    seconds = time.monotonic() - began
    await wait_until(running, all_run, 60.0, "every task runs")
    used = between(first, await meter.read(), SUBMISSIONS * COUNT)
    launches = [each for launch, each in (await agents.launches()).items() if launch not in known]
    await asyncio.sleep(PAUSE_SECONDS)
    return {
        "acknowledged_per_second": SUBMISSIONS * COUNT / seconds,
        "acknowledged_ms": summary([(at - began) * 1000 for at in acknowledged]),
        "delivered_seconds": max(assigned_at for _, assigned_at, _, _ in launches) - began,
        "running_seconds": max(running_at for _, _, _, running_at in launches) - began,
        "tasks_per_step": summary(await agents.take_steps()),
        "used": used,
    }


async def _submit(measured: Stack, definition: str, strategy: str) -> float:
    """When it was acknowledged."""
    kind, _, field = strategy.partition(":")
    wanted = [task_pb2.PlacementStrategy(type=kind, field=field or None)] if strategy else []
    request = task_pb2.RunTaskRequest(task_definition=definition, count=COUNT, placement_strategy=wanted)
    answer = await measured.cluster.RunTask(request)
    if answer.failures:
        raise RuntimeError(f"not placed: {answer.failures[0].reason} {answer.failures[0].detail}")
    return time.monotonic()
