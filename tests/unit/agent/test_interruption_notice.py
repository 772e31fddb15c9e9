"""The notice of a spot host: as a file, and as EC2's metadata service gives it."""

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web
from shoal_agent import interruption_notice
from shoal_agent.configuration import BadConfiguration, parse
from shoal_agent.interruption import Notice
from shoal_agent.interruption_notice import NoticeWatch, NotUnderstood, understood

from tests.ground.waiting import wait_until

# What EC2 says, and 90 s before the time in it.
EXAMPLE = b'{"action": "terminate", "time": "2026-01-31T12:00:00Z"}'
NOW = 1_769_860_710.0


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interruption_notice, "FILE_PERIOD_SECONDS", 0.01)
    monkeypatch.setattr(interruption_notice, "ADDRESS_PERIOD_SECONDS", 0.01)
    monkeypatch.setattr(interruption_notice, "time", SimpleNamespace(time=lambda: NOW))


def test_what_ec2_says() -> None:
    assert understood(EXAMPLE, "there", NOW) == Notice("there says 'terminate'", 90.0)
    assert understood(EXAMPLE, "there", NOW + 1000).seconds == 0.0
    assert understood(EXAMPLE, "there", NOW - 1e6).seconds == interruption_notice.SECONDS_MAX


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html>log in</html>",
        b"[]",
        b"{}",
        b"\xff",
        b"[" * 4096,
        b'{"action": "stop"}',
        b'{"action": "stop", "time": 5}',
        b'{"action": "stop", "time": "soon"}',
        b'{"action": "stop", "time": "2026-01-31T12:00:00"}',
        b'{"action": {}, "time": "2026-01-31T12:00:00Z"}',
    ],
)
def test_what_is_no_notice(content: bytes) -> None:
    with pytest.raises(NotUnderstood):
        understood(content, "there", NOW)


class Watched:
    def __init__(self, where: str) -> None:
        self.told: list[Notice] = []
        self._task = asyncio.create_task(NoticeWatch(where, self.told.append).run())

    async def until(self, count: int) -> None:
        await wait_until(lambda: len(self.told) >= count)

    async def end(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


@pytest.fixture
async def file(tmp_path: Path) -> AsyncIterator[tuple[Path, Watched]]:
    path = tmp_path / "notice"
    watched = Watched(str(path))
    yield path, watched
    await watched.end()


def put(path: Path, content: bytes) -> None:
    beside = path.with_suffix(".new")
    beside.write_bytes(content)
    beside.rename(path)


async def test_a_file_that_appears(file: tuple[Path, Watched]) -> None:
    path, watched = file
    await asyncio.sleep(0.05)
    assert not watched.told
    put(path, b"")
    await watched.until(1)
    assert watched.told == [Notice(f"{path} is there", interruption_notice.DEFAULT_SECONDS)]
    put(path, EXAMPLE)
    await watched.until(2)
    assert watched.told[1].seconds == 90.0
    await asyncio.sleep(0.05)
    assert len(watched.told) == 2  # the same content is the same notice
    path.unlink()
    await asyncio.sleep(0.1)
    put(path, EXAMPLE)
    await watched.until(3)  # it went, and this is another one


async def test_a_file_that_says_nonsense_is_a_notice_all_the_same(
    file: tuple[Path, Watched], caplog: pytest.LogCaptureFixture
) -> None:
    path, watched = file
    put(path, b"tomorrow")
    await watched.until(1)
    assert watched.told[0].seconds == interruption_notice.DEFAULT_SECONDS
    assert "does not say when" in caplog.text


async def test_a_folder_is_said_once_and_is_no_notice(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    watched = Watched(str(tmp_path))
    await wait_until(lambda: "IsADirectoryError" in caplog.text)
    await asyncio.sleep(0.05)
    assert not watched.told
    assert sum(record.levelno == logging.ERROR for record in caplog.records) == 1
    await watched.end()


class Metadata:
    """What answers at the address. `token`: without it nothing is said."""

    def __init__(self) -> None:
        self.status, self.body, self.token = 404, b"", ""
        self.asked = 0

    async def get(self, request: web.Request) -> web.Response:
        self.asked += 1
        if self.token and request.headers.get("X-aws-ec2-metadata-token") != self.token:
            return web.Response(status=401)
        return web.Response(status=self.status, body=self.body, headers={"Location": "/elsewhere"})

    async def put(self, request: web.Request) -> web.Response:
        assert int(request.headers["X-aws-ec2-metadata-token-ttl-seconds"]) <= 21_600
        return web.Response(text=self.token)

    async def elsewhere(self, _: web.Request) -> web.Response:
        return web.Response(body=EXAMPLE)


@pytest.fixture
async def metadata() -> AsyncIterator[tuple[Metadata, Watched]]:
    service = Metadata()
    app = web.Application()
    app.router.add_get("/latest/meta-data/spot/instance-action", service.get)
    app.router.add_put("/latest/api/token", service.put)
    app.router.add_get("/elsewhere", service.elsewhere)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    watched = Watched(f"http://127.0.0.1:{port}/latest/meta-data/spot/instance-action")
    yield service, watched
    await watched.end()
    await runner.cleanup()


@pytest.mark.parametrize("token", ["", "secret"])
async def test_an_address_that_answers(metadata: tuple[Metadata, Watched], token: str) -> None:
    service, watched = metadata
    service.token = token
    await wait_until(lambda: service.asked > 3)
    assert not watched.told
    service.status, service.body = 200, EXAMPLE
    await watched.until(1)
    assert watched.told[0].seconds == 90.0
    assert watched.told[0].reason.endswith("/latest/meta-data/spot/instance-action says 'terminate'")
    service.token = token and "another"  # the first one is over
    service.body = EXAMPLE.replace(b"terminate", b"stop")
    await watched.until(2)


@pytest.mark.parametrize(("status", "body"), [(302, b""), (500, EXAMPLE), (200, b"<html>"), (200, b"")])
async def test_what_an_address_says_beside_is_said_once_and_is_no_notice(
    metadata: tuple[Metadata, Watched], caplog: pytest.LogCaptureFixture, status: int, body: bytes
) -> None:
    service, watched = metadata
    service.status, service.body = status, body
    await wait_until(lambda: service.asked > 3)
    assert not watched.told
    errors = [record for record in caplog.records if record.name == interruption_notice.__name__]
    assert len(errors) == 1
    service.status, service.body = 200, EXAMPLE
    await watched.until(1)


async def test_nobody_there_is_said_and_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    watched = Watched("http://127.0.0.1:1/notice")
    await wait_until(lambda: "no notice can be looked for" in caplog.text)
    assert not watched.told
    await watched.end()


@pytest.mark.parametrize("good", ["/run/notice", "http://169.254.169.254/latest/meta-data/spot/instance-action"])
def test_where_it_may_be(good: str) -> None:
    assert parse({"interruption_notice": good}).interruption_notice == good


@pytest.mark.parametrize("bad", ["run/notice", "ftp://host/x", "http:///x", "", 5])
def test_where_it_may_not_be(bad: Any) -> None:
    with pytest.raises(BadConfiguration, match="interruption_notice"):
        parse({"interruption_notice": bad})
