"""An agent's session by hand."""

from typing import Any

import grpc
from shoal.v1 import agent_pb2 as pb
from shoal.v1 import agent_pb2_grpc

from tests.fakes.agent import hello
from tests.fakes.scheduler import Scheduler

FOREIGN = "2e" * 16


class RawSession:
    """A session by hand: every message is the test's own."""

    def __init__(self, scheduler: Scheduler, instance: str = FOREIGN) -> None:
        self.stub: Any = agent_pb2_grpc.AgentSessionStub(scheduler.channel("agent", instance))
        self.call: Any = self.stub.Session()

    async def say(self, *messages: pb.AgentMessage) -> None:
        for message in messages:
            await self.call.write(message)

    async def opened(self) -> "RawSession":
        """After hello and inventory, welcome and the full assignments."""
        await self.say(hello(FOREIGN), pb.AgentMessage(inventory=pb.Inventory()))
        assert (await self.call.read()).HasField("welcome")
        assert (await self.call.read()).assignments.full
        return self

    async def end(self) -> None:
        """Reads until the scheduler ends the session; raises how."""
        while await self.call.read() is not grpc.aio.EOF:
            pass
