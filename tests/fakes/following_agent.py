"""Simulated agents that find the leader again whenever a session ends, and a witness of what they started.

witness = Witness()
async with FollowingAgent(plane.endpoints, credentials, "a" * 32, witness) as agent: ...
assert not witness.doubled
"""

import asyncio
import contextlib
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import grpc
from shoal import rpc
from shoal.v1 import agent_pb2 as pb

from tests.fakes.agent import Life, SimulatedAgent, runs

RETRY_SECONDS = (0.05, 0.25)
WELCOME_SECONDS = 5.0


@dataclass
class Witness:
    """Knows of all agents that share it: who started which task, which epochs and fences they were told."""

    starts: dict[str, list[str]] = field(default_factory=dict)
    fences: dict[str, int] = field(default_factory=dict)
    epochs: list[int] = field(default_factory=list)

    @property
    def doubled(self) -> dict[str, list[str]]:
        """Tasks that were started more than once, and by whom."""
        return {task: agents for task, agents in self.starts.items() if len(agents) > 1}

    def start(self, assignment: pb.Assignment, agent: str) -> None:
        self.starts.setdefault(assignment.task_id, []).append(agent)
        self.fences[assignment.task_id] = assignment.fence


class FollowingAgent:
    """Keeps its tasks from session to session, as a real one does, and obeys no epoch lower than one it has seen."""

    def __init__(
        self,
        endpoints: Sequence[str],
        credentials: rpc.Credentials,
        instance: str,
        witness: Witness,
        life: Life = runs,
        **said: Any,
    ) -> None:
        self.instance = instance
        self.life = life
        self.tasks: dict[str, str] = {}
        self.assignments: dict[str, pb.Assignment] = {}
        self.epoch = 0
        self.sessions = 0
        self._endpoints = endpoints
        self._credentials = credentials
        self._witness = witness
        self._said = said
        self._pending: list[pb.TaskReport] = []
        self._following: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._following = asyncio.create_task(self._follow())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._following is not None
        self._following.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._following

    async def _follow(self) -> None:
        tries = 0
        while True:
            endpoint = self._endpoints[tries % len(self._endpoints)]
            tries += 1
            with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError, AssertionError, TimeoutError):
                async with rpc.open_channel(endpoint, self._credentials) as channel:
                    await self._serve(channel)
            await asyncio.sleep(random.uniform(*RETRY_SECONDS))

    async def _serve(self, channel: grpc.aio.Channel) -> None:
        agent = SimulatedAgent(channel, self.instance, life=self._begin, **self._said)
        agent.tasks, agent.assignments, agent._pending = self.tasks, self.assignments, self._pending
        try:
            await asyncio.wait_for(agent.__aenter__(), WELCOME_SECONDS)
            if agent.welcome.epoch < self.epoch:
                return
            if agent.welcome.epoch > self.epoch:
                self._witness.epochs.append(agent.welcome.epoch)
            self.epoch = agent.welcome.epoch
            self.sessions += 1
            await asyncio.wait(agent._running, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._pending = agent._pending
            await agent.__aexit__(None, None, None)

    def _begin(self, assignment: pb.Assignment) -> Sequence[pb.TaskReport]:
        self._witness.start(assignment, self.instance)
        return self.life(assignment)
