"""Whatever anybody says about batch: no fault, no hang, and a store that a new leader can read."""

from typing import Any

import grpc
from google.protobuf.message import Message
from hypothesis import given, settings
from hypothesis import strategies as st
from shoal import arn, awsjson
from shoal.errors import from_rpc
from shoal.v1 import batch_pb2, batch_pb2_grpc, job_pb2, job_queue_pb2
from shoal.v1.job_definition_pb2 import RegisterJobDefinitionRequest
from shoal_scheduler.state.batch_tables import BatchTables

from tests.api.batch import FLIP, SEVERAL, Batch
from tests.api.conftest import INSTANCE
from tests.api.generated import Words
from tests.api.test_fuzz import EXAMPLES, FAULTS, SETTINGS, mutated, no_faults
from tests.fakes.agent import SimulatedAgent
from tests.fakes.scheduler import Scheduler
from tests.ground.certificates import Certificates
from tests.unit.scheduler.plane import CountedIds

JOBS = tuple(f"00000000-0000-0000-0000-{number:012x}" for number in range(1, 4))
DEFINITIONS = ("flip", "flip:1", "several", arn.job_definition_arn("flip", 1))
WORDS = Words(
    {
        "job_queue": ("pictures", "other", arn.job_queue_arn("pictures")),
        "job_queues": ("pictures", "other"),
        "job_queue_name": ("pictures", "other"),
        "compute_environment": ("here", "there", arn.compute_environment_arn("here")),
        "compute_environments": ("here", "there"),
        "compute_environment_name": ("here", "there"),
        "consumable_resource": ("licence", "slot"),
        "consumable_resource_name": ("licence", "slot"),
        "resource_type": ("REPLENISHABLE", "NON_REPLENISHABLE"),
        "operation": ("SET", "ADD", "REMOVE"),
        "job_definition": DEFINITIONS,
        "job_definitions": DEFINITIONS,
        "job_definition_name": ("flip", "several", "new"),
        "job_id": (*JOBS, f"{JOBS[1]}:1", arn.job_arn(JOBS[0])),
        "jobs": (*JOBS, f"{JOBS[1]}:1"),
        "array_job_id": JOBS,
        "job_name": ("one", "two"),
        "job_status": ("RUNNABLE", "PENDING", "RUNNING", "SUCCEEDED", "FAILED"),
        "state": ("ENABLED", "DISABLED", "RUNNABLE"),
        "status": ("ACTIVE", "INACTIVE"),
        "type": ("container", "UNMANAGED", "N_TO_N", "SEQUENTIAL", "VCPU", "MEMORY", "GPU"),
        "value": ("1", "0.25", "64"),
        "name": ("default", "main", "side", "JOB_NAME", "JOB_STATUS", "CONSUMABLE_RESOURCE_NAME"),
        "action": ("RETRY", "EXIT", "CANCEL"),
        "expression": ("attribute:a == b", "not (attribute:a exists)"),
        "cluster": ("default", "blue"),
        "reason": ("enough",),
        "client_token": ("one", "two"),
        "image": ("busybox",),
    }
)
METHODS = list(batch_pb2.DESCRIPTOR.services_by_name["Batch"].methods)
MAKING: dict[str, list[Any]] = {
    "RegisterJobDefinition": [awsjson.to_message(each, RegisterJobDefinitionRequest)[0] for each in (FLIP, SEVERAL)],
    "SubmitJob": [job_pb2.SubmitJobRequest(job_name="one", job_queue="pictures", job_definition="flip")],
    "CreateJobQueue": [
        job_queue_pb2.CreateJobQueueRequest(
            job_queue_name="other",
            priority=1,
            compute_environment_order=[job_queue_pb2.ComputeEnvironmentOrder(order=1, compute_environment="here")],
        )
    ],
    "CreateComputeEnvironment": [
        job_queue_pb2.CreateComputeEnvironmentRequest(compute_environment_name="there", type="UNMANAGED")
    ],
    "CreateConsumableResource": [
        job_queue_pb2.CreateConsumableResourceRequest(consumable_resource_name="licence", total_quantity=2)
    ],
}


def nearly_right(method: Any) -> st.SearchStrategy[Message]:
    """What makes something is right but for what is mixed into it, now and then."""
    generated = WORDS.messages(method.input_type)
    if method.name not in MAKING:
        return generated
    return st.builds(_mixed, st.sampled_from(MAKING[method.name]), st.just(None) | generated)


def _mixed(right: Any, rest: Any) -> Message:
    request: Message = type(right)()
    request.CopyFrom(right)
    if rest is not None:
        request.MergeFrom(rest)
    return request


EDITS = st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 8), st.binary(max_size=8)), min_size=1, max_size=4)
CALLS = st.sampled_from(METHODS).flatmap(
    lambda method: st.tuples(st.just(method.name), nearly_right(method).map(lambda m: m.SerializeToString()))
)
SPOILT = st.tuples(CALLS, EDITS).map(lambda call: (call[0][0], mutated(call[0][1], call[1])))
PROGRAMS = st.lists(CALLS | CALLS | SPOILT, min_size=1, max_size=10)


async def outcome(channel: grpc.aio.Channel, method: str, message: bytes) -> str:
    send: Any = channel.unary_unary(f"/shoal.v1.Batch/{method}")
    try:
        await send(message, timeout=30)
    except grpc.aio.AioRpcError as error:
        typed = from_rpc(error)
        assert typed.message
        return typed.code
    return "OK"


def durable(tables: BatchTables) -> tuple[object, ...]:
    jobs = {job: (entry.job, entry.state, entry.chunks) for job, entry in tables.jobs.items()}
    counted = (tables.open_count, +tables.open_in, +tables.open_takers)
    return tables.definitions, tables.queues, tables.environments, tables.consumables, jobs, counted


@settings(SETTINGS, max_examples=int(EXAMPLES or "40"))
@given(PROGRAMS)
async def test_anything_may_be_said_about_batch(certificates: Certificates, program: list[tuple[str, bytes]]) -> None:
    with no_faults():
        await carry_out(certificates, program)


async def carry_out(certificates: Certificates, program: list[tuple[str, bytes]]) -> None:
    async with Scheduler(certificates) as scheduler:
        scheduler.plane.engine._ids = CountedIds()  # type: ignore[assignment]
        agent = SimulatedAgent(scheduler.channel("agent", INSTANCE), INSTANCE, attributes={"a": "b"})
        async with agent:
            batch = Batch(scheduler)
            await batch.prepare(FLIP, SEVERAL)
            channel = scheduler.channel()
            stub: Any = batch_pb2_grpc.BatchStub(channel)
            for request in (MAKING["SubmitJob"][0], array()):
                await stub.SubmitJob(request)
            for method, message in program:
                code = await outcome(channel, method, message)
                assert code not in FAULTS | {"UNAVAILABLE"}, method
        await scheduler.until_disconnected(INSTANCE)
        assert not scheduler.running.done()
        assert scheduler.over_committed() == []
        assert durable((await scheduler.reloaded()).batch) == durable(scheduler.plane.tables.batch)


def array() -> job_pb2.SubmitJobRequest:
    request = job_pb2.SubmitJobRequest(job_name="two", job_queue="pictures", job_definition="several")
    request.array_properties.size = 3
    return request
