"""The durable store behind the tables: one narrow protocol, etcd in production, memory in simulation.

There is no raw put. The only write is `commit`, and it holds only while the epoch it was opened with leads and the
step before it is the last one stored: so neither a deposed leader nor a delayed transaction can ever write.

    StoreError
    ├── Deposed            another leader wrote: nothing of this commit was stored, and nothing ever will be
    ├── NotStored          certainly not stored, try again later (no quorum, or the store said no)
    │   └── StoreFull      the store's space is used up: reads go on, writes are refused until there is space
    ├── OutcomeUnknown     stored or not: `settle` finds out before anything else may be written
    └── FeedBroken         a feed cannot be gone on with where it was
        ├── Away             the store did not answer: the feed can be taken up again where it was
        └── Gap              something is missing in it: everything must be read anew
            └── Compacted      what it should go on with is no longer kept
"""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
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


class FeedBroken(StoreError):  # noqa: N818
    pass


class Away(FeedBroken):
    pass


class Gap(FeedBroken):
    pass


class Compacted(Gap):
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
    """What one step stores, all of it or none. `step` is its id, never used twice; `step_time` reads its time there."""

    step: str
    puts: Mapping[bytes, bytes]
    deletes: Sequence[bytes | KeyRange] = ()


def step_name(prefix: str, number: int, now: int) -> str:
    """`now` in milliseconds: events of the past are told with it.

    >>> step_time(step_name("one", 7, 1_700_000_000_000)), step_time("of-a-version-before-7")
    (1700000000000, 0)
    """
    return f"{prefix}-{number}@{now}"


def step_time(name: str) -> int:
    """In milliseconds; 0 if it is not told."""
    time = name.rpartition("@")[2]
    return int(time) if time.isascii() and time.isdecimal() and "@" in name else 0


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


class StepMark(NamedTuple):
    """The last step that was stored: at which revision, and how many there were up to it.

    Every write of a leader is a step, and none is counted twice: who knows every number has missed nothing.
    """

    revision: int = 0
    number: int = 0


NO_STEP = StepMark()


class Snapshot(NamedTuple):
    """Everything at one revision."""

    revision: int
    step: StepMark
    records: Sequence[Stored]


class Transaction(NamedTuple):
    """What was changed at one revision; `step` if it was a leader's."""

    revision: int
    puts: Sequence[Stored]
    deletes: Sequence[bytes]
    step: StepMark | None


class PastPut(NamedTuple):
    """A record as it was stored then, and before that: None where that is not kept any more, or if it `is_new`."""

    record: Stored
    before: Stored | None
    is_new: bool


class PastStep(NamedTuple):
    """A step that was stored some time ago. `time`: in milliseconds since 1970; 0 if it does not say."""

    revision: int
    time: int
    puts: Sequence[PastPut]


class Feed(Protocol):
    """What any scheduler may read, whether it leads or not. All of it raises FeedBroken."""

    async def load(self) -> Snapshot: ...

    def records_at(self, revision: int) -> AsyncGenerator[Stored]:
        """Every record as it was then, in the order of keys. Raises Compacted."""
        ...

    def watch(self, after: int) -> AsyncGenerator[Transaction]:
        """Everything after that revision, one revision after the other, without an end."""
        ...


def prefix_range(prefix: bytes) -> KeyRange:
    """All keys that start with the prefix, which ends in a byte below 0xff."""
    return KeyRange(prefix, prefix[:-1] + bytes([prefix[-1] + 1]))
