"""Callers of single RunTasks, and of an empty method through the same door. A process of its own, see `workers`."""

import asyncio
import sys
import time
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from shoal import rpc
from shoal.v1 import cluster_pb2, cluster_pb2_grpc, task_pb2

from tests.ground.certificates import Certificates
from tests.load.workers import obey, run

CALLER = "caller"

Call = Callable[[], Awaitable[Any]]


class Callers:
    """The commands of the process."""

    def __init__(self, cluster: "cluster_pb2_grpc.ClusterAsyncStub") -> None:
        self._cluster = cluster

    async def run_tasks(self, definition: str, callers: int, seconds: float) -> list[float]:
        """With a client token, as the public client has it. Milliseconds of each call."""

        async def call() -> None:
            request = task_pb2.RunTaskRequest(task_definition=definition, count=1, client_token=uuid.uuid4().hex)
            answer = await self._cluster.RunTask(request)
            if answer.failures:
                raise RuntimeError(f"not placed: {answer.failures[0].reason} {answer.failures[0].detail}")

        return await _repeated(call, callers, seconds)

    async def nothing(self, callers: int, seconds: float) -> list[float]:
        """DescribeControlPlane: a few numbers that are at hand."""

        async def call() -> None:
            await self._cluster.DescribeControlPlane(cluster_pb2.DescribeControlPlaneRequest())

        return await _repeated(call, callers, seconds)


async def _repeated(call: Call, callers: int, seconds: float) -> list[float]:
    taken_ms: list[float] = []
    until = time.monotonic() + seconds

    async def one() -> None:
        while (began := time.monotonic()) < until:
            await call()
            taken_ms.append((time.monotonic() - began) * 1000)

    await asyncio.gather(*(one() for _ in range(callers)))
    return taken_ms


async def _main() -> None:
    address, folder = sys.argv[1:]
    credentials = Certificates(Path(folder)).credentials("operator", CALLER)
    async with rpc.open_channel(address, credentials) as channel:
        callers = Callers(cluster_pb2_grpc.ClusterStub(channel))
        await obey({"run_tasks": callers.run_tasks, "nothing": callers.nothing})


if __name__ == "__main__":
    run(_main())
