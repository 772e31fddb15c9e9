"""The folder as a store: what is read is always whole, and of one write."""

import asyncio
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest
from shoal_registry.ranges import Span
from shoal_registry.storage.folder import PIECE_BYTES, FolderStore

PATH = PurePosixPath("repositories/a/_tags/v1")
SIZE = 3 * PIECE_BYTES + 5
VERSIONS = [bytes([number]) * SIZE for number in range(4)]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FolderStore]:
    made = FolderStore(tmp_path)
    yield made
    made.close()


async def test_a_reader_sees_one_version_whole(store: FolderStore) -> None:
    await store.put(PATH, VERSIONS[0])

    async def write() -> None:
        for number in range(20):
            await store.put(PATH, VERSIONS[number % len(VERSIONS)])

    writing = asyncio.create_task(write())
    while not writing.done():
        assert await store.read(PATH) in VERSIONS
    await writing


async def test_a_stream_is_of_what_was_there_when_it_began(store: FolderStore) -> None:
    await store.put(PATH, VERSIONS[0])
    pieces = []
    async for piece in store.stream(PATH, Span(1, SIZE - 1)):
        pieces.append(piece)
        await store.put(PATH, VERSIONS[1])
    assert b"".join(pieces) == VERSIONS[0][1:]
    assert len(pieces) > 1


async def test_what_is_cut_off_is_said(store: FolderStore) -> None:
    """Never fewer bytes than were promised without a word."""
    await store.put(PATH, b"short")
    with pytest.raises(EOFError):
        async for _ in store.stream(PATH, Span(0, 6)):
            pass
    with pytest.raises(FileNotFoundError):
        async for _ in store.stream(PurePosixPath("absent"), Span(0, 1)):
            pass


async def test_what_is_not_there(store: FolderStore) -> None:
    assert await store.size(PATH) is None
    assert await store.read(PATH) is None
    assert await store.names(PATH.parent) == []
    assert not await store.delete(PATH)
    await store.put(PATH, b"")
    assert (await store.size(PATH), await store.read(PATH), await store.names(PATH.parent)) == (0, b"", ["v1"])
    assert await store.delete(PATH)


async def test_what_was_appended_is_adopted_as_a_whole(store: FolderStore) -> None:
    data, content = PurePosixPath("uploads/1/data"), PurePosixPath("contents/sha256/ab/abc")
    await store.append(data, 0, b"first, ")
    await store.append(data, 7, b"second and third")
    await store.truncate(data, 13)
    await store.adopt(data, content)
    assert await store.read(content) == b"first, second"
    assert await store.size(data) is None


async def test_a_lock_is_held_by_one(store: FolderStore, tmp_path: Path) -> None:
    """Of the tasks of two processes; whoever waits gets it, and nothing is left of it."""
    other, inside, turns = FolderStore(tmp_path), 0, 0

    async def enter(through: FolderStore) -> None:
        nonlocal inside, turns
        for _ in range(10):
            async with through.lock("repository/a"):
                inside += 1
                assert inside == 1
                await asyncio.sleep(0.001)
                inside -= 1
                turns += 1

    async with asyncio.timeout(30):
        await asyncio.gather(*(enter(each) for each in (store, other, store, other)))
        async with store.lock("repository/a"), other.lock("repository/b"):
            assert len(list((tmp_path / "locks").iterdir())) == 2
    assert turns == 40
    assert not list((tmp_path / "locks").iterdir())
    other.close()


async def test_who_stops_waiting_for_a_lock_leaves_it_to_others(store: FolderStore, tmp_path: Path) -> None:
    other = FolderStore(tmp_path)
    async with store.lock("upload/1"):
        for _ in range(20):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.005), other.lock("upload/1"):
                    pytest.fail("it is held")
    async with asyncio.timeout(30), other.lock("upload/1"):
        pass
    other.close()
