"""Who may be told: the public internet and what was allowed, whatever names and redirects say."""

import ipaddress
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web
from shoal_scheduler.webhooks import NotToldError, Webhooks, check, is_allowed

LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "ftp://example.org",
        "example.org",
        "https://",
        "https://a b",
        "https://[::1",
        "https://é.org",
        "http://x:99999",
    ],
)
def test_what_is_no_address(address: str) -> None:
    assert check(address)


def test_addresses() -> None:
    assert check("https://example.org:8443/hook?x=1") == "" == check("http://10.0.0.1/")
    assert check("https://example.org/" + "x" * 1024)


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        ("8.8.8.8", True),
        ("127.0.0.1", False),
        ("169.254.169.254", False),
        ("10.1.2.3", False),
        ("192.168.0.1", False),
        ("0.0.0.0", False),
        ("::1", False),
        ("fe80::1", False),
        ("::ffff:127.0.0.1", False),
        ("2606:4700::1", True),
    ],
)
def test_networks(address: str, allowed: bool) -> None:
    assert is_allowed(address, ()) is allowed
    assert is_allowed(address, [ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0")])


@dataclass
class Server:
    port: int = 0
    told: list[Any] = field(default_factory=list)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    app, made = web.Application(), Server()

    async def hook(request: web.Request) -> web.Response:
        made.told.append(await request.json())
        if request.path == "/away":
            raise web.HTTPTemporaryRedirect("/hook")
        return web.Response(status=500 if request.path == "/broken" else 204)

    app.router.add_post("/{path}", hook)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.port = runner.addresses[0][1]
    yield made
    await runner.cleanup()


async def test_what_is_allowed_is_told(server: Server) -> None:
    async with Webhooks(LOOPBACK) as webhooks:
        for host in ("127.0.0.1", "localhost"):
            await webhooks.tell(f"http://{host}:{server.port}/hook", {"a": 1})
        assert server.told == [{"a": 1}] * 2
        for path, words in (("broken", "500"), ("away", "307")):
            with pytest.raises(NotToldError, match=words):
                await webhooks.tell(f"http://127.0.0.1:{server.port}/{path}", {})
        assert len(server.told) == 4  # the redirect was not followed


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]"])
async def test_what_is_not_is_never_dialled(server: Server, host: str) -> None:
    async with Webhooks() as webhooks:
        with pytest.raises(NotToldError, match="webhook-networks"):
            await webhooks.tell(f"http://{host}:{server.port}/hook", {})
    assert server.told == []


async def test_nobody_there() -> None:
    async with Webhooks(LOOPBACK) as webhooks:
        with pytest.raises(NotToldError):
            await webhooks.tell("http://127.0.0.1:1/hook", {})
