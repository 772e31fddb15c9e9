"""A minute of submissions as fast as their tasks get to run: placed, delivered, and RUNNING committed."""

import asyncio
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shoal.v1 import cluster_pb2, task_pb2

from tests.ground.certificates import Certificates
from tests.ground.waiting import wait_until
from tests.load import etcd_alone, mix
from tests.load.agents import Fleet, fleet
from tests.load.report import summary
from tests.load.stack import Meter, Stack, between, stack

SEED = 20
SUBMITTERS = 32
WARM_UP_SECONDS = 2.0
POLL_SECONDS = 0.1

# Tasks submitted and not yet RUNNING: two seconds' worth of the goal. More would be a queue that hides a slow path.
OUTSTANDING_MAX = 6000


@dataclass(frozen=True, slots=True)
class Size:
    agents: int
    seconds: float


@dataclass(slots=True)
class _Progress:
    """What the submitters and the look-out share."""

    until: float
    requests: Iterator[task_pb2.RunTaskRequest]
    submitted: int = 0
    running: int = 0
    acknowledged_ms: list[float] = field(default_factory=list)

    # When each launch was asked for; how many tasks ran at which time.
    asked_at: dict[str, float] = field(default_factory=dict)
    timeline: list[tuple[float, int]] = field(default_factory=list)


async def measure(folder: Path, certificates: Certificates, size: Size) -> dict[str, Any]:
    async with stack(folder, certificates) as measured, fleet(measured) as agents:
        await agents.connect(size.agents)
        rng = random.Random(SEED)
        requests = mix.submissions(await mix.register_all(measured.cluster, rng), rng)
        meter = Meter(measured, **agents.pids)
        await _load(measured, agents, _Progress(time.monotonic() + WARM_UP_SECONDS, requests))
        await agents.take_steps()
        already, first, began = await agents.counts(), await meter.read(), time.monotonic()
        progress = _Progress(began + size.seconds, requests)
        await _load(measured, agents, progress)
        counts = await agents.counts()
        used = between(first, await meter.read(), progress.submitted)
        await _check(measured, counts["running"])
        launches, steps = await agents.launches(), await agents.take_steps()
    started = {launch: each for launch, each in launches.items() if launch in progress.asked_at}
    in_time = max(running for at, running in progress.timeline if at <= progress.until)
    transactions = int(used["etcd_transactions"])
    size_bytes = int(used["etcd_bytes_written_per_task"] * progress.submitted / max(1, transactions))
    alone = await etcd_alone.commit_seconds(folder, certificates, min(transactions, 500), size_bytes)
    return {
        "agents": size.agents,
        "mix": mix.DESCRIPTION,
        "seconds": size.seconds,
        "running_per_second": in_time / size.seconds,
        "submissions": len(progress.acknowledged_ms),
        "tasks": progress.submitted,
        "acknowledged_ms": summary(progress.acknowledged_ms),
        "delivered_ms": summary([(each[1] - progress.asked_at[launch]) * 1000 for launch, each in started.items()]),
        "running_ms": summary([(each[3] - progress.asked_at[launch]) * 1000 for launch, each in started.items()]),
        "tasks_per_step": summary(steps),
        "messages_per_task": (counts["messages"] - already["messages"]) / progress.submitted,
        "etcd_commits_per_second": transactions / used["seconds"],
        "etcd_alone_commits_per_second": min(transactions, 500) / alone,
        "used": used,
        "timeline": [(at - began, running) for at, running in progress.timeline],
        "latencies": sorted(
            (asked_at - began, (started[launch][3] - asked_at) * 1000) for launch, asked_at in progress.asked_at.items()
        ),
    }


async def _load(measured: Stack, agents: Fleet, progress: _Progress) -> None:
    """Until the time is over and all that was submitted runs."""
    before = (await agents.counts())["running"]
    room = asyncio.Condition()
    looking = asyncio.create_task(_look(agents, progress, before, room))
    try:
        await asyncio.gather(*(_submit(measured, progress, room) for _ in range(SUBMITTERS)))
        await wait_until(lambda: progress.running, lambda running: running == progress.submitted, 60.0, "all run")
    finally:
        looking.cancel()


async def _look(agents: Fleet, progress: _Progress, before: int, room: asyncio.Condition) -> None:
    while True:
        progress.running = (await agents.counts())["running"] - before
        progress.timeline.append((time.monotonic(), progress.running))
        async with room:
            room.notify_all()
        await asyncio.sleep(POLL_SECONDS)


async def _submit(measured: Stack, progress: _Progress, room: asyncio.Condition) -> None:
    while time.monotonic() < progress.until:
        async with room:
            await room.wait_for(lambda: progress.submitted - progress.running < OUTSTANDING_MAX)
        if time.monotonic() >= progress.until:
            return
        request = next(progress.requests)
        progress.submitted += request.count
        began = time.monotonic()
        answer = await measured.cluster.RunTask(request)
        if answer.failures:
            raise RuntimeError(f"not placed: {answer.failures[0].reason} {answer.failures[0].detail}")
        progress.acknowledged_ms.append((time.monotonic() - began) * 1000)
        progress.asked_at[answer.task_id_ranges[0].prefix] = began


async def _check(measured: Stack, running: int) -> None:
    """What the agents counted is what the scheduler says."""
    answer = await measured.cluster.DescribeClusters(cluster_pb2.DescribeClustersRequest())
    said = answer.clusters[0]
    assert (said.running_tasks_count, said.pending_tasks_count) == (running, 0), (running, said)
