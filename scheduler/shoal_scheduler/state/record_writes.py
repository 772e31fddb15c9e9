"""Between changes of records that are stored alone and the store: which key each writes, and back. Pure."""

from collections.abc import Iterable, Mapping, Sequence

from shoal_scheduler.state import codec, keys
from shoal_scheduler.state.records import KINDS, WORDS, DeleteRecord, PutRecord, Records, key_of
from shoal_scheduler.state.store import Stored


def put_of(change: object) -> tuple[bytes, bytes] | None:
    """Key and value; None for what is no put of such a record."""
    match change:
        case PutRecord(record):
            return keys.record(WORDS[type(record)], key_of(record)), codec.encode(record)
        case _:
            return None


def delete_of(change: object) -> bytes | None:
    match change:
        case DeleteRecord(kind, key):
            return keys.record(WORDS[kind], key)
        case _:
            return None


def changes_of(by_kind: Mapping[str, Sequence[Stored]]) -> Iterable[tuple[PutRecord, int]]:
    for word, kind in KINDS.items():
        for record in by_kind.get(word, ()):
            yield PutRecord(codec.decode(kind.record, record.value)), record.mod_revision


def deleted(key: bytes) -> DeleteRecord | None:
    """What the end of a key says; None for one that is no such record's."""
    kind = KINDS.get(keys.kind(key))
    return None if kind is None else DeleteRecord(kind.record, keys.record_key(key))


def holds(records: Records, change: object) -> bool | None:
    """Whether the tables hold just this; None for what is no such record."""
    match change:
        case PutRecord(record):
            return records.get(type(record), *key_of(record)) == record
        case _:
            return None
