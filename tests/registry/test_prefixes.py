"""Whatever write is the last one before a crash, what has a tag is whole and what a manifest needs is held."""

import errno
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path, PurePosixPath
from uuid import uuid4

import pytest
from shoal_registry import manifest as manifests
from shoal_registry.errors import Refused
from shoal_registry.names import Digest, Repository, Tag, UploadId
from shoal_registry.ranges import Span
from shoal_registry.repositories import Repositories
from shoal_registry.storage import paths
from shoal_registry.storage.folder import FolderStore
from shoal_registry.uploads import Uploads

from tests.registry.client import CONFIG, IMAGE, LAYER, descriptor, image_manifest, index

PUSHED, OTHER = Repository("pushed"), Repository("other")
LAYERS = (b"{}", b"a layer", b"another layer")


class CrashError(Exception):
    """Not one that the registry knows of."""


class CrashingStore(FolderStore):
    """Does so many writes and no more."""

    def __init__(self, root: Path, writes: int) -> None:
        super().__init__(root)
        self.left = writes

    def _count(self) -> None:
        if self.left == 0:
            raise CrashError
        self.left -= 1

    async def put(self, path: PurePosixPath, content: bytes, durable: bool = True) -> None:
        self._count()
        await super().put(path, content, durable)

    async def delete(self, path: PurePosixPath) -> bool:
        self._count()
        return await super().delete(path)

    async def append(self, path: PurePosixPath, offset: int, piece: bytes | bytearray) -> None:
        self._count()
        await super().append(path, offset, piece)

    async def adopt(self, source: PurePosixPath, target: PurePosixPath) -> None:
        self._count()
        await super().adopt(source, target)

    async def remove(self, path: PurePosixPath) -> None:
        self._count()
        await super().remove(path)


async def once(content: bytes) -> AsyncIterator[bytes]:
    yield content


def uploads_to(store: FolderStore) -> Uploads:
    return Uploads(store, Repositories(store), lambda: UploadId(str(uuid4())))


async def push_blobs(store: FolderStore, repository: Repository, *contents: bytes) -> None:
    uploads = uploads_to(store)
    for content in contents:
        upload = await uploads.begin(repository)
        await uploads.append(repository, upload, once(content))
        await uploads.commit(repository, upload, Digest.of(content))


def image(*layers: bytes, **fields: object) -> bytes:
    described = [descriptor(layer, LAYER) for layer in layers]
    return json.dumps(image_manifest(descriptor(b"{}", CONFIG), described, **fields)).encode()


FIRST, SECOND = image(b"a layer"), image(b"another layer", subject=descriptor(image(b"a layer"), IMAGE))
PARENT = json.dumps(index(descriptor(FIRST, IMAGE))).encode()


async def push(store: FolderStore) -> None:
    await push_blobs(store, PUSHED, *LAYERS)
    await put(store, Tag("latest"), FIRST)


async def put(store: FolderStore, reference: Tag | Digest, content: bytes) -> Digest:
    media_type = str(json.loads(content)["mediaType"])
    return (await Repositories(store).put_manifest(PUSHED, reference, content, media_type))[0]


async def move_the_tag(store: FolderStore) -> None:
    await put(store, Tag("latest"), SECOND)


async def add_an_index(store: FolderStore) -> None:
    await put(store, Tag("multi"), PARENT)


async def mount(store: FolderStore) -> None:
    await Repositories(store).mount(OTHER, Digest.of(b"a layer"), PUSHED)


async def delete_the_tag(store: FolderStore) -> None:
    await Repositories(store).delete_tag(PUSHED, Tag("latest"))


async def delete_the_image(store: FolderStore) -> None:
    await Repositories(store).delete_manifest(PUSHED, Digest.of(FIRST))


async def delete_the_blob(store: FolderStore) -> None:
    await Repositories(store).delete_blob(PUSHED, Digest.of(b"another layer"))


Deed = Callable[[FolderStore], Awaitable[None]]
DEEDS: tuple[tuple[Deed, ...], ...] = (
    (push,),
    (push, move_the_tag),
    (push, add_an_index),
    (push, mount),
    (push, delete_the_tag),
    (push, delete_the_image),
    (push, delete_the_blob),
    (push, move_the_tag, delete_the_image),
)
WRITES_MAX = 200


@pytest.mark.parametrize("deeds", DEEDS, ids=lambda deeds: deeds[-1].__name__ + str(len(deeds)))
async def test_every_prefix_is_safe(tmp_path: Path, deeds: tuple[Deed, ...]) -> None:
    for writes in range(WRITES_MAX):
        root = tmp_path / str(writes)
        for before in deeds[:-1]:
            await run(before, root)
        crashed = await run(deeds[-1], root, writes)
        await check(root)
        # Who does it again gets what it wanted, or learns that it was done.
        await run(deeds[-1], root)
        await check(root)
        if not crashed:
            return
    pytest.fail("it never came to an end")


async def run(deed: Deed, root: Path, writes: int = -1) -> bool:
    """Whether it crashed."""
    store = CrashingStore(root, writes)
    try:
        await deed(store)
    except CrashError:
        return True
    except Refused as refused:
        assert refused.status == 404
    finally:
        store.close()
    return False


async def check(root: Path) -> None:
    for link in root.glob("repositories/**/_blobs/*/*"):
        assert (root / paths.content(Digest(link.parent.name, link.name))).exists(), "a link without its content"
    store = FolderStore(root)
    try:
        repositories = Repositories(store)
        if not await repositories.exists(PUSHED):
            return
        for name in await repositories.tags(PUSHED):
            found = await repositories.find(PUSHED, Tag(name))
            await check_manifest(repositories, found.digest, found.media_type)
        for described in (await repositories.referrers(PUSHED, Digest.of(FIRST), None, ""))[0]:
            await check_manifest(repositories, Digest.parse(described["digest"]), described["mediaType"])
    finally:
        store.close()


async def check_manifest(repositories: Repositories, digest: Digest, media_type: str) -> None:
    """It is whole, all that it needs is there, and none of that can be deleted."""
    content = await repositories.read_manifest(digest)
    assert Digest.of(content) == digest
    for each in manifests.parse(content, media_type).references:
        if each.of_manifest:
            found = await repositories.find(PUSHED, each.digest)
            await check_manifest(repositories, found.digest, found.media_type)
            deleting: Awaitable[object] = repositories.delete_manifest(PUSHED, each.digest)
        else:
            assert await repositories.blob_size(PUSHED, each.digest) == each.size
            deleting = repositories.delete_blob(PUSHED, each.digest)
        with pytest.raises(Refused, match=f"needs {each.digest}"):
            await deleting


class FullStore(FolderStore):
    """Its disk is full for one write, of which nothing is kept."""

    is_full = False

    async def append(self, path: PurePosixPath, offset: int, piece: bytes | bytearray) -> None:
        if self.is_full:
            raise OSError(errno.ENOSPC, "no room")
        await super().append(path, offset, piece)


async def test_an_upload_goes_on_after_a_write_that_failed(tmp_path: Path) -> None:
    """With other bytes, as it happens: the digest is of what was written, not of what was tried."""
    store = FullStore(tmp_path)
    uploads = uploads_to(store)
    upload = await uploads.begin(PUSHED)
    await uploads.append(PUSHED, upload, once(b"first "))
    store.is_full = True
    with pytest.raises(OSError, match="no room"):
        await uploads.append(PUSHED, upload, once(b"never written"))
    store.is_full = False
    assert await uploads.append(PUSHED, upload, once(b"second")) == 12
    await uploads.commit(PUSHED, upload, Digest.of(b"first second"))
    assert await Repositories(store).blob_size(PUSHED, Digest.of(b"first second")) == 12
    store.close()


@pytest.mark.parametrize(("boot_id", "reads"), [("now", 0), ("before", 1), ("", 1)])
async def test_what_another_process_hashed_is_not_read_again(tmp_path: Path, boot_id: str, reads: int) -> None:
    """Unless the machine was started since: a power cut may have taken some of it."""

    class CountingStore(FolderStore):
        streams = 0

        def stream(self, path: PurePosixPath, span: Span) -> AsyncIterator[bytes]:
            self.streams += 1
            return super().stream(path, span)

    store, other_store = FolderStore(tmp_path), CountingStore(tmp_path)
    first = Uploads(store, Repositories(store), lambda: UploadId(str(uuid4())), boot_id)
    other = Uploads(other_store, Repositories(other_store), lambda: UploadId(str(uuid4())), "now")
    for content, extra in ((b"a" * 2**22, 0), (b"b" * 2**22, 1)):
        upload = await first.begin(PUSHED)
        await first.append(PUSHED, upload, once(content))
        await other.append(PUSHED, upload, once(b"c" * extra))
        await other.commit(PUSHED, upload, Digest.of(content + b"c" * extra))
    # What is longer than what was noted is read in any case.
    assert other_store.streams == reads + 1
    for each in (store, other_store):
        each.close()


async def test_what_is_no_upload_stops_no_cleaning(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    uploads = uploads_to(store)
    await uploads.begin(PUSHED)
    (tmp_path / "uploads" / "0-lost+found").mkdir()
    assert await uploads.clean(before=2**40) == 1
    assert [path.name for path in (tmp_path / "uploads").iterdir()] == ["0-lost+found"]
    store.close()
