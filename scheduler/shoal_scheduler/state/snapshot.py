"""A snapshot of etcd in a file: taken as a stream, checked by its hash, read without an etcd."""

import hashlib
import mmap
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc

from shoal_scheduler.state import bolt, keys
from shoal_scheduler.state import etcd_v3_pb2 as pb
from shoal_scheduler.state import etcd_v3_pb2_grpc as pb_grpc
from shoal_scheduler.state.store import Stored

SNAPSHOT_TIMEOUT_SECONDS = 600.0
HASH_BYTES = hashlib.sha256().digest_size
_BLOCK_BYTES = 1024 * 1024
# etcd keeps every version of every key here, by its revision; a key that was deleted ends with a tombstone.
_BUCKET = b"key"
_TOMBSTONE = ord("t")
_REVISION_BYTES = 17


class DamagedError(ValueError):
    """The file is not what etcd sent."""


@dataclass(frozen=True, slots=True)
class Records:
    """What the snapshot holds of ours. base and revision: see `etcd.revision_base`."""

    base: int
    revision: int
    stored: dict[bytes, Stored]


async def take(channel: grpc.aio.Channel, path: Path) -> int:
    """Writes it to a new file; its size in bytes. Raises DamagedError, OSError or AioRpcError, and leaves no file."""
    beside = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        with beside.open("xb") as file:
            call = pb_grpc.MaintenanceStub(channel).Snapshot(pb.SnapshotRequest(), timeout=SNAPSHOT_TIMEOUT_SECONDS)
            async for answer in call:
                file.write(answer.blob)
            file.flush()
            os.fsync(file.fileno())
        check(beside)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    return path.stat().st_size


def check(path: Path) -> None:
    """etcd appends a hash of all that it sent. Raises DamagedError."""
    left = path.stat().st_size - HASH_BYTES
    if left <= 0 or left % 512:
        raise DamagedError(f"{path} is no snapshot of etcd, or it is cut off")
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while left:
            block = file.read(min(left, _BLOCK_BYTES))
            digest.update(block)
            left -= len(block)
        if file.read() != digest.digest():
            raise DamagedError(f"{path} is damaged: its hash is not the one that etcd sent")


def read(path: Path) -> Records:
    """The newest of every record. Raises DamagedError."""
    check(path)
    with path.open("rb") as file:
        data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))[:-HASH_BYTES]
    try:
        return _newest(bolt.bucket(data, _BUCKET))
    except bolt.NotBoltError as error:
        raise DamagedError(f"{path}: {error}") from error


def _newest(versions: Iterator[tuple[bytes, bytes]]) -> Records:
    found: dict[bytes, pb.KeyValue] = {}
    revision, root = 0, keys.ROOT.encode()
    for name, value in versions:
        revision = int.from_bytes(name[:8], "big")
        record = pb.KeyValue.FromString(value)
        if len(name) > _REVISION_BYTES and name[_REVISION_BYTES] == _TOMBSTONE:
            found.pop(record.key, None)
        elif record.key == keys.BASE or record.key.startswith(root):
            found[record.key] = record
    noted = found.pop(keys.BASE, None)
    base = int(noted.value) if noted else 0
    stored = {
        key: Stored(key, record.value, record.mod_revision + base)
        for key, record in sorted(found.items())
        if key not in (keys.LEADER, keys.STEP)
    }
    return Records(base, revision + base, stored)
