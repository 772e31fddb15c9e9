"""Simulated agents that find the leader again as real ones do, and a witness of what they started.

witness = Witness()
async with FollowingAgent(plane.endpoints, credentials, "a" * 32, witness) as agent: ...
assert not witness.doubled
"""

import asyncio
import contextlib
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import grpc
from shoal import rpc
from shoal.v1 import agent_pb2 as pb
from shoal_agent.schedulers import Schedulers, Told, told_by
from shoal_agent.session import SETTLED_SECONDS, SILENCE_SECONDS_MIN

from tests.fakes.agent import Life, SimulatedAgent, runs

WELCOME_SECONDS = 5.0
LOOK_SECONDS = 0.5

# A field that nobody here knows, as an agent of a newer version may say one: number 1007, three bytes.
UNKNOWN = b"\xfa\x3e\x03new"


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
        is_newer: bool = False,
        **said: Any,
    ) -> None:
        """is_newer: says fields, and a kind of message, that this version does not know."""
        self._is_newer = is_newer
        self.instance = instance
        self.life = life
        self.tasks: dict[str, str] = {}
        self.assignments: dict[str, pb.Assignment] = {}
        self.epoch = 0
        self.sessions = 0
        self.connected = False
        self._schedulers = Schedulers(endpoints)
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
        outage_since = time.monotonic()
        while True:
            began, told = time.monotonic(), Told()
            try:
                async with rpc.open_channel(self._schedulers.endpoint, self._credentials) as channel:
                    await self._serve(channel)
            except grpc.aio.AioRpcError as error:
                told = told_by(error)
            except (asyncio.InvalidStateError, AssertionError, TimeoutError):
                pass
            self.connected = False
            if (ended := time.monotonic()) - began > SETTLED_SECONDS:
                outage_since = ended
                self._schedulers.settled()
            await asyncio.sleep(self._schedulers.ended(told, ended - outage_since, random.random()))

    async def _serve(self, channel: grpc.aio.Channel) -> None:
        agent = SimulatedAgent(channel, self.instance, life=self._begin, **self._said)
        agent.tasks, agent.assignments, agent._pending = self.tasks, self.assignments, self._pending
        if self._is_newer:
            agent._hello.hello.MergeFromString(UNKNOWN)
        try:
            await asyncio.wait_for(agent.__aenter__(), WELCOME_SECONDS)
            if agent.welcome.epoch < self.epoch:
                return
            if agent.welcome.epoch > self.epoch:
                self._witness.epochs.append(agent.welcome.epoch)
            self.epoch = agent.welcome.epoch
            self.sessions += 1
            if self._is_newer:
                await agent._write(pb.AgentMessage.FromString(UNKNOWN))
            self.connected = True
            while not any(task.done() for task in agent._running):
                await asyncio.wait(agent._running, timeout=LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                if agent.unheard_since and time.monotonic() - agent.unheard_since > SILENCE_SECONDS_MIN:
                    return
            for task in agent._running:
                if task.done():
                    task.result()
        finally:
            await agent.__aexit__(None, None, None)
            self._pending = [*agent._pending, *self._unsaid(agent)]

    def _unsaid(self, agent: SimulatedAgent) -> list[pb.TaskReport]:
        """What was on its way when the session ended."""
        waiting = {report.task_id for report in agent._pending}
        unsaid = [each for task, each in self.assignments.items() if task not in self.tasks and task not in waiting]
        return [report for each in unsaid if each.desired_status == "RUNNING" for report in self.life(each)]

    def _begin(self, assignment: pb.Assignment) -> Sequence[pb.TaskReport]:
        self._witness.start(assignment, self.instance)
        return self.life(assignment)
