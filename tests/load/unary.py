"""RunTask(count=1) from many callers, in turns with an empty call through the same door."""

import asyncio
import random
import statistics
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.ground.certificates import Certificates
from tests.load import mix
from tests.load.agents import fleet
from tests.load.callers import CALLER
from tests.load.report import summary
from tests.load.stack import Meter, between, stack
from tests.load.workers import Worker, worker

CALLERS = 64
PROCESSES = 2


@dataclass(frozen=True, slots=True)
class Size:
    agents: int
    rounds: int
    seconds: float
    life: str = "runs"


async def measure(folder: Path, certificates: Certificates, size: Size) -> dict[str, Any]:
    async with stack(folder, certificates) as measured, fleet(measured) as agents, AsyncExitStack() as open_:
        await agents.connect(size.agents, size.life)
        definition = await mix.register(measured.cluster, mix.definition("unary", random.Random(3)))
        certificates.files("operator", CALLER)  # made once, not by each process
        arguments = (measured.address, str(certificates.folder))
        callers = [await open_.enter_async_context(worker("tests.load.callers", *arguments)) for _ in range(PROCESSES)]
        meter = Meter(measured, **agents.pids, **{f"callers{n}": each.pid for n, each in enumerate(callers)})
        for do in ({"do": "nothing"}, {"do": "run_tasks", "definition": definition}):
            await _calls(callers, size.seconds / 2, **do)
        await agents.take_steps()
        empty, run = [], []
        for _ in range(size.rounds):
            empty.append(await _timed(meter, callers, size.seconds, do="nothing"))
            run.append(await _timed(meter, callers, size.seconds, do="run_tasks", definition=definition))
        steps = await agents.take_steps()
    rates = [[each["per_second"] for each in side] for side in (empty, run)]
    return {
        "agents": size.agents,
        "life": size.life,
        "empty_per_second": statistics.median(rates[0]),
        "run_task_per_second": statistics.median(rates[1]),
        "ratio": statistics.median(rates[1]) / statistics.median(rates[0]),
        "empty_ms": summary([taken for each in empty for taken in each["taken_ms"]]),
        "run_task_ms": summary([taken for each in run for taken in each["taken_ms"]]),
        "tasks_per_step": summary(steps),
        "used_empty": empty[-1]["used"],
        "used_run_task": run[-1]["used"],
        "rounds": [{"empty_per_second": a, "run_task_per_second": b} for a, b in zip(*rates, strict=True)],
    }


async def _timed(meter: Meter, callers: list[Worker], seconds: float, **what: Any) -> dict[str, Any]:
    first = await meter.read()
    taken_ms = await _calls(callers, seconds, **what)
    used = between(first, await meter.read(), len(taken_ms))
    return {"per_second": len(taken_ms) / seconds, "taken_ms": taken_ms, "used": used}


async def _calls(callers: list[Worker], seconds: float, **what: Any) -> list[float]:
    share = CALLERS // len(callers)
    parts = await asyncio.gather(*(each.ask(**what, callers=share, seconds=seconds) for each in callers))
    return [taken for part in parts for taken in part]
