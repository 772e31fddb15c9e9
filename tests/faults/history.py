"""What was written to the store, and under which leader: read from etcd itself, beside the schedulers."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from shoal_scheduler.state import etcd_v3_pb2 as pb
from shoal_scheduler.state import etcd_v3_pb2_grpc as pb_grpc
from shoal_scheduler.state import keys
from shoal_scheduler.state.etcd import open_etcd_channel
from shoal_scheduler.state.store import prefix_range

from tests.ground.control_plane import ControlPlane


@dataclass
class History:
    """`epochs` are those of all leaders so far; `steps` by epoch, the ids of the engines whose steps were stored."""

    epochs: list[int] = field(default_factory=list)
    steps: dict[int, set[str]] = field(default_factory=dict)

    def assert_fenced(self) -> None:
        """Each leader wrote under its own epoch only: no write of one was taken after the next had come."""
        for epoch, engines in self.steps.items():
            assert len(engines) <= 1, f"under epoch {epoch} wrote {engines}"
        writers = [engine for each in self.steps.values() for engine in each]
        assert len(writers) == len(set(writers)), self.steps

    def take(self, event: pb.Event) -> None:
        if event.kv.key == keys.LEADER and event.type == pb.Event.PUT:
            self.epochs.append(event.kv.create_revision)
            self.steps[self.epochs[-1]] = set()
        elif event.kv.key == keys.STEP:
            engine, _, _ = event.kv.value.decode().removeprefix("void:").partition("-")
            self.steps[self.epochs[-1]].add(engine)


@asynccontextmanager
async def recorded(plane: ControlPlane) -> AsyncIterator[History]:
    """From the beginning of the store."""
    history = History()
    first, end = prefix_range(keys.ROOT.encode())
    create = pb.WatchRequest(create_request=pb.WatchCreateRequest(key=first, range_end=end, start_revision=1))
    credentials = plane.certificates.credentials("scheduler", "test")
    async with open_etcd_channel(plane.etcd_endpoints, credentials) as channel:

        async def read() -> None:
            call = pb_grpc.WatchStub(channel).Watch()
            await call.write(create)
            async for answer in call:
                for event in answer.events:
                    history.take(event)

        reading = asyncio.create_task(read())
        try:
            yield history
        finally:
            reading.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await reading
    history.assert_fenced()
