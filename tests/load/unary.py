"""RunTask(count=1) from many callers, in turns with an empty call through the same door.

Twice: while agents take what is placed and its start takes longer than the call, and with every task reported RUNNING
at once, which is three more messages to and from the agents for each call.
"""

import asyncio
import random
import statistics
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.ground.certificates import Certificates
from tests.load import mix
from tests.load.agents import Fleet, fleet
from tests.load.callers import CALLER
from tests.load.report import summary
from tests.load.stack import Meter, between, stack
from tests.load.workers import Worker, worker

CALLERS = 64
PROCESSES = 2

# What is left of one round is over before the next.
PAUSE_SECONDS = 0.5

# In each round, in this order: what is called, and what the agents make of the tasks.
KINDS = {"empty": "never_starts", "assigned": "never_starts", "running": "runs"}


@dataclass(frozen=True, slots=True)
class Size:
    agents: int
    rounds: int
    seconds: float


async def measure(folder: Path, certificates: Certificates, size: Size) -> dict[str, Any]:
    async with stack(folder, certificates) as measured, fleet(measured) as agents, AsyncExitStack() as open_:
        await agents.connect(size.agents)
        definition = await mix.register(measured.cluster, mix.definition("unary", random.Random(3)))
        certificates.files("operator", CALLER)  # made once, not by each process
        arguments = (measured.address, str(certificates.folder))
        callers = [await open_.enter_async_context(worker("tests.load.callers", *arguments)) for _ in range(PROCESSES)]
        meter = Meter(measured, **agents.pids, **{f"callers{n}": each.pid for n, each in enumerate(callers)})
        rounds = _Rounds(agents, callers, meter, definition)
        for kind in KINDS:
            await rounds.one(kind, size.seconds / 2)
        parts: dict[str, list[dict[str, Any]]] = {kind: [] for kind in KINDS}
        for _ in range(size.rounds):
            for kind, found in parts.items():
                found.append(await rounds.one(kind, size.seconds))
    figures = {kind: _joined(found) for kind, found in parts.items()}
    empty = figures["empty"]["per_second"]
    return {
        "agents": size.agents,
        "ratio": figures["assigned"]["per_second"] / empty,
        "ratio_running": figures["running"]["per_second"] / empty,
        **figures,
    }


@dataclass(frozen=True, slots=True)
class _Rounds:
    agents: Fleet
    callers: list[Worker]
    meter: Meter
    definition: str

    async def one(self, kind: str, seconds: float) -> dict[str, Any]:
        await self.agents.live(KINDS[kind])
        await self.agents.take_steps()
        what = {"do": "nothing"} if kind == "empty" else {"do": "run_tasks", "definition": self.definition}
        first = await self.meter.read()
        share = CALLERS // len(self.callers)
        asked = [each.ask(**what, callers=share, seconds=seconds) for each in self.callers]
        taken_ms = [taken for part in await asyncio.gather(*asked) for taken in part]
        used = between(first, await self.meter.read(), len(taken_ms))
        await asyncio.sleep(PAUSE_SECONDS)
        steps = await self.agents.take_steps()
        return {"per_second": len(taken_ms) / seconds, "taken_ms": taken_ms, "used": used, "steps": steps}


def _joined(rounds: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The median round's rate, every call's time, the last round's costs."""
    steps = [tasks for each in rounds for tasks in each["steps"]]
    return {
        "per_second": statistics.median(each["per_second"] for each in rounds),
        "rounds_per_second": [each["per_second"] for each in rounds],
        "ms": summary([taken for each in rounds for taken in each["taken_ms"]]),
        "tasks_per_step": summary(steps or [0]),
        "used": rounds[-1]["used"],
    }
