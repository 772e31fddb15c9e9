"""Jobs through a whole control plane: how long a submission takes, and how many children a second get through."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from shoal import awsjson
from shoal.v1 import batch_pb2_grpc, job_definition_pb2, job_pb2, job_queue_pb2

from tests.ground.certificates import Certificates
from tests.ground.waiting import wait_until
from tests.load.agents import Fleet, fleet
from tests.load.report import summary
from tests.load.stack import Meter, Stack, between, stack

QUEUE, PARKED, DEFINITION = "load", "parked", "noop"
TIMEOUT_SECONDS = 300.0
POLL_SECONDS = 0.1
OVER = ("SUCCEEDED", "FAILED")


class Batch:
    """Calls of the Batch service, with what the benchmark needs registered."""

    def __init__(self, measured: Stack) -> None:
        self.stub: batch_pb2_grpc.BatchAsyncStub = batch_pb2_grpc.BatchStub(measured.channel)

    async def prepare(self) -> None:
        await self._call(
            "RegisterJobDefinition",
            job_definition_pb2.RegisterJobDefinitionRequest,
            {
                "jobDefinitionName": DEFINITION,
                "type": "container",
                "containerProperties": {
                    "image": "registry.example.com/noop:1",
                    "command": ["true"],
                    "resourceRequirements": [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "64"}],
                },
            },
        )
        # Nothing is placed in the second: for how long submissions take, by themselves.
        for name, expression in ((QUEUE, ""), (PARKED, "attribute:zone == nowhere")):
            resources = {"type": "UNMANAGED", "computeEnvironmentName": name, "state": "ENABLED"}
            chosen = {"expression": expression} if expression else {}
            await self._call(
                "CreateComputeEnvironment",
                job_queue_pb2.CreateComputeEnvironmentRequest,
                {**resources, **chosen},
            )
            order = [{"order": 1, "computeEnvironment": name}]
            await self._call(
                "CreateJobQueue",
                job_queue_pb2.CreateJobQueueRequest,
                {"jobQueueName": name, "priority": 1, "computeEnvironmentOrder": order},
            )

    async def _call(self, method: str, request_type: Any, document: dict[str, Any]) -> None:
        request, _ = awsjson.to_message(document, request_type)
        await getattr(self.stub, method)(request, timeout=TIMEOUT_SECONDS)

    async def submit(self, size: int, queue: str = QUEUE) -> str:
        array = job_pb2.ArrayProperties(size=size) if size else None
        request = job_pb2.SubmitJobRequest(
            job_name="load", job_queue=queue, job_definition=DEFINITION, array_properties=array
        )
        answer = await self.stub.SubmitJob(request, timeout=TIMEOUT_SECONDS)
        return answer.job_id

    async def describe(self, job: str) -> job_pb2.JobDetail:
        answer = await self.stub.DescribeJobs(job_pb2.DescribeJobsRequest(jobs=[job]), timeout=TIMEOUT_SECONDS)
        return answer.jobs[0]


@asynccontextmanager
async def _batch(folder: Path, certificates: Certificates) -> AsyncIterator[tuple[Stack, Batch]]:
    async with stack(folder, certificates) as measured:
        batch = Batch(measured)
        await batch.prepare()
        yield measured, batch


async def submissions(
    folder: Path, certificates: Certificates, sizes: Sequence[tuple[int, int]]
) -> dict[str, dict[str, Any]]:
    """How long SubmitJob takes: by size of the array, that many times one after the other. Milliseconds."""
    figures = {}
    async with _batch(folder, certificates) as (measured, batch):
        await batch.submit(2, PARKED)  # the first call of all opens the connection
        meter = Meter(measured)
        for size, times in sizes:
            first = await meter.read()
            took = []
            for _ in range(times):
                began = time.monotonic()
                await batch.submit(size, PARKED)
                took.append((time.monotonic() - began) * 1000)
            last = await meter.read()
            figures[str(size)] = {
                "acknowledged_ms": summary(took),
                "etcd_bytes": (last.written_bytes - first.written_bytes) / times,
                "scheduler_mib_more": last.rss_mib["scheduler"] - first.rss_mib["scheduler"],
            }
    return figures


async def throughput(
    folder: Path, certificates: Certificates, agents: int, children: int, rounds: int
) -> dict[str, Any]:
    """An array of no-ops: from its submission until the scheduler says that all have SUCCEEDED."""
    async with _batch(folder, certificates) as (measured, batch), fleet(measured) as connected:
        await connected.connect(agents, life="ends")
        meter = Meter(measured, **connected.pids)
        await _round(batch, connected, meter, min(children, 1000))
        measured_rounds = [await _round(batch, connected, meter, children) for _ in range(rounds)]
    rates = sorted(each["children_per_second"] for each in measured_rounds)
    return {
        "agents": agents,
        "children": children,
        "children_per_second": rates[len(rates) // 2],
        "rounds": measured_rounds,
    }


async def _round(batch: Batch, connected: Fleet, meter: Meter, children: int) -> dict[str, Any]:
    first = await meter.read()
    began = time.monotonic()
    job = await batch.submit(children)

    async def status() -> job_pb2.JobDetail:
        await asyncio.sleep(POLL_SECONDS)
        return await batch.describe(job)

    def is_over(detail: job_pb2.JobDetail) -> bool:
        return detail.status in OVER

    seen = await wait_until(status, is_over, TIMEOUT_SECONDS, "the array is over")
    seconds = time.monotonic() - began
    summed = dict(seen.array_properties.status_summary)
    assert summed.get("SUCCEEDED") == children, summed
    return {
        "seconds": seconds,
        "children_per_second": children / seconds,
        "tasks_per_step": summary(await connected.take_steps()),
        "used": between(first, await meter.read(), children),
    }
