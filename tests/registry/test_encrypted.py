"""The encrypted store, compared with plain bytes: whatever is done to it, killed or tampered with."""

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shoal_registry.ranges import Span
from shoal_registry.storage import master_keys
from shoal_registry.storage.cipher import CHUNK_BYTES, HEADER_BYTES, OVERHEAD_BYTES, RECORD_BYTES
from shoal_registry.storage.damage import Damaged
from shoal_registry.storage.encrypted import EncryptedStore
from shoal_registry.storage.folder import FolderStore
from shoal_registry.storage.master_keys import MasterKeys, MasterKeyUnknown
from shoal_registry.storage.store import Store

from tests.ground.repeats import TEN

DATA = PurePosixPath("uploads/1/data")
# Where something may go wrong: at, and beside, the ends of chunks.
SIZES = st.one_of(
    st.integers(0, 40),
    st.builds(lambda chunks, more: max(0, chunks * CHUNK_BYTES + more), st.integers(0, 3), st.integers(-2, 2)),
    st.integers(0, 4 * CHUNK_BYTES),
)
STEPS = st.lists(st.tuples(st.sampled_from(["append", "append", "truncate", "reopen"]), SIZES), min_size=1, max_size=8)


@pytest.fixture
def folder_store(tmp_path: Path) -> Iterator[FolderStore]:
    made = FolderStore(tmp_path / "store")
    yield made
    made.close()


def content_path(content: bytes) -> PurePosixPath:
    digest = hashlib.sha256(content).hexdigest()
    return PurePosixPath("contents", "sha256", digest[:2], digest)


def keys_in(folder: Path) -> MasterKeys:
    master_keys.make(folder / "master-key", bytes(range(32)), datetime.now(UTC))
    return MasterKeys(folder / "master-key")


class Killed(BaseException):
    """Here the process ends."""


@dataclass(slots=True)
class Dying:
    """A store whose process is killed at its write number `survives`: before it, half-way through it, or after it."""

    store: Store
    survives: int
    chance: random.Random

    async def size(self, path: PurePosixPath) -> int | None:
        return await self.store.size(path)

    async def read(self, path: PurePosixPath) -> bytes | None:
        return await self.store.read(path)

    def stream(self, path: PurePosixPath, span: Span) -> AsyncIterator[bytes]:
        return self.store.stream(path, span)

    async def names(self, path: PurePosixPath) -> Sequence[str]:
        return await self.store.names(path)

    async def changed(self, path: PurePosixPath) -> float:
        return await self.store.changed(path)

    def lock(self, name: str) -> AbstractAsyncContextManager[None]:
        return self.store.lock(name)

    async def put(self, path: PurePosixPath, content: bytes, durable: bool = True) -> None:
        dies = self._dies_before()
        await self.store.put(path, content, durable)
        self._die(dies)

    async def delete(self, path: PurePosixPath) -> bool:
        dies = self._dies_before()
        deleted = await self.store.delete(path)
        self._die(dies)
        return deleted

    async def append(self, path: PurePosixPath, offset: int, piece: bytes | bytearray) -> None:
        dies = self._dies_before()
        await self.store.append(path, offset, piece[: self.chance.randint(0, len(piece))] if dies else piece)
        self._die(dies)

    async def flush(self, path: PurePosixPath) -> None:
        await self.store.flush(path)

    async def truncate(self, path: PurePosixPath, size: int) -> None:
        dies = self._dies_before()
        await self.store.truncate(path, size)
        self._die(dies)

    async def adopt(self, source: PurePosixPath, target: PurePosixPath) -> None:
        dies = self._dies_before()
        await self.store.adopt(source, target)
        self._die(dies)

    async def remove(self, path: PurePosixPath) -> None:
        await self.store.remove(path)

    def _dies_before(self) -> bool:
        self.survives -= 1
        if self.survives < 0 and self.chance.random() < 0.5:
            raise Killed
        return self.survives < 0

    def _die(self, dies: bool) -> None:
        if dies:
            raise Killed


async def whole(store: Store, path: PurePosixPath) -> bytes:
    size = await store.size(path)
    assert size is not None
    return b"".join([piece async for piece in store.stream(path, Span(0, size))])


@given(steps=STEPS, seed=st.integers(0, 2**32))
@settings(max_examples=30, deadline=None)
def test_it_holds_what_plain_bytes_would(steps: list[tuple[str, int]], seed: int) -> None:
    async def compare(folder: Path) -> None:
        plain, keys, chance = FolderStore(folder / "store"), keys_in(folder), random.Random(seed)
        store, model = EncryptedStore(plain, keys), b""
        for step, size in steps:
            if step == "append":
                piece = chance.randbytes(size)
                # In pieces, of one caller or of many.
                for start in range(0, max(1, size), 50_000):
                    await store.append(DATA, len(model), piece[start : start + 50_000])
                    model += piece[start : start + 50_000]
                    if chance.random() < 0.2:
                        await store.flush(DATA)
                assert await store.size(DATA) == len(model)
                await store.flush(DATA)
            elif step == "truncate" and model:
                await store.truncate(DATA, size % (len(model) + 1))
                model = model[: size % (len(model) + 1)]
            elif step == "reopen":
                store = EncryptedStore(plain, keys)
            assert (await store.size(DATA) or 0) == len(model)
        if await store.size(DATA) is None:
            await store.append(DATA, 0, b"")
            await store.flush(DATA)
        assert await whole(store, DATA) == model
        path = content_path(model)
        await store.adopt(DATA, path)
        for each in (store, EncryptedStore(plain, keys)):
            assert (await each.size(path), await each.read(path), await whole(each, path)) == (len(model), model, model)
            for _ in range(10):
                start = chance.randint(0, len(model))
                span = Span(start, chance.randint(0, len(model) - start))
                assert b"".join([piece async for piece in each.stream(path, span)]) == model[start : span.last + 1]
        stored = await plain.read(path)
        assert stored is not None and not any(model[at : at + 16] in stored for at in range(0, len(model) - 15, 9_973))
        plain.close()

    with TemporaryDirectory() as folder:
        asyncio.run(compare(Path(folder)))


@pytest.mark.parametrize("seed", TEN)
async def test_an_upload_that_was_killed_goes_on_where_it_is_whole(
    folder_store: FolderStore, tmp_path: Path, seed: int
) -> None:
    """At every write of its life."""
    keys, chance = keys_in(tmp_path), random.Random(seed)
    for survives in range(30):
        content = chance.randbytes(
            chance.choice([0, 10, CHUNK_BYTES, 3 * CHUNK_BYTES, chance.randint(1, 5 * CHUNK_BYTES)])
        )
        data = PurePosixPath("uploads", str(survives), "data")
        dying = EncryptedStore(Dying(folder_store, survives, chance), keys)
        acknowledged = 0
        try:
            for end in sorted([chance.randint(0, len(content)) for _ in range(4)] + [len(content)]):
                await dying.append(data, acknowledged, content[acknowledged:end])
                await dying.flush(data)
                acknowledged = end
            await dying.truncate(data, acknowledged := acknowledged // 2)
            await dying.append(data, acknowledged, content[acknowledged:])
            await dying.flush(data)
            await dying.adopt(data, content_path(content))
        except Killed:
            pass
        store = EncryptedStore(folder_store, keys)
        if await store.size(content_path(content)) is None:
            size = await store.size(data) or 0
            assert content.startswith(await whole(store, data) if size else b"")
            # No more than one chunk of what was acknowledged, and nothing that never was.
            assert size >= (acknowledged - 1) // CHUNK_BYTES * CHUNK_BYTES
            if size < len(content) or not size:
                await store.append(data, size, content[size:])
                await store.flush(data)
            await store.adopt(data, content_path(content))
        assert await whole(store, content_path(content)) == content


SPOILED = 2 * CHUNK_BYTES + 1000


async def test_every_change_is_noticed(folder_store: FolderStore, tmp_path: Path) -> None:
    keys, content = keys_in(tmp_path), random.Random(1).randbytes(SPOILED)
    store, path = EncryptedStore(folder_store, keys), content_path(content)
    await store.put(path, content)
    stored = await folder_store.read(path)
    key = PurePosixPath("keys", *path.parts[1:-1], *await folder_store.names(PurePosixPath("keys", *path.parts[1:-1])))
    wrapped = await folder_store.read(key)
    assert stored and wrapped
    for bad in spoiled(stored):
        await folder_store.put(path, bad)
        await assert_noticed(EncryptedStore(folder_store, keys), path)
    await folder_store.put(path, stored)
    for at in range(len(wrapped)):
        await folder_store.put(key, flipped(wrapped, at))
        with pytest.raises((Damaged, MasterKeyUnknown)):
            await EncryptedStore(folder_store, keys).read(path)
    await folder_store.put(key, wrapped)
    assert await EncryptedStore(folder_store, keys).read(path) == content


def spoiled(stored: bytes) -> Iterator[bytes]:
    chance, records = (
        random.Random(2),
        [stored[at : at + RECORD_BYTES] for at in range(HEADER_BYTES, len(stored), RECORD_BYTES)],
    )
    places = {*range(HEADER_BYTES + 20), *range(len(stored) - 20, len(stored)), *chance.sample(range(len(stored)), 100)}
    ends = [HEADER_BYTES + number * RECORD_BYTES for number in (1, 2)]
    places |= {at for end in ends for at in range(end - 20, end + 20)}
    yield from (flipped(stored, at) for at in sorted(places))
    # Cut off, lengthened, in another order, twice, without the first, without one between.
    yield from (
        stored[:size] for size in (0, 10, HEADER_BYTES, *ends, ends[0] + 1, ends[1] + OVERHEAD_BYTES, len(stored) - 1)
    )
    yield from (stored + more for more in (b"\0", bytes(OVERHEAD_BYTES), records[2], records[0]))
    header, first, second, third = stored[:HEADER_BYTES], *records
    for order in (
        (second, first, third),
        (first, first, third),
        (second, third),
        (first, third),
        (third,),
        (first, second),
    ):
        yield header + b"".join(order)


def flipped(stored: bytes, at: int) -> bytes:
    return stored[:at] + bytes([stored[at] ^ 1 << at % 8]) + stored[at + 1 :]


async def assert_noticed(store: EncryptedStore, path: PurePosixPath) -> None:
    with pytest.raises(Damaged):
        await store.read(path)
    with pytest.raises(Damaged):
        await whole(store, path)


async def test_a_content_in_the_place_of_another_is_noticed_with_its_key_too(
    folder_store: FolderStore, tmp_path: Path
) -> None:
    store, first, second = (
        EncryptedStore(folder_store, keys_in(tmp_path)),
        content_path(b"first"),
        content_path(b"second"),
    )
    await store.put(first, b"first")
    await store.put(second, b"second")
    (file_id,) = [
        name.partition(".")[2] for name in await folder_store.names(PurePosixPath("keys", *first.parts[1:-1]))
    ]
    root, key = tmp_path / "store", f"keys/sha256/{first.parts[2]}/{first.name}.{file_id}"
    (root / first).rename(root / second)
    await assert_noticed(EncryptedStore(folder_store, keys_in(tmp_path)), second)
    (root / key).rename(root / "keys" / "sha256" / second.parts[2] / f"{second.name}.{file_id}")
    await assert_noticed(EncryptedStore(folder_store, keys_in(tmp_path)), second)


async def test_readers_of_a_content_that_is_replaced_see_it_whole(folder_store: FolderStore, tmp_path: Path) -> None:
    """By another process, so that what was remembered of it is wrong."""
    keys, content = keys_in(tmp_path), random.Random(3).randbytes(3 * CHUNK_BYTES)
    path = content_path(content)
    reader, writer = EncryptedStore(folder_store, keys), EncryptedStore(folder_store, keys)
    await writer.put(path, content)

    async def write() -> None:
        for _ in range(20):
            await writer.put(path, content)

    writing = asyncio.create_task(write())
    while not writing.done():
        assert await reader.read(path) == content
        assert b"".join([piece async for piece in reader.stream(path, Span(70_000, 9))]) == content[70_000:70_009]
    await writing
    assert len(await folder_store.names(PurePosixPath("keys", *path.parts[1:-1]))) == 1


async def test_no_nonce_is_drawn_twice(folder_store: FolderStore, tmp_path: Path) -> None:
    """Also if the same bytes are appended, cut off and appended again."""
    store, seen = EncryptedStore(folder_store, keys_in(tmp_path)), set()
    for size in (10, 20, 20, 30):
        await store.append(DATA, 0 if size == 10 else 10, b"x" * size if size == 10 else b"x" * 5)
        await store.flush(DATA)
        record = (await folder_store.read(DATA) or b"")[HEADER_BYTES:]
        seen.add(record[:12])
        await store.truncate(DATA, 10)
    assert len(seen) == 4
