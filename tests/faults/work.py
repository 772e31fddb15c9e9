"""Work for a control plane while it is in trouble: simulated agents that run it, a client that never stops asking.

async with at_work(plane) as work:
    await work.until_placed()
    plane.kill(await plane.until_led())
    await work.until_placed()
    await work.settle()                  # nothing acknowledged was lost, nothing was started twice
"""

import asyncio
import contextlib
import itertools
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from shoal import arn, errors
from shoal.client import Client
from shoal.v1 import task_pb2

from tests.fakes.following_agent import FollowingAgent, Witness
from tests.ground import work
from tests.ground.control_plane import ControlPlane
from tests.ground.waiting import wait_until

AGENTS = 3
PERIOD_SECONDS = 0.05
SETTLE_SECONDS = 60.0
DEFINITION = work.definition("sleeper", ["sleep", "600"])


class Work:
    """One task is asked for every 50 ms, in order; the client retries by itself what was surely not done."""

    def __init__(self, client: Client, agents: list[FollowingAgent], witness: Witness, definition: str) -> None:
        self.client = client
        self.agents = agents
        self.witness = witness
        self.definition = definition
        self.placed: list[str] = []
        self.placed_at: list[float] = [time.monotonic()]
        # By code: what callers were told instead, and in which words.
        self.refused: Counter[str] = Counter()
        self.words: dict[str, str] = {}
        self._is_paused = self._asks = False

    @property
    def gap_seconds(self) -> float:
        """The longest time without a placement so far."""
        times = [*self.placed_at, time.monotonic()]
        return max(later - earlier for earlier, later in itertools.pairwise(times))

    def begin_measuring(self) -> None:
        """Gaps count from now on."""
        self.placed_at = [time.monotonic()]

    async def submit(self) -> None:
        while True:
            if not self._is_paused:
                self._asks = True
                await self._ask()
                self._asks = False
            await asyncio.sleep(PERIOD_SECONDS)

    async def pause(self) -> None:
        """Returns when nothing is asked for any more."""
        self._is_paused = True
        await wait_until(lambda: not self._asks, bool, SETTLE_SECONDS, "the last answer")

    def resume(self) -> None:
        self._is_paused = False

    async def until_placed(self, count: int = 1, timeout_seconds: float = 30.0) -> float:
        """Seconds until that many more tasks were placed."""
        began, wanted = time.monotonic(), len(self.placed) + count
        await wait_until(lambda: len(self.placed), lambda number: number >= wanted, timeout_seconds, "tasks are placed")
        return time.monotonic() - began

    async def until_refused(self, code: str, timeout_seconds: float = 30.0) -> str:
        """In which words somebody is refused with that code from now on."""
        before = self.refused[code]
        await wait_until(lambda: self.refused[code], lambda number: number > before, timeout_seconds, f"{code} is told")
        return self.words[code]

    async def settle(self) -> None:
        """Asks for no more. All that was acknowledged runs, and nothing was started twice; raises if that is not so."""
        await self.pause()
        placed = set(self.placed)
        assert len(placed) == len(self.placed)
        await wait_until(
            lambda: placed - self.witness.starts.keys(), lambda lost: not lost, SETTLE_SECONDS, "all of it was started"
        )
        described = await work.describe(self.client, placed)
        assert described.keys() == placed, "acknowledged, and not known any more"
        await work.until_all(self.client, list(placed), "RUNNING", SETTLE_SECONDS)
        assert not self.witness.doubled

    async def _ask(self) -> None:
        request = task_pb2.RunTaskRequest(task_definition=self.definition, count=1)
        try:
            answer = await self.client.cluster.RunTask(request)
        except errors.ShoalError as error:
            self._note(error.code or type(error).__name__, str(error))
            return
        for failure in answer.failures:
            self._note(failure.reason, failure.detail)
        for task in answer.tasks:
            self.placed.append(arn.short(task.task_arn))
            self.placed_at.append(time.monotonic())

    def _note(self, code: str, words: str) -> None:
        self.refused[code] += 1
        self.words[code] = words


@asynccontextmanager
async def at_work(
    plane: ControlPlane,
    timeout_seconds: float = 3.0,
    endpoints: Sequence[str] = (),
    newer_agents: int = 0,
    **said: Any,
) -> AsyncIterator[Work]:
    """With agents connected and the first task placed. timeout_seconds: how long the client keeps trying each call;
    endpoints: where agents look for the leader, by default where the schedulers listen; newer_agents: how many of
    them say more than this version knows."""
    await plane.until_led()
    witness = Witness()
    agents = []
    async with AsyncExitStack() as open_:
        client = await open_.enter_async_context(plane.client(timeout_seconds))
        definition = await work.register(client, DEFINITION)
        for number in range(AGENTS):
            name = f"{number:032x}"
            credentials = plane.certificates.credentials("agent", name)
            room: dict[str, Any] = {"cpu": 1_000_000, "memory_mib": 1_000_000, **said}
            is_newer = number < newer_agents
            agent = FollowingAgent(endpoints or plane.endpoints, credentials, name, witness, is_newer=is_newer, **room)
            agents.append(await open_.enter_async_context(agent))
        await wait_until(lambda: all(agent.sessions for agent in agents), bool, 30.0, "all agents are connected")
        busy = Work(client, agents, witness, definition)
        submitting = asyncio.create_task(busy.submit())
        try:
            await busy.until_placed()
            yield busy
        finally:
            submitting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await submitting
