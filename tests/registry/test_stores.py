"""What every store promises, tried one by one: what is read is always whole, and of one write."""

import asyncio
import random
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import TypeAlias

import pytest
from shoal_registry.ranges import Span
from shoal_registry.storage import master_keys
from shoal_registry.storage.encrypted import EncryptedStore
from shoal_registry.storage.folder import FolderStore
from shoal_registry.storage.master_keys import MasterKeys
from shoal_registry.storage.store import Store

from tests.registry.stores import KINDS, LEASE_SECONDS, open_store_at, place_of

OpenStore: TypeAlias = Callable[[], Store]

MIB = 1024 * 1024
PATH = PurePosixPath("repositories/a/_tags/v1")
DATA, CONTENT = PurePosixPath("uploads/1/data"), PurePosixPath("contents", "sha256", "ab", "ab" * 32)
SIZE = 3 * MIB // 2 + 5
# Locks are the same ones.
PLAIN = pytest.mark.parametrize("protection", ["plain"])
VERSIONS = [bytes([number]) * SIZE for number in range(4)]


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    return place_of(request.param, tmp_path, request, monkeypatch)


@pytest.fixture(params=["plain", "encrypted"])
def protection(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def open_store(place: tuple[str, str], protection: str, tmp_path: Path) -> Iterator[OpenStore]:
    """Opens one and the same store, every time as another process would."""
    folders: list[FolderStore] = []
    master_keys.make(tmp_path / "master.key", bytes(range(32)), datetime.now(UTC))

    def open_one() -> Store:
        store = open_store_at(*place)
        if isinstance(store, FolderStore):
            folders.append(store)
        return store if protection == "plain" else EncryptedStore(store, MasterKeys(tmp_path / "master.key"))

    yield open_one
    for each in folders:
        each.close()


@pytest.fixture
def store(open_store: OpenStore) -> Store:
    return open_store()


async def collect(store: Store, path: PurePosixPath, span: Span) -> bytes:
    return b"".join([piece async for piece in store.stream(path, span)])


async def test_a_reader_sees_one_version_whole(store: Store) -> None:
    await store.put(PATH, VERSIONS[0])

    async def write() -> None:
        for number in range(20):
            await store.put(PATH, VERSIONS[number % len(VERSIONS)], durable=number % 2 == 0)

    writing = asyncio.create_task(write())
    while not writing.done():
        assert await store.read(PATH) in VERSIONS
    await writing


async def test_a_stream_is_of_what_was_there_when_it_began(store: Store) -> None:
    await store.put(PATH, VERSIONS[0])
    pieces = []
    async for piece in store.stream(PATH, Span(1, SIZE - 1)):
        pieces.append(piece)
        await store.put(PATH, VERSIONS[1])
    assert b"".join(pieces) == VERSIONS[0][1:]
    assert len(pieces) > 1


async def test_what_is_cut_off_is_said(store: Store) -> None:
    """Never fewer bytes than were promised without a word."""
    await store.put(PATH, b"short")
    await store.append(DATA, 0, b"short")
    await store.flush(DATA)
    for path in (PATH, DATA):
        for span in (Span(0, 6), Span(5, 1), Span(70, 7)):
            with pytest.raises(EOFError):
                await collect(store, path, span)
    for absent in (PurePosixPath("absent"), PurePosixPath("uploads/2/data")):
        for span in (Span(0, 1), Span(0, 0)):
            with pytest.raises(FileNotFoundError):
                await collect(store, absent, span)


async def test_what_is_not_there(store: Store) -> None:
    assert await store.size(PATH) is None
    assert await store.read(PATH) is None
    assert await store.names(PATH.parent) == []
    assert not await store.delete(PATH)
    await store.remove(PATH.parent)
    for path in (PATH, PATH.parent):
        with pytest.raises(FileNotFoundError):
            await store.changed(path)
    await store.put(PATH, b"")
    assert (await store.size(PATH), await store.read(PATH), await store.names(PATH.parent)) == (0, b"", ["v1"])
    assert await collect(store, PATH, Span(0, 0)) == b""
    assert await store.delete(PATH)
    assert await store.size(PATH) is None


async def test_names_are_of_one_folder_in_the_order_of_their_bytes(store: Store) -> None:
    names = ["V1", "_v", "a:b:c", "sha256-abc", "v-1", "v1", "v1.0", "v10"]
    for name in reversed(names):
        await store.put(PATH.with_name(name), name.encode())
    await store.put(PATH.parent / "folder" / "inside", b"")
    await store.put(PATH.parent.with_name("_tagsother") / "v2", b"")
    assert await store.names(PATH.parent) == sorted([*names, "folder"])
    assert await store.read(PATH.with_name("a:b:c")) == b"a:b:c"


async def test_what_is_removed(store: Store) -> None:
    """All of the folder, and nothing beside it."""
    beside = PurePosixPath("uploads/10/repository")
    await store.put(beside, b"beside")
    await store.put(DATA.with_name("repository"), b"a")
    await store.append(DATA, 0, b"data")
    await store.flush(DATA)
    await store.remove(DATA.parent)
    assert (await store.size(DATA), await store.read(DATA.with_name("repository"))) == (None, None)
    assert await store.read(beside) == b"beside"


async def test_when_something_changed(store: Store) -> None:
    before = time.time()
    await store.put(DATA.with_name("repository"), b"a")
    await store.append(DATA, 0, b"data")
    await store.flush(DATA)
    await store.put(PATH, b"a")
    for path in (DATA.parent, PATH):
        # Some stores tell whole seconds.
        assert before - 2 < await store.changed(path) < time.time() + 2


async def test_what_was_appended_is_adopted_as_a_whole(store: Store) -> None:
    await store.append(DATA, 0, b"first, ")
    await store.append(DATA, 7, b"second and third")
    await store.flush(DATA)
    await store.truncate(DATA, 13)
    assert await store.size(DATA) == 13
    await store.adopt(DATA, CONTENT)
    assert await store.read(CONTENT) == b"first, second"
    assert await store.size(DATA) is None
    await store.append(DATA, 0, b"")
    await store.flush(DATA)
    await store.adopt(DATA, CONTENT)
    assert (await store.size(CONTENT), await store.read(CONTENT)) == (0, b"")


async def test_what_was_put_can_be_moved(store: Store) -> None:
    aside = PurePosixPath("damaged/sha256-abc/content")
    await store.put(PATH, b"a tag")
    await store.adopt(PATH, aside)
    assert (await store.read(PATH), await store.read(aside)) == (None, b"a tag")
    with pytest.raises(FileNotFoundError):
        await store.adopt(PATH, aside)


async def test_what_a_store_does_not_copy_by_itself_is_moved(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """An object of more than 5 GiB in a bucket; here, of more than a MiB."""
    monkeypatch.setattr("shoal_registry.storage.objects.COPIED_BYTES_MAX", 2**20)
    source, target, content = PurePosixPath("a", "b"), PurePosixPath("damaged", "b"), b"0123456789abcdef" * 2**17
    await store.put(source, content)
    await store.adopt(source, target)
    assert (await store.read(target), await store.size(source)) == (content, None)


async def test_nothing_is_adopted_from_nowhere(store: Store) -> None:
    with pytest.raises(FileNotFoundError):
        await store.adopt(DATA, CONTENT)
    assert await store.size(CONTENT) is None
    await store.flush(DATA)
    assert await store.size(DATA) is None


@pytest.mark.parametrize("seed", range(4))
async def test_one_process_goes_on_where_another_stopped(open_store: OpenStore, seed: int) -> None:
    """Appended, cut off and read through two, as chance has it; then the same bytes are the content."""
    chance, stores, expected = random.Random(seed), [open_store(), open_store()], b""
    for _ in range(12):
        store = chance.choice(stores)
        for _ in range(chance.randrange(4)):
            piece = chance.randbytes(chance.choice([1, 1000, MIB]))
            await store.append(DATA, len(expected), piece)
            expected += piece
        await store.flush(DATA)
        if expected and chance.random() < 0.3:
            expected = expected[: chance.randrange(len(expected))]
            await chance.choice(stores).truncate(DATA, len(expected))
        other = chance.choice(stores)
        assert (await other.size(DATA) or 0) == len(expected)
        start = chance.randrange(len(expected) + 1)
        if expected:
            assert await collect(other, DATA, Span(start, len(expected) - start)) == expected[start:]
    await stores[0].append(DATA, len(expected), b"end")
    await stores[0].flush(DATA)
    await stores[1].adopt(DATA, CONTENT)
    assert await collect(stores[0], CONTENT, Span(0, len(expected) + 3)) == expected + b"end"
    assert await stores[0].size(DATA) is None


async def test_several_adopt_the_same_content_at_once(open_store: OpenStore) -> None:
    """While others read it: it is never anything else."""
    content = random.Random(1).randbytes(3 * MIB)

    async def push(number: int) -> None:
        store, path = open_store(), PurePosixPath(f"uploads/{number}/data")
        for start in range(0, len(content), MIB):
            await store.append(path, start, content[start : start + MIB])
            if number % 2:
                await store.flush(path)
        await store.flush(path)
        await store.adopt(path, CONTENT)

    await push(0)
    pushing = asyncio.gather(*map(push, range(6)))
    reader = open_store()
    while not pushing.done():
        assert await reader.size(CONTENT) == len(content)
        assert await reader.read(CONTENT) == content
    await pushing


@PLAIN
async def test_a_lock_is_held_by_one(open_store: OpenStore) -> None:
    """Of the tasks of two processes; whoever waits gets it, and nothing is left of it."""
    one, other, inside, turns = open_store(), open_store(), 0, 0

    async def enter(through: Store) -> None:
        nonlocal inside, turns
        for _ in range(10):
            async with through.lock("repository/a"):
                inside += 1
                assert inside == 1
                await asyncio.sleep(0.001)
                inside -= 1
                turns += 1

    async with asyncio.timeout(60):
        await asyncio.gather(*(enter(each) for each in (one, other, one, other)))
        async with one.lock("repository/a"), other.lock("repository/b"):
            pass
    assert turns == 40
    assert await one.names(PurePosixPath("locks")) in ([], ["repository"])
    assert await one.names(PurePosixPath("locks/repository")) == []


@PLAIN
async def test_who_stops_waiting_for_a_lock_leaves_it_to_others(open_store: OpenStore) -> None:
    one, other = open_store(), open_store()
    for wait_seconds in (0.001, 0.003, 0.01, 0.03):
        async with one.lock("upload/1"):
            for _ in range(5):
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(wait_seconds), other.lock("upload/1"):
                        pytest.fail("it is held")
    async with asyncio.timeout(30), other.lock("upload/1"):
        pass


@PLAIN
async def test_who_fails_within_a_lock_gives_it_back(open_store: OpenStore) -> None:
    one, other = open_store(), open_store()
    with pytest.raises(LookupError):
        async with one.lock("repository/a"):
            raise LookupError
    async with asyncio.timeout(30), other.lock("repository/a"):
        pass


ROOT = Path(__file__).parent.parent.parent


@asynccontextmanager
async def holder(place: tuple[str, str], name: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Another process, which has the lock."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.registry.stores", *place, name), cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert await said(process) == "held"
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def said(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    async with asyncio.timeout(30):
        return (await process.stdout.readline()).decode().strip()


@PLAIN
async def test_a_lock_ends_with_its_holder(place: tuple[str, str], store: Store) -> None:
    """Also if that was killed: at once, or once it is sure that it is no more."""
    async with holder(place, "repository/a") as process:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(LEASE_SECONDS * 1.2), store.lock("repository/a"):
                pytest.fail("it is held")
        process.kill()
        async with asyncio.timeout(30), store.lock("repository/a"):
            pass
