"""What every refused call has to be: a code, a reason, the fields, and one sentence for people."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message
from shoal.errors import ShoalError, from_rpc
from shoal.v1 import cluster_pb2

from tests.fakes.scheduler import Scheduler

INVALID = grpc.StatusCode.INVALID_ARGUMENT
PARAMETER = "InvalidParameterException"

# Of client and server together, encryption included, on a machine that does other things as well.
CPU_SECONDS_MAX = 0.25

# A terminal, a log and an HTTP/2 header all have to take it.
METADATA_BYTES_MAX = 8 * 1024


async def costs_less(cpu_seconds: float, work: Callable[[], Awaitable[object]]) -> None:
    """The cheapest of up to three times counts: whatever else this process does only ever adds to it."""
    spent = []
    for _ in range(3):
        started = time.process_time()
        await work()
        spent.append(time.process_time() - started)
        if spent[-1] < cpu_seconds:
            return
    raise AssertionError(f"takes {min(spent):.3f} s of the processor, at most {cpu_seconds} s may be")


async def refused(call: Awaitable[Any]) -> ShoalError:
    """The typed error of a call that must fail, checked for what all of them owe."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    error = from_rpc(caught.value)
    metadata = caught.value.trailing_metadata() or ()
    size_bytes = sum(len(key) + len(value) for key, value in metadata) + len((caught.value.details() or "").encode())
    assert size_bytes < METADATA_BYTES_MAX
    assert error.message.strip()
    for text in (error.message, *(problem.message for problem in error.problems)):
        assert text.isprintable()
        assert "Traceback" not in text and 'File "' not in text
    return error


async def refused_with(call: Awaitable[Any], code: grpc.StatusCode, reason: str, field: str = "") -> ShoalError:
    """As `refused`, with this code, this reason and, if any, a problem of this field."""
    error = await refused(call)
    assert (error.code, error.reason) == (code.name, reason), error.message
    if field:
        assert field in [problem.field for problem in error.problems], error.problems
    return error


async def is_refused(scheduler: Scheduler, method: str, request: Message, reason: str, path: str) -> None:
    """With this reason and field, at little cost; nothing is stored, and the server goes on."""
    send = getattr(scheduler.cluster, method)
    before = scheduler.stored()
    await costs_less(CPU_SECONDS_MAX, lambda: refused_with(send(request), INVALID, reason, path))
    assert scheduler.stored() == before
    await lives(scheduler)


async def lives(scheduler: Scheduler) -> None:
    """A new caller is answered, and at once."""
    async with asyncio.timeout(5):
        await scheduler.cluster.DescribeControlPlane(cluster_pb2.DescribeControlPlaneRequest())
    assert not scheduler.running.done()
    assert scheduler.over_committed() == []
