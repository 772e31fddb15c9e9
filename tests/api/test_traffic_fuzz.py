"""Whatever anybody says about traffic: no fault, no hang, routes that Traefik can be told of, and a store that a new
leader can read."""

import json
from typing import Any

import grpc
from google.protobuf.message import Message
from hypothesis import given, settings
from hypothesis import strategies as st
from shoal import arn
from shoal.errors import from_rpc
from shoal.ingress.traefik import Certificate, configuration
from shoal.v1 import traffic_pb2 as pb
from shoal_scheduler.api.traffic.ingress import encoded_routes

from tests.api.generated import Words
from tests.api.test_fuzz import EXAMPLES, FAULTS, SETTINGS, mutated, no_faults
from tests.fakes.scheduler import Scheduler
from tests.ground.certificates import Certificates

GROUPS = ("web", "api", "nobody", arn.target_group_arn("default", "web"))
WORDS = Words(
    {
        "name": ("web", "api", "one", "two"),
        "names": ("web", "api"),
        "target_group_arn": GROUPS,
        "target_group_arns": GROUPS,
        "target_group": ("web", "api"),
        "rule_arn": ("one", arn.listener_rule_arn("default", "two")),
        "rule_arns": ("one", "two"),
        "rule": ("one", "two"),
        "protocol": ("HTTP", "HTTPS", "TCP", "TLS"),
        "protocol_version": ("HTTP1", "HTTP2", "GRPC"),
        "health_check_protocol": ("HTTP", "HTTPS", "TCP"),
        "health_check_port": ("traffic-port", "80"),
        "health_check_path": ("/", "/health?x=1"),
        "http_code": ("200", "200-299,404"),
        "grpc_code": ("0", "0-12"),
        "field": ("host-header", "path-pattern"),
        "values": ("web.example", "*.example", "/api/*", "*.png", "/a?b"),
        "type": ("forward",),
        "certificate": ("web", "other"),
        "cluster": ("default", "blue"),
        "namespace_name": ("default.shoal.internal",),
        "service_name": ("web",),
        "health_status": ("ALL", "HEALTHY"),
        "state": ("initial", "healthy", "unhealthy"),
        "task_id": ("0" * 32, "1f" * 16),
        "cookie_name": ("mine",),
    }
)
METHODS = [
    (service, method)
    for service in ("Traffic", "Ingress")
    for method in pb.DESCRIPTOR.services_by_name[service].methods
    if method.name != "WatchRoutes"
]
FORWARD = pb.Action(target_group_arn="web")
MAKING: dict[str, list[Message]] = {
    "CreateTargetGroup": [
        pb.CreateTargetGroupRequest(name="web"),
        pb.CreateTargetGroupRequest(name="api", protocol_version="GRPC"),
        pb.CreateTargetGroupRequest(name="api", protocol="TCP"),
    ],
    "CreateRule": [
        pb.CreateRuleRequest(name="one", actions=[FORWARD]),
        pb.CreateRuleRequest(name="two", protocol="HTTPS", certificate="web", actions=[FORWARD]),
        pb.CreateRuleRequest(name="two", protocol="TCP", port=5432, actions=[pb.Action(target_group_arn="api")]),
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
    lambda known: st.tuples(
        st.just(known[0]), st.just(known[1].name), nearly_right(known[1]).map(lambda m: m.SerializeToString())
    )
)
SPOILT = st.tuples(CALLS, EDITS).map(lambda call: (*call[0][:2], mutated(call[0][2], call[1])))
PROGRAMS = st.lists(CALLS | CALLS | SPOILT, min_size=1, max_size=10)


async def outcome(channel: grpc.aio.Channel, service: str, method: str, message: bytes) -> str:
    send: Any = channel.unary_unary(f"/shoal.v1.{service}/{method}")
    try:
        await send(message, timeout=30)
    except grpc.aio.AioRpcError as error:
        typed = from_rpc(error)
        assert typed.message
        return typed.code
    return "OK"


@settings(SETTINGS, max_examples=int(EXAMPLES or "20"))
@given(PROGRAMS)
async def test_anything_may_be_said_about_traffic(
    certificates: Certificates, program: list[tuple[str, str, bytes]]
) -> None:
    with no_faults():
        async with Scheduler(certificates) as scheduler:
            channels = {"Traffic": scheduler.channel(), "Ingress": scheduler.channel("ingress", "one")}
            for service, method, message in program:
                code = await outcome(channels[service], service, method, message)
                assert code not in FAULTS | {"UNAVAILABLE"}, method
            assert not scheduler.running.done()
            assert (await scheduler.reloaded()).records == scheduler.plane.tables.records
            told = pb.WatchRoutesResponse.FromString(encoded_routes(scheduler.plane, "default", {}))
            certificate = {rule.certificate: Certificate("chain", "key") for rule in told.rules}
            for port in {rule.port for rule in told.rules}:
                assert json.dumps(configuration(port, told, {}, certificate))
