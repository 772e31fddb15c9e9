"""The file with the master keys, of which the last one wraps what is new and the former ones open what is older.

    {"note": "…", "keys": [{"id": "<16 hex>", "made": "<time>", "key": "<base64 of 32 bytes>"}, …], "current": "<id>"}

It is read again whenever it changed: a key that `python -m shoal_registry.master_key rotate` adds is used by registries
that run. Writing goes through a file beside it and a rename, so that it is never there in part.
"""

import base64
import binascii
import contextlib
import hashlib
import json
import os
import stat
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from shoal_registry.storage.cipher import MASTER_ID_BYTES, MasterKey

SECRET_BYTES = 32
NOTE = (
    "The master keys of an image registry's store. Whoever loses them loses every image in it, so keep a copy; whoever "
    "has them and a copy of the store can read it, so keep that copy apart from the store's backups."
)


class KeyFileUnusable(Exception):  # noqa: N818  said to whoever starts the program
    """The message says why, and what to do."""


class MasterKeyUnknown(Exception):  # noqa: N818  what the store asks for is not in the file
    """What is encrypted may be whole; it cannot be opened without that key."""


@dataclass(frozen=True, slots=True)
class Entry:
    """`made` is a time as in 2026-11-26T01:00:00+00:00."""

    key: MasterKey
    made: str


@dataclass(frozen=True, slots=True)
class KeyRing:
    """What the file holds, the oldest first; `current` is the id of the one that wraps."""

    entries: tuple[Entry, ...]
    current: bytes

    def find(self, key_id: bytes) -> MasterKey | None:
        return next((entry.key for entry in self.entries if entry.key.id == key_id), None)

    def with_new(self, secret: bytes, now: datetime, *, current: bool = True) -> "KeyRing":
        entry = Entry(master_key(secret), now.isoformat(timespec="seconds"))
        return KeyRing((*self.entries, entry), entry.key.id if current else self.current)

    def only(self, ids: frozenset[bytes]) -> "KeyRing":
        return KeyRing(tuple(entry for entry in self.entries if entry.key.id in ids), self.current)


@dataclass(slots=True)
class MasterKeys:
    """Those of a file. Raises KeyFileUnusable whenever it cannot be used."""

    path: Path
    _ring: KeyRing | None = None
    _seen: tuple[int, int, int] = field(default=(0, 0, 0))

    def current(self) -> MasterKey:
        ring = self.ring()
        found = ring.find(ring.current)
        assert found is not None, "a ring holds its current key"
        return found

    def find(self, key_id: bytes) -> MasterKey:
        """Also one that was there, if the file is lost while the registry runs. Raises MasterKeyUnknown."""
        try:
            ring = self.ring()
        except KeyFileUnusable:
            if self._ring is None:
                raise
            ring = self._ring
        found = ring.find(key_id)
        if found is None:
            raise MasterKeyUnknown(f"{self.path} does not hold the master key {key_id.hex()}.")
        return found

    def ring(self) -> KeyRing:
        status = _status(self.path)
        seen = (status.st_ino, status.st_mtime_ns, status.st_size)
        if self._ring is None or seen != self._seen:
            self._ring, self._seen = _parsed(self.path, status), seen
        return self._ring


def make(path: Path, secret: bytes, now: datetime) -> None:
    """With one key, unless the file is there: of several that make it at once, one does."""
    beside = _written(path, KeyRing((), b"").with_new(secret, now))
    try:
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(beside)
            _sync(path.parent)
    finally:
        beside.unlink()


def replace(path: Path, ring: KeyRing) -> None:
    """Keeps the file's owner, as far as this process may give files away."""
    beside, before = _written(path, ring), path.stat()
    with contextlib.suppress(PermissionError):
        os.chown(beside, before.st_uid, before.st_gid)
    beside.chmod(stat.S_IMODE(before.st_mode))
    beside.replace(path)
    _sync(path.parent)


def master_key(secret: bytes) -> MasterKey:
    return MasterKey(hashlib.sha256(b"shoal master key" + secret).digest()[:MASTER_ID_BYTES], secret)


def _status(path: Path) -> os.stat_result:
    try:
        return path.stat()
    except OSError as error:
        raise KeyFileUnusable(f"The master key file {path} cannot be read: {error.strerror}.") from None


def _parsed(path: Path, status: os.stat_result) -> KeyRing:
    _refuse_if_open_to_others(path, status)
    try:
        document = json.loads(path.read_text())
        entries = tuple(_entry(each) for each in document["keys"])
        ring = KeyRing(entries, bytes.fromhex(document["current"]))
    except OSError as error:
        raise KeyFileUnusable(f"The master key file {path} cannot be read: {error.strerror}.") from None
    except (ValueError, KeyError, TypeError, binascii.Error) as error:
        raise KeyFileUnusable(
            f"{path} is no file of master keys ({error}): give the one that the store was started with first, or your "
            "copy of it."
        ) from None
    if ring.find(ring.current) is None:
        raise KeyFileUnusable(f"{path}: `current` names {ring.current.hex()}, which is not among `keys`.")
    return ring


def _entry(document: dict[str, str]) -> Entry:
    secret = base64.b64decode(document["key"], validate=True)
    key = master_key(secret)
    if len(secret) != SECRET_BYTES or key.id.hex() != document["id"]:
        raise ValueError(f"the key {document['id']} was changed")
    return Entry(key, document["made"])


def _refuse_if_open_to_others(path: Path, status: os.stat_result) -> None:
    # As PostgreSQL has it for its keys: the group may read what root hands to a service.
    allowed = 0o640 if status.st_uid == 0 and os.geteuid() != 0 else 0o600
    if excess := stat.S_IMODE(status.st_mode) & 0o077 & ~allowed:
        raise KeyFileUnusable(
            f"Others than its owner may use {path} (mode {stat.S_IMODE(status.st_mode):04o}, {excess:03o} too much): "
            f"chmod 600 {path}"
        )


def _written(path: Path, ring: KeyRing) -> Path:
    """Beside it, on the disk, and for its owner only."""
    document = {
        "note": NOTE,
        "keys": [
            {"id": each.key.id.hex(), "made": each.made, "key": base64.b64encode(each.key.secret).decode()}
            for each in ring.entries
        ],
        "current": ring.current.hex(),
    }
    beside = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        beside.unlink(missing_ok=True)
        file = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(file, "w") as writing:
            json.dump(document, writing, indent=2)
            writing.write("\n")
            writing.flush()
            os.fsync(file)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise KeyFileUnusable(f"The master key file {path} cannot be written: {error.strerror}.") from None
    return beside


def _sync(folder: Path) -> None:
    file = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)
