"""The HTTPS listener: who reaches what, and what it takes of a stranger."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web
from shoal.rpc import SERVER_NAME
from shoal_scheduler.api import http
from shoal_scheduler.api.http import Files, HttpServer, body_of, caller_of, for_roles
from shoal_scheduler.engine import Unavailable
from shoal_scheduler.model.refusal import Refused

from tests.ground.certificates import Certificates


async def _who(request: web.Request) -> web.Response:
    caller = caller_of(request)
    return web.Response(text=caller.uri if caller else "nobody")


async def _echo(request: web.Request) -> web.Response:
    return web.json_response(await body_of(request))


async def _refuse(_request: web.Request) -> web.Response:
    raise Refused("conflict", "It is there already.")


async def _away(_request: web.Request) -> web.Response:
    raise Unavailable("try again")


async def _stumble(_request: web.Request) -> web.Response:
    raise KeyError("secret")


ROUTES = {
    ("GET", "/who"): _who,
    ("POST", "/echo"): _echo,
    ("GET", "/refuse"): _refuse,
    ("GET", "/away"): _away,
    ("GET", "/stumble"): _stumble,
    ("GET", "/operators"): for_roles(frozenset({"operator"}), _who),
}


@pytest.fixture
async def server(certificates: Certificates) -> AsyncIterator[HttpServer]:
    issued = certificates.files("scheduler", "one")
    listening = HttpServer("127.0.0.1:0", Files(certificates.authority, issued.certificate, issued.key), ROUTES)
    await listening.start()
    yield listening
    await listening.stop()


def client_tls(certificates: Certificates, role: str | None = None, name: str = "alice") -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(certificates.authority))
    if role is not None:
        issued = certificates.files(role, name)
        context.load_cert_chain(issued.certificate, issued.key)
    return context


async def ask(
    server: HttpServer, tls: ssl.SSLContext, path: str, method: str = "GET", data: bytes | None = None
) -> tuple[int, str]:
    url = f"https://127.0.0.1:{server.port}{path}"
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, url, data=data, ssl=tls, server_hostname=SERVER_NAME) as answer,
    ):
        return answer.status, await answer.text()


async def test_anyone_may_ask_for_its_health(server: HttpServer, certificates: Certificates) -> None:
    assert await ask(server, client_tls(certificates), "/healthz") == (200, "ok\n")


async def test_a_certificate_names_the_caller(server: HttpServer, certificates: Certificates) -> None:
    assert await ask(server, client_tls(certificates), "/who") == (200, "nobody")
    assert await ask(server, client_tls(certificates, "agent", "1f" * 16), "/who") == (
        200,
        f"shoal://default/agent/{'1f' * 16}",
    )


@pytest.mark.parametrize(("role", "status"), [(None, 403), ("agent", 403), ("scheduler", 403), ("operator", 200)])
async def test_the_role_decides(server: HttpServer, certificates: Certificates, role: str | None, status: int) -> None:
    assert (await ask(server, client_tls(certificates, role), "/operators"))[0] == status


async def test_another_authoritys_certificate_ends_the_handshake(
    server: HttpServer, certificates: Certificates, other_certificates: Certificates
) -> None:
    tls = ssl.create_default_context(cafile=str(certificates.authority))
    issued = other_certificates.files("operator", "alice")
    tls.load_cert_chain(issued.certificate, issued.key)
    with pytest.raises((aiohttp.ClientError, ssl.SSLError, ConnectionError)):
        await ask(server, tls, "/healthz")


async def test_there_is_no_plaintext(server: HttpServer) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: shoal\r\n\r\n")
    async with asyncio.timeout(10):
        with contextlib.suppress(ConnectionError):
            assert b"HTTP" not in await reader.read()
    writer.close()


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [("/refuse", 409, "It is there already."), ("/away", 503, "try again"), ("/nothing", 404, "Not Found")],
)
async def test_a_refusal_is_answered_in_words(
    server: HttpServer, certificates: Certificates, path: str, status: int, said: str
) -> None:
    answer = await ask(server, client_tls(certificates), path)
    assert answer[0] == status
    assert said in answer[1]


async def test_a_fault_tells_nothing_of_itself(server: HttpServer, certificates: Certificates) -> None:
    status, said = await ask(server, client_tls(certificates), "/stumble")
    assert status == 500
    assert "secret" not in said
    assert "KeyError" not in said


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"{}", 200),
        (b"", 400),
        (b"[]", 400),
        (b"\xff", 400),
        (b'{"a":' * 10_000, 400),
        (b'{"a":"' + b"x" * 70_000 + b'"}', 413),
    ],
    ids=["object", "nothing", "list", "not UTF-8", "deep", "large"],
)
async def test_what_a_body_may_be(server: HttpServer, certificates: Certificates, data: bytes, status: int) -> None:
    assert (await ask(server, client_tls(certificates), "/echo", "POST", data))[0] == status
    assert await ask(server, client_tls(certificates), "/healthz") == (200, "ok\n")


@pytest.mark.parametrize("said", [b"", b"GET /healthz HTTP/1.1\r\nHost: sho"], ids=["nothing", "half a request"])
async def test_who_says_nothing_whole_is_dropped(
    server: HttpServer, certificates: Certificates, monkeypatch: pytest.MonkeyPatch, said: bytes
) -> None:
    monkeypatch.setattr(http, "HANDSHAKE_SECONDS", 1.0)
    monkeypatch.setattr(http, "REQUEST_SECONDS", 1.0)
    tls = client_tls(certificates)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=tls, server_hostname=SERVER_NAME)
    writer.write(said)
    async with asyncio.timeout(10):
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
    writer.close()


async def test_who_has_asked_may_ask_again_over_the_same_connection(
    server: HttpServer, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "HANDSHAKE_SECONDS", 0.2)
    monkeypatch.setattr(http, "REQUEST_SECONDS", 0.2)
    tls = client_tls(certificates)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=tls, server_hostname=SERVER_NAME)
    for _ in range(2):
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: shoal\r\n\r\n")
        async with asyncio.timeout(10):
            assert (await reader.readuntil(b"ok\n")).startswith(b"HTTP/1.1 200")
        await asyncio.sleep(0.6)
    writer.close()


async def test_a_silent_connection_holds_up_nobody(server: HttpServer, certificates: Certificates) -> None:
    with socket.create_connection(("127.0.0.1", server.port)):
        assert await ask(server, client_tls(certificates), "/healthz") == (200, "ok\n")
