"""TCP, gRPC and TLS through the real Traefik."""

import asyncio
import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from shoal.certificates import ensure_authority, ensure_certificate
from shoal.ingress.folders import Folders
from shoal.rpc import Identity

from tests.ground.waiting import wait_until
from tests.ingress.conftest import Balancer
from tests.ingress.routes import group, routes, rule, target
from tests.ingress.targets import grpcs, tcp, webs

SPOKEN_SECONDS = 2.0


async def spoken(port: int, **tls: Any) -> str:
    """Who answers there, after it has said again what it heard. Without a route Traefik waits for a request."""
    async with asyncio.timeout(SPOKEN_SECONDS):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, **tls)
        try:
            name = await reader.readline()
            writer.write(b"again\n")
            await writer.drain()
            assert await reader.readline() == b"again\n"
            return name.decode().strip()
        finally:
            writer.close()


async def test_connections_of_tcp_go_to_whom_they_can_reach(balancer: Balancer) -> None:
    groups = [group("db", protocol="TCP", protocol_version="", health_check_protocol="TCP")]
    rules = [rule("db", balancer.port, [("db", 1)], protocol="TCP")]
    async with tcp("b") as b:
        async with tcp("a") as a:
            targets = [target("a", a, "db"), target("b", b, "db")]
            await balancer.routing.say(routes(rules, targets, groups))
            await balancer.until_served("a", "b")

            async def both() -> bool:
                return {await spoken(balancer.port) for _ in range(4)} == {"a", "b"}

            there: Any = both
            await wait_until(there)
        await wait_until(lambda: balancer.routing.states().get("a") == "unhealthy")

        async def only_b() -> bool:
            return {await spoken(balancer.port) for _ in range(4)} == {"b"}

        left: Any = only_b
        await wait_until(left)


async def test_grpc_is_checked_and_balanced_call_by_call(balancer: Balancer) -> None:
    said = {"protocol_version": "GRPC", "health_check_path": "/grpc.health.v1.Health/Check"}
    groups, rules = [group("api", **said)], [rule("api", balancer.port, [("api", 1)])]
    async with grpcs() as (a, a_port), grpcs() as (b, b_port):
        await balancer.routing.say(routes(rules, [target("a", a_port, "api"), target("b", b_port, "api")], groups))
        await balancer.until_served("a", "b")
        async with grpc.aio.insecure_channel(f"127.0.0.1:{balancer.port}") as channel:
            stub: Any = health_pb2_grpc.HealthStub(channel)
            request = health_pb2.HealthCheckRequest(service="a client's")

            async def by_both() -> bool:
                before = a.asked, b.asked
                for _ in range(4):
                    answer = await stub.Check(request, wait_for_ready=True, timeout=10)
                    assert answer.status == health_pb2.HealthCheckResponse.SERVING
                return (a.asked - before[0], b.asked - before[1]) == (2, 2)

            there: Any = by_both
            await wait_until(there)
            a.status = health_pb2.HealthCheckResponse.NOT_SERVING
            await wait_until(lambda: balancer.routing.states().get("a") == "unhealthy")


def issue(folders: Folders, authority_folder: Path, file: str, *names: str) -> ssl.SSLContext:
    """A pair of files as an operator would put it there; what a client needs to trust it."""
    now = datetime.now(UTC)
    authority = ensure_authority(authority_folder, "default", now)
    ensure_certificate(authority, folders.certificates, file, Identity("default", "web", file), now, names)
    return ssl.create_default_context(cafile=str(authority.path))


async def shown(port: int, trusting: ssl.SSLContext, name: str) -> str:
    """Raises where the certificate is not that of the name."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session:
        asked = session.get(f"https://127.0.0.1:{port}/", ssl=trusting, server_hostname=name, headers={"Host": name})
        async with asked as answer:
            assert answer.status == 200
            return (await answer.text()).split()[0]


async def test_https_ends_here_by_the_certificate_of_the_name(balancer: Balancer, tmp_path: Path) -> None:
    one = issue(balancer.folders, tmp_path / "one", "one", "one.example")
    groups = [group("one"), group("two")]
    rules = [
        rule("one", balancer.port, [("one", 1)], ["one.example"], protocol="HTTPS", certificate="one"),
        rule("two", balancer.port, [("two", 1)], ["two.example"], protocol="HTTPS", certificate="two", priority=2),
    ]
    async with webs("one", "two") as (a, b):
        await balancer.routing.say(routes(rules, [target("a", a.port, "one"), target("b", b.port, "two")], groups))
        look: Any = lambda: shown(balancer.port, one, "one.example")  # noqa: E731
        assert await wait_until(look) == "one"
        await wait_until(lambda: [each.rule for each in balancer.routing.reports[-1].problems] == ["two"])
        two = issue(balancer.folders, tmp_path / "two", "two", "two.example")
        look = lambda: shown(balancer.port, two, "two.example")  # noqa: E731
        assert await wait_until(look) == "two"
        (balancer.folders.certificates / "one.crt").unlink()  # its place is taken by one that was renewed
        renewed = issue(balancer.folders, tmp_path / "another", "one", "one.example")
        look = lambda: shown(balancer.port, renewed, "one.example")  # noqa: E731
        assert await wait_until(look) == "one"
        await wait_until(lambda: not balancer.routing.reports[-1].problems)


async def test_tls_ends_here_and_goes_on_as_tcp(balancer: Balancer, tmp_path: Path) -> None:
    trusting = issue(balancer.folders, tmp_path / "one", "db", "db.example")
    groups = [group("db", protocol="TCP", protocol_version="", health_check_protocol="TCP")]
    rules = [rule("db", balancer.port, [("db", 1)], ["db.example"], protocol="TLS", certificate="db")]
    async with tcp("db") as port:
        await balancer.routing.say(routes(rules, [target("a", port, "db")], groups))
        look: Any = lambda: spoken(balancer.port, ssl=trusting, server_hostname="db.example")  # noqa: E731
        assert await wait_until(look) == "db"
