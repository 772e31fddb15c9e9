"""Thousands of connected agents with nothing to do: what they cost the scheduler, beside none at all."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.ground.certificates import Certificates
from tests.load.agents import fleet
from tests.load.stack import Meter, between, stack

SETTLE_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Size:
    agents: int
    seconds: float


async def measure(folder: Path, certificates: Certificates, size: Size) -> dict[str, Any]:
    async with stack(folder, certificates) as measured, fleet(measured) as agents:
        meter = Meter(measured, **agents.pids)
        alone = await _used(meter, min(size.seconds, 10.0))
        connected_seconds = await agents.connect(size.agents)
        await asyncio.sleep(SETTLE_SECONDS)
        idle = await _used(meter, size.seconds)
    return {
        "agents": size.agents,
        "seconds": size.seconds,
        "connects_per_second": size.agents / connected_seconds,
        "scheduler_cores": idle["cores"]["scheduler"],
        "scheduler_cores_without_agents": alone["cores"]["scheduler"],
        "scheduler_rss_mib": idle["rss_mib"]["scheduler"],
        "scheduler_rss_mib_without_agents": alone["rss_mib"]["scheduler"],
        "used": idle,
    }


async def _used(meter: Meter, seconds: float) -> dict[str, Any]:
    first = await meter.read()
    await asyncio.sleep(seconds)
    return between(first, await meter.read())
