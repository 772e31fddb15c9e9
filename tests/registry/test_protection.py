"""How a store is opened: as it was begun, or not at all."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from shoal_registry.storage import master_keys, paths
from shoal_registry.storage.encrypted import EncryptedStore
from shoal_registry.storage.folder import FolderStore
from shoal_registry.storage.master_keys import KeyFileUnusable, MasterKeys
from shoal_registry.storage.protection import StartRefused, Wanted, protected

from tests.registry.test_encrypted import content_path

CONTENT = b"a content"
PATH = content_path(CONTENT)
PLAIN = Wanted(None)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FolderStore]:
    made = FolderStore(tmp_path / "store")
    yield made
    made.close()


@pytest.fixture
def key(tmp_path: Path) -> Path:
    return tmp_path / "master.key"


async def test_a_new_store_gets_a_key_for_its_owner_only(store: FolderStore, key: Path) -> None:
    opened = await protected(store, Wanted(key))
    assert isinstance(opened, EncryptedStore)
    assert key.stat().st_mode & 0o777 == 0o600
    await opened.put(PATH, CONTENT)
    assert await (await protected(store, Wanted(key))).read(PATH) == CONTENT


async def test_no_key_is_made_for_a_store_that_has_one(store: FolderStore, key: Path) -> None:
    await protected(store, Wanted(key))
    key.unlink()
    for wanted in (Wanted(key), Wanted(key, from_now_on=True)):
        with pytest.raises(StartRefused, match=r"is not there\. Give the file that it was started with before"):
            await protected(store, wanted)
        assert not key.exists()


async def test_an_encrypted_store_is_never_opened_as_a_plain_one(store: FolderStore, key: Path) -> None:
    await protected(store, Wanted(key))
    with pytest.raises(StartRefused, match="without --no-encryption"):
        await protected(store, PLAIN)


@pytest.mark.parametrize("is_written_down", [True, False])
async def test_a_plain_store_is_encrypted_only_if_told_to(store: FolderStore, key: Path, is_written_down: bool) -> None:
    if is_written_down:
        await protected(store, PLAIN)
    await store.put(PATH, CONTENT)
    with pytest.raises(StartRefused, match="--encrypt-from-now-on"):
        await protected(store, Wanted(key))
    assert not key.exists()
    assert await (await protected(store, PLAIN)).read(PATH) == CONTENT
    await protected(store, Wanted(key, from_now_on=True))
    # From then on it is known.
    mixed = await protected(store, Wanted(key))
    later = content_path(b"later")
    await mixed.put(later, b"later")
    assert (await mixed.read(PATH), await mixed.read(later)) == (CONTENT, b"later")
    assert b"later" not in (await store.read(later) or b"")


async def test_a_key_of_another_store_is_refused(store: FolderStore, key: Path, tmp_path: Path) -> None:
    await protected(store, Wanted(key))
    other = tmp_path / "other.key"
    master_keys.make(other, bytes(32), datetime.now(UTC))
    with pytest.raises(StartRefused, match="does not hold that key"):
        await protected(store, Wanted(other))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "is no file of master keys"),
        ("{}", "is no file of master keys"),
        ('{"keys": [], "current": "00"}', "is not among"),
        ('{"keys": [{"id": "00", "made": "", "key": "AAAA"}], "current": "00"}', "was changed"),
        ('{"keys": [{"id": "00", "made": "", "key": "?"}], "current": "00"}', "is no file of master keys"),
    ],
)
async def test_what_is_no_key_file_is_refused(store: FolderStore, key: Path, content: str, said: str) -> None:
    key.write_text(content)
    key.chmod(0o600)
    with pytest.raises(KeyFileUnusable, match=said):
        await protected(store, Wanted(key))
    assert key.read_text() == content


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o660, 0o666])
async def test_a_key_file_that_others_may_use_is_refused(store: FolderStore, key: Path, mode: int) -> None:
    await protected(store, Wanted(key))
    key.chmod(mode)
    with pytest.raises(KeyFileUnusable, match="chmod 600"):
        await protected(store, Wanted(key))


async def test_a_key_file_that_cannot_be_made_is_said(store: FolderStore, tmp_path: Path) -> None:
    with pytest.raises(KeyFileUnusable, match="cannot be written: No such file or directory"):
        await protected(store, Wanted(tmp_path / "absent" / "master.key"))
    assert await store.read(paths.ENCRYPTION) is None


def test_a_key_file_that_changed_is_read_again(key: Path) -> None:
    now = datetime.now(UTC)
    master_keys.make(key, bytes(32), now)
    master_keys.make(key, bytes(range(32)), now)
    keys = MasterKeys(key)
    first = keys.current()
    assert first.secret == bytes(32), "who makes it first wins"
    master_keys.replace(key, keys.ring().with_new(bytes(range(32)), now))
    assert (keys.current().secret, keys.find(first.id)) == (bytes(range(32)), first)
    assert key.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in key.parent.iterdir()] == [key.name]
