"""Whatever anybody says about services: no fault, no hang, and a store that a new leader can read."""

from typing import Any

import grpc
from google.protobuf.message import Message
from hypothesis import given, settings
from hypothesis import strategies as st
from shoal import arn
from shoal.errors import from_rpc
from shoal.v1 import services_pb2

from tests.api.conftest import INSTANCE
from tests.api.generated import Words
from tests.api.services import Services, change, creation
from tests.api.test_fuzz import EXAMPLES, FAULTS, SETTINGS, mutated, no_faults
from tests.fakes.agent import SimulatedAgent
from tests.fakes.scheduler import Scheduler
from tests.ground.certificates import Certificates
from tests.unit.scheduler.plane import CountedIds

# As the counted ids of a step come: those of the first service are its revision's, its deployment's, its tasks'.
IDS = tuple(f"{number:024x}" for number in range(1, 5))
DEPLOYMENTS = tuple(arn.service_deployment_arn("default", "web", each) for each in IDS)
REVISIONS = tuple(arn.service_revision_arn("default", "web", each) for each in IDS)
WORDS = Words(
    {
        "service_name": ("web", "other"),
        "service": ("web", "other", arn.service_arn("default", "web")),
        "services": ("web", "other"),
        "task_definition": ("web", "web:1", "web:2"),
        "service_deployment_arn": DEPLOYMENTS,
        "service_deployment_arns": DEPLOYMENTS,
        "service_revision_arn": REVISIONS,
        "service_revision_arns": REVISIONS,
        "tasks": tuple(f"{each}{'0' * 8}" for each in IDS),
        "stop_type": ("ABORT", "ROLLBACK"),
        "scheduling_strategy": ("REPLICA", "DAEMON"),
        "availability_zone_rebalancing": ("ENABLED", "DISABLED"),
        "propagate_tags": ("TASK_DEFINITION", "SERVICE", "NONE"),
        "type": ("ECS", "COUNT", "BOUNDED_PERCENT", "memberOf", "distinctInstance", "spread", "binpack", "random"),
        "field": ("instanceId", "memory", "attribute:a"),
        "expression": ("attribute:a == b", "not (attribute:a exists)"),
        "strategy": ("ROLLING", "CANARY"),
        "container_name": ("app", "side"),
        "registry_arn": ("web",),
        "target_group_arn": ("web",),
        "remove": ("loadBalancers", "serviceRegistries", "placementConstraints", "placementStrategy"),
        "status": ("IN_PROGRESS", "SUCCESSFUL", "STOPPED"),
        "include": ("TAGS",),
        "on_disconnect": ("keep", "stop", "exclusive"),
        "cluster": ("default", "blue"),
        "client_token": ("one", "two"),
    }
)
METHODS = list(services_pb2.DESCRIPTOR.services_by_name["Services"].methods)
MAKING: dict[str, list[Any]] = {
    "CreateService": [
        creation(serviceName="other", desiredCount=1),
        creation(serviceName="other", schedulingStrategy="DAEMON", desiredCount=None),
    ],
    "UpdateService": [change(forceNewDeployment=True), change(desiredCount=3), change(taskDefinition="web:1")],
}


def nearly_right(method: Any) -> st.SearchStrategy[Message]:
    """What makes or changes something is right but for what is mixed into it, now and then."""
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
    send: Any = channel.unary_unary(f"/shoal.v1.Services/{method}")
    try:
        await send(message, timeout=30)
    except grpc.aio.AioRpcError as error:
        typed = from_rpc(error)
        assert typed.message
        return typed.code
    return "OK"


@settings(SETTINGS, max_examples=int(EXAMPLES or "25"))
@given(PROGRAMS)
async def test_anything_may_be_said_about_services(
    certificates: Certificates, program: list[tuple[str, bytes]]
) -> None:
    with no_faults():
        await carry_out(certificates, program)


async def carry_out(certificates: Certificates, program: list[tuple[str, bytes]]) -> None:
    async with Scheduler(certificates) as scheduler:
        scheduler.plane.engine._ids = CountedIds()  # type: ignore[assignment]
        agent = SimulatedAgent(scheduler.channel("agent", INSTANCE), INSTANCE, attributes={"a": "b"})
        async with agent:
            services = Services(scheduler)
            await services.register()
            await services.create()
            channel = scheduler.channel()
            for method, message in program:
                code = await outcome(channel, method, message)
                assert code not in FAULTS | {"UNAVAILABLE"}, method
        await scheduler.until_disconnected(INSTANCE)
        assert not scheduler.running.done()
        assert scheduler.over_committed() == []
        assert (await scheduler.reloaded()).records == scheduler.plane.tables.records
