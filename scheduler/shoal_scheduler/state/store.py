"""The durable store behind the tables: one narrow protocol, etcd in production, memory in simulation.

There is no raw put. The only write is `commit`, and it holds only while the epoch it was opened with leads and the
step before it is the last one stored: so neither a deposed leader nor a delayed transaction can ever write.

    StoreError
    ├── Deposed            another leader wrote: nothing of this commit was stored, and nothing ever will be
    ├── NotStored          certainly not stored, try again later (no quorum, or the store said no)
    │   └── StoreFull      the store's space is used up: reads go on, writes are refused until there is space
    └── OutcomeUnknown     stored or not: `settle` finds out before anything else may be written
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import NamedTuple, Protocol


class StoreError(Exception):
    pass


class Deposed(StoreError):  # noqa: N818
    pass


class NotStored(StoreError):  # noqa: N818
    pass


class StoreFull(NotStored):
    pass


class OutcomeUnknown(StoreError):  # noqa: N818
    pass


class Stored(NamedTuple):
    key: bytes
    value: bytes
    mod_revision: int


class KeyRange(NamedTuple):
    """Keys from `first` up to, but not with, `end`."""

    first: bytes
    end: bytes


class Write(NamedTuple):
    """What one step stores, all of it or none. `step` is its id, never used twice."""

    step: str
    puts: Mapping[bytes, bytes]
    deletes: Sequence[bytes | KeyRange] = ()


class Store(Protocol):
    """Opened for one epoch of leadership."""

    def load(self) -> AsyncIterator[Stored]:
        """Every record at one revision, in the order of keys. Call it first."""
        ...

    async def commit(self, write: Write) -> int:
        """The revision at which it was stored."""
        ...

    async def settle(self, write: Write) -> int | None:
        """After OutcomeUnknown: the revision at which it was stored, or None, and then it never will be."""
        ...

    @property
    def revision(self) -> int:
        """The newest revision this store has seen."""
        ...


def prefix_range(prefix: bytes) -> KeyRange:
    """All keys that start with the prefix, which ends in a byte below 0xff."""
    return KeyRange(prefix, prefix[:-1] + bytes([prefix[-1] + 1]))
