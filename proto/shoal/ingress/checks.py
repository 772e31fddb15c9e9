"""One check of a target: HTTP, TCP or gRPC. Where a target is and what is asked of it is its group's to say."""

import asyncio
import contextlib
import logging

import aiohttp
import grpc
from grpc_health.v1 import health_pb2

from shoal.ingress.health import Verdict
from shoal.v1 import traffic_pb2 as pb

log = logging.getLogger("shoal.ingress")

_STANDARD = "/grpc.health.v1.Health/Check"
_TRAFFIC_PORT = "traffic-port"

# Of bytes: what a method takes and answers is nothing to a check.
_Method = grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]
_USER_AGENT = {"User-Agent": "shoal-ingress"}


async def check(session: aiohttp.ClientSession, group: pb.TargetGroup, host: str, port: int) -> Verdict:
    """Never raises: whatever goes wrong is what is wrong with the target."""
    said = group.health_check_port
    at = port if said in ("", _TRAFFIC_PORT) else int(said)
    try:
        async with asyncio.timeout(group.health_check_timeout_seconds):
            if group.health_check_protocol == "TCP":
                return await _tcp(host, at)
            if group.protocol_version == "GRPC":
                return await _grpc(group, host, at)
            return await _http(session, group, host, at)
    except TimeoutError:
        return Verdict(False, "Target.Timeout", "Request timed out")
    except (OSError, aiohttp.ClientError) as error:
        return Verdict(False, "Target.FailedHealthChecks", f"Health checks failed: {error or type(error).__name__}")
    except Exception as error:  # a fault of ours must not leave a target as it was once found
        log.exception("a check stumbled target=%s:%d", host, at)
        return Verdict(False, "Elb.InternalError", f"The check itself failed: {type(error).__name__}")


async def _tcp(host: str, port: int) -> Verdict:
    _, writer = await asyncio.open_connection(host, port)
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return Verdict(True)


async def _http(session: aiohttp.ClientSession, group: pb.TargetGroup, host: str, port: int) -> Verdict:
    url = f"{group.health_check_protocol.lower()}://{host}:{port}{group.health_check_path}"
    # Each on a connection of its own: one that is kept would tell that an old one is well.
    headers = _USER_AGENT | {"Connection": "close"}
    async with session.get(url, headers=headers, allow_redirects=False, ssl=False) as answer:
        return _matched(answer.status, group.matcher.http_code)


async def _grpc(group: pb.TargetGroup, host: str, port: int) -> Verdict:
    async with grpc.aio.insecure_channel(f"{host}:{port}", options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        method: _Method = channel.unary_unary(group.health_check_path)
        try:
            answer = await method(b"", wait_for_ready=True)
        except grpc.aio.AioRpcError as error:
            return _matched(error.code().value[0], group.matcher.grpc_code)
    if group.health_check_path == _STANDARD:
        status = health_pb2.HealthCheckResponse.FromString(answer).status
        if status != health_pb2.HealthCheckResponse.SERVING:
            name = health_pb2.HealthCheckResponse.ServingStatus.Name(status)
            return Verdict(False, "Target.ResponseCodeMismatch", f"The target says that it is {name}")
    return _matched(0, group.matcher.grpc_code)


def _matched(code: int, matcher: str) -> Verdict:
    if matches(code, matcher):
        return Verdict(True)
    said = f"Health checks failed with these codes: [{code}]"
    return Verdict(False, "Target.ResponseCodeMismatch", said)


def matches(code: int, matcher: str) -> bool:
    """
    >>> matches(204, "200,202-299"), matches(201, "200,202-299")
    (True, False)
    """
    for part in matcher.split(","):
        first, _, last = part.partition("-")
        if int(first) <= code <= int(last or first):
            return True
    return False
