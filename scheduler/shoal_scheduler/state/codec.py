"""Records to bytes and back. Each value is one version byte and MessagePack.

Tasks are stored as arrays of values, up to 256 in a chunk, without what their launch already says. A task that a
chunk assigns for the first time is written with fence 0, which means: the revision of this very write. So the
fence, which only the commit can know, costs no second write: the next write of the chunk, or the load, fills it in.
"""

from collections.abc import Iterable, Mapping
from operator import attrgetter
from sys import intern
from typing import Any, TypeVar

import msgspec

from shoal_scheduler.model.alarm import Alarm
from shoal_scheduler.model.cluster import Cluster
from shoal_scheduler.model.definition import Definition
from shoal_scheduler.model.instance import Instance
from shoal_scheduler.model.job import Job, JobChunk, JobState
from shoal_scheduler.model.job_definition import JobDefinition
from shoal_scheduler.model.job_queue import ComputeEnvironment, ConsumableResource, JobQueue
from shoal_scheduler.model.join_token import JoinToken
from shoal_scheduler.model.task import ContainerState, Launch, Task, shared
from shoal_scheduler.model.usage import UsageMonth
from shoal_scheduler.state.records import KINDS

_RECORDS: tuple[type[msgspec.Struct], ...] = (
    Alarm,
    Cluster,
    ComputeEnvironment,
    ConsumableResource,
    Definition,
    Instance,
    Job,
    JobChunk,
    JobDefinition,
    JobQueue,
    JobState,
    JoinToken,
    Launch,
    UsageMonth,
    *(kind.record for kind in KINDS.values()),
)
Record = TypeVar("Record", bound=msgspec.Struct)

_VERSION = b"\x01"
_encoder = msgspec.msgpack.Encoder()


class UnknownFormatError(Exception):
    """A value written by a newer program: this one must not touch it."""


class StoredTask(msgspec.Struct, frozen=True, array_like=True):
    """Fields are only ever added, at the end and with a default."""

    index: int
    instance: str
    last_status: str
    desired_status: str
    version: int
    fence: int
    pull_started_at: int = 0
    pull_stopped_at: int = 0
    started_at: int = 0
    stopping_at: int = 0
    execution_stopped_at: int = 0
    stopped_at: int = 0
    stop_code: str = ""
    stopped_reason: str = ""
    containers: tuple[ContainerState, ...] = ()
    gpu_ids: dict[str, tuple[str, ...]] | None = None
    tags: dict[str, str] | None = None
    protected_until: int = 0


_FIELDS = StoredTask.__struct_fields__
_values_of = attrgetter(*_FIELDS)
_decoders: Mapping[type, msgspec.msgpack.Decoder[Any]] = {
    record: msgspec.msgpack.Decoder(record) for record in _RECORDS
}

# Texts that many tasks have in common: each is kept once.
_SHARED = ("instance", "last_status", "desired_status", "stop_code")
_chunk_decoder = msgspec.msgpack.Decoder(tuple[StoredTask, ...])


def encode(record: msgspec.Struct) -> bytes:
    return _VERSION + _encoder.encode(record)


def decode(record_type: type[Record], value: bytes) -> Record:
    record: Record = _decoders[record_type].decode(_body(value))
    return record


def encode_chunk(tasks: Iterable[Task]) -> bytes:
    # A StoredTask is an array of its values, so the values will do.
    return _VERSION + _encoder.encode([_values_of(task) for task in tasks])


def decode_chunk(launch: Launch, value: bytes, revision: int) -> list[Task]:
    """`revision` is the mod_revision of the chunk."""
    tasks = []
    for stored in _chunk_decoder.decode(_body(value)):
        fields = {name: getattr(stored, name) for name in _FIELDS}
        if stored.instance and not stored.fence:
            fields["fence"] = revision
        for name in _SHARED:
            fields[name] = intern(fields[name])
        fields["containers"] = tuple(map(shared, stored.containers))
        tasks.append(Task(launch=launch, **fields))
    return tasks


def _body(value: bytes) -> memoryview:
    if value[:1] != _VERSION:
        raise UnknownFormatError(f"a value starts with {value[:1]!r}, this program knows {_VERSION!r}")
    return memoryview(value)[1:]
