"""Locks in an S3 store, where no kernel knows who is still there: who cannot say so in time stops by itself."""

import asyncio
import contextlib
import signal
import time
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import pytest
from aiohttp import web
from shoal_registry.names import UploadId
from shoal_registry.storage import paths
from shoal_registry.storage.bucket import Bucket
from shoal_registry.storage.places import parse
from shoal_registry.storage.s3 import S3Store
from shoal_registry.storage.store import Store, StoreUnavailableError

from tests.ground.flaky import Flaky
from tests.ground.proxy import Proxy
from tests.ground.s3 import S3Server
from tests.ground.waiting import wait_until
from tests.registry.stores import LEASE_SECONDS, open_store_at, place_of
from tests.registry.test_stores import holder, said

NAME = "repository/a"


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    return place_of("s3", tmp_path, request, monkeypatch)


async def test_a_holder_that_slept_too_long_knows_it(place: tuple[str, str]) -> None:
    """Before it writes anything: another may have the lock by now."""
    other = open_store_at(*place)
    async with holder(place, NAME) as process:
        process.send_signal(signal.SIGSTOP)
        async with asyncio.timeout(30), other.lock(NAME):
            process.send_signal(signal.SIGCONT)
            assert "was lost" in await said(process)
            # It did not end what is another's now.
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(LEASE_SECONDS), open_store_at(*place).lock(NAME):
                    pytest.fail("it is held")


async def test_a_holder_that_is_cut_off_stops_before_others_begin(place: tuple[str, str], s3_server: S3Server) -> None:
    other, stopped = open_store_at(*place), 0.0

    async def hold_until_lost(store: Store) -> None:
        nonlocal stopped
        try:
            async with store.lock(NAME):
                is_held.set()
                await asyncio.Event().wait()
        finally:
            stopped = time.monotonic()

    is_held = asyncio.Event()
    async with Proxy("127.0.0.1", s3_server.port) as proxy:
        one = open_store_at(place[0], f"http://{proxy.endpoint}")
        holding = asyncio.create_task(hold_until_lost(one))
        await is_held.wait()
        proxy.cut()
        async with asyncio.timeout(60), other.lock(NAME):
            begun = time.monotonic()
        with pytest.raises(StoreUnavailableError, match="was lost"):
            await holding
        assert stopped < begun


async def test_what_waits_to_be_written_is_not_once_the_lock_is_lost(place: tuple[str, str]) -> None:
    """Who has it then goes on with the upload as it was; what came late would spoil that."""
    store, other = open_store_at(*place), open_store_at(*place)
    upload = UploadId("00000000-0000-0000-0000-000000000001")
    data = paths.upload_data(upload)

    async def write_until_lost() -> None:
        async with store.lock(paths.upload_lock(data)):
            try:
                await store.append(data, 0, b"late")
                await other.put(PurePosixPath("locks", f"upload:{upload.text}"), b"another's")
                await asyncio.Event().wait()
            finally:
                await store.flush(data)

    with pytest.raises(StoreUnavailableError, match="was lost"):
        async with asyncio.timeout(30):
            await write_until_lost()
    assert await other.size(data) is None
    await other.delete(PurePosixPath("locks", f"upload:{upload.text}"))
    async with store.lock(paths.upload_lock(data)):
        await store.append(data, 0, b"again")
        await store.flush(data)
    assert await other.size(data) == 5


async def test_who_gives_a_lock_back_leaves_alone_who_has_it_then(place: tuple[str, str], s3_server: S3Server) -> None:
    """Also if it never heard that its own was ended, and asks again."""
    other, is_free, is_taken, is_over = open_store_at(*place), asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def hold_next() -> None:
        await is_free.wait()
        async with other.lock(NAME):
            is_taken.set()
            await is_over.wait()

    async def loses(request: web.Request) -> bool:
        is_first = "delete" in request.query and not is_free.is_set()
        if is_first:
            is_free.set()
            await is_taken.wait()
        return is_first

    async with Flaky("127.0.0.1", s3_server.port, seed=0, rate=0) as flaky, asyncio.TaskGroup() as tasks:
        tasks.create_task(hold_next())
        async with asyncio.timeout(30), open_store_at(place[0], flaky.endpoint).lock(NAME):
            flaky.loses = loses
        assert is_taken.is_set()
        assert await other.names(PurePosixPath("locks")) == ["repository:a"]
        is_over.set()


async def test_what_killed_holders_left_is_ended_at_once(place: tuple[str, str]) -> None:
    """However many there are, and also if nobody wants those locks any more; what is held stays."""
    store = open_store_at(*place)
    assert isinstance(store, S3Store)
    async with contextlib.AsyncExitStack() as holders:
        for number in range(5):
            process = await holders.enter_async_context(holder(place, f"content/{number}"))
            process.kill()
        async with open_store_at(*place).lock(NAME):
            keeping = asyncio.create_task(store.keep_locks())

            async def names() -> Sequence[str]:
                return await store.names(PurePosixPath("locks"))

            await wait_until(names, ["repository:a"].__eq__, timeout_seconds=3 * LEASE_SECONDS, why="five locks ended")
            keeping.cancel()


async def test_a_place_is_proven_before_it_is_used(place: tuple[str, str]) -> None:
    store = open_store_at(*place)
    assert isinstance(store, S3Store)
    await store.prove()
    assert await store.names(PurePosixPath("locks")) == []
    with pytest.raises(StoreUnavailableError):
        await S3Store(Bucket("images", "", "http://127.0.0.1:1")).prove()


def test_places() -> None:
    assert parse("a/folder", {}) == Path("a/folder")
    environment = {"AWS_ENDPOINT_URL": "http://s3:1", "AWS_DEFAULT_REGION": "here", "AWS_CA_BUNDLE": "/ca"}
    assert parse("s3://bucket/a/b/", environment) == Bucket("bucket", "a/b", "http://s3:1", "here", Path("/ca"))
    for text in ("s3:///prefix", "gs://bucket", "s3://bucket/prefix?x=1"):
        with pytest.raises(ValueError, match="s3://bucket/prefix"):
            parse(text, {})
