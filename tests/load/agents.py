"""Simulated agents by the hundred: the real session protocol, each with its own certificate and connection.

Runs as a process of its own (see `workers`); `Fleet` is how the benchmark sees all of them.
"""

import asyncio
import gc
import os
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Self

import grpc
from shoal import rpc
from shoal.v1 import agent_pb2 as pb

from tests.fakes.agent import Life, SimulatedAgent, exits_with, never_starts, runs
from tests.ground.certificates import Certificates
from tests.load.stack import Stack
from tests.load.workers import Worker, obey, run, worker

LAUNCH_ID_DIGITS = 24
CONNECTING_AT_ONCE = 32
LIVES: dict[str, Life] = {"runs": runs, "never_starts": never_starts, "ends": exits_with(0, "default")}

# As large as machines come, so that it is never capacity which ends a run.
CPU_UNITS = 448 * 1024
MEMORY_MIB = 12 * 1024 * 1024
ZONES = 3


class Tally:
    """What the agents of this process were told and what of it was acknowledged."""

    def __init__(self) -> None:
        self.assigned = self.running = self.messages = 0

        # How many tasks came with each store revision: those that one step placed.
        self.fences: Counter[int] = Counter()

        # By launch: tasks assigned, when the last came, tasks acknowledged as RUNNING, when the last was.
        self.launches: dict[str, list[float]] = {}

    def assign(self, assignments: Sequence[pb.Assignment]) -> None:
        now = time.monotonic()
        self.assigned += len(assignments)
        for assignment in assignments:
            self.fences[assignment.fence] += 1
            entry = self.launches.setdefault(assignment.task_id[:LAUNCH_ID_DIGITS], [0, 0.0, 0, 0.0])
            entry[0] += 1
            entry[1] = now

    def acknowledge(self, tasks: Sequence[str]) -> None:
        now = time.monotonic()
        self.running += len(tasks)
        for task_id in tasks:
            entry = self.launches[task_id[:LAUNCH_ID_DIGITS]]
            entry[2] += 1
            entry[3] = now


class CountedAgent(SimulatedAgent):
    """Keeps no assignment; counts them."""

    tally: Tally

    async def __aenter__(self) -> Self:
        """When its turn is: the scheduler lets in so many a second."""
        while True:
            try:
                await super().__aenter__()
                break
            except grpc.aio.AioRpcError as error:
                after = rpc.trailer(error, rpc.RETRY_AFTER_KEY)
                if not after:
                    raise
                await asyncio.sleep(int(after) / 1000)
        for task in self._running:
            task.add_done_callback(_say_why_it_ended)
        return self

    def _take(self, message: pb.SchedulerMessage) -> None:
        self.tally.messages += 1
        if message.HasField("assignments"):
            new = message.assignments.assignments
            self.tally.assign(new)
            for assignment in new:
                self._pending.extend(self.life(assignment))
        elif message.HasField("reports_ack"):
            self.tally.acknowledge(self._acknowledge(message.reports_ack.sequence))


def _say_why_it_ended(ended: asyncio.Task[None]) -> None:
    """A session lasts as long as the benchmark: without it the figures would mean nothing."""
    if not ended.cancelled():
        print(f"an agent's session ended: {ended.exception()!r}", file=sys.stderr, flush=True)


class Agents:
    """The commands of the process."""

    def __init__(self, address: str, certificates: Certificates, open_: AsyncExitStack) -> None:
        self._address = address
        self._certificates = certificates
        self._open = open_
        self._agents: list[CountedAgent] = []
        self._tally = Tally()

    async def connect(self, first: int, count: int, life: str) -> float:
        """Answers how many seconds it took until all sessions were open; their certificates are made before."""
        names = [f"{number:032x}" for number in range(first, first + count)]
        credentials = [self._certificates.credentials("agent", name) for name in names]
        began = time.monotonic()
        room = asyncio.Semaphore(CONNECTING_AT_ONCE)

        async def one(number: int) -> None:
            async with room:
                agent = self._agent(names[number], credentials[number], LIVES[life], number % ZONES)
                self._agents.append(await self._open.enter_async_context(agent))

        await asyncio.gather(*(one(number) for number in range(count)))
        gc.collect()
        gc.freeze()
        return time.monotonic() - began

    def _agent(self, name: str, credentials: rpc.Credentials, life: Life, zone: int) -> CountedAgent:
        channel = rpc.open_channel(self._address, credentials)
        attributes = {"zone": f"zone-{zone}"}
        agent = CountedAgent(channel, name, life=life, cpu=CPU_UNITS, memory_mib=MEMORY_MIB, attributes=attributes)
        agent.tally = self._tally
        return agent

    async def live(self, life: str) -> None:
        """What becomes of tasks that are assigned from now on."""
        for agent in self._agents:
            agent.life = LIVES[life]

    async def counts(self) -> dict[str, int]:
        tally = self._tally
        return {"assigned": tally.assigned, "running": tally.running, "messages": tally.messages}

    async def launches(self) -> dict[str, list[float]]:
        return self._tally.launches

    async def take_steps(self) -> list[tuple[int, int]]:
        """Store revisions and the tasks placed at each, since this was asked last."""
        steps = sorted(self._tally.fences.items())
        self._tally.fences.clear()
        return steps


class Fleet:
    """All agents, in one process or several."""

    def __init__(self, workers: Sequence[Worker]) -> None:
        self._workers = workers

    @property
    def pids(self) -> dict[str, int]:
        return {f"agents{number}": each.pid for number, each in enumerate(self._workers)}

    async def connect(self, count: int, life: str = "runs") -> float:
        """Seconds until all are connected."""
        shares = [range(count)[number :: len(self._workers)] for number in range(len(self._workers))]
        first, asked = 0, []
        for each, share in zip(self._workers, shares, strict=True):
            asked.append(each.ask("connect", first=first, count=len(share), life=life))
            first += len(share)
        seconds: list[float] = await asyncio.gather(*asked)
        return max(seconds)

    async def live(self, life: str) -> None:
        await self._all("live", life=life)

    async def counts(self) -> Counter[str]:
        return sum((Counter(each) for each in await self._all("counts")), Counter())

    async def launches(self) -> dict[str, list[float]]:
        """See Tally.launches."""
        joined: dict[str, list[float]] = {}
        for part in await self._all("launches"):
            for launch, (assigned, assigned_at, running, running_at) in part.items():
                known = joined.setdefault(launch, [0, 0.0, 0, 0.0])
                known[0] += assigned
                known[1] = max(known[1], assigned_at)
                known[2] += running
                known[3] = max(known[3], running_at)
        return joined

    async def take_steps(self) -> list[int]:
        """How many tasks each step placed, since this was asked last."""
        steps: Counter[int] = Counter()
        for part in await self._all("take_steps"):
            steps.update(dict(part))
        return [tasks for _, tasks in sorted(steps.items())]

    async def _all(self, do: str, **arguments: Any) -> list[Any]:
        return await asyncio.gather(*(each.ask(do, **arguments) for each in self._workers))


@asynccontextmanager
async def fleet(measured: Stack) -> AsyncIterator[Fleet]:
    """Of no agent yet. Half the machine's cores are for agents, the rest for what is measured."""
    processes = max(1, (os.cpu_count() or 1) // 2)
    async with AsyncExitStack() as stack:
        arguments = (measured.address, str(measured.certificates.folder))
        started = [await stack.enter_async_context(worker(__name__, *arguments)) for _ in range(processes)]
        yield Fleet(started)


async def _main() -> None:
    address, folder = sys.argv[1:]
    async with AsyncExitStack() as open_:
        agents = Agents(address, Certificates(Path(folder)), open_)
        await obey(
            {
                "connect": agents.connect,
                "live": agents.live,
                "counts": agents.counts,
                "launches": agents.launches,
                "take_steps": agents.take_steps,
            }
        )


if __name__ == "__main__":
    run(_main())
