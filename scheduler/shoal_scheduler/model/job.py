"""A job: what was submitted, and how far it is. An attempt of it is an ordinary task.

A job that is no array has one child, 0. What is stored of children does not grow with the array: of one that waits
nothing, of one that succeeded at its first attempt a bit. What runs is not stored here at all: the tasks say it, each
launch naming the job, the attempt and the children that its tasks are (`JobPart`).
"""

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

CHILDREN_PER_CHUNK = 256

SUBMITTED, PENDING, RUNNABLE, STARTING = "SUBMITTED", "PENDING", "RUNNABLE", "STARTING"
RUNNING, SUCCEEDED, FAILED = "RUNNING", "SUCCEEDED", "FAILED"
STATUSES = (SUBMITTED, PENDING, RUNNABLE, STARTING, RUNNING, SUCCEEDED, FAILED)

N_TO_N, SEQUENTIAL = "N_TO_N", "SEQUENTIAL"

# What somebody may want of a job that is not over.
CANCEL, TERMINATE = "CANCEL", "TERMINATE"


class JobPart(msgspec.Struct, frozen=True, array_like=True):
    """Which job's which children the tasks of a launch are, in their order: task 0 is the first of the first range."""

    job: str
    queue: str
    environment: str

    # From 1, counting every attempt, those that were lost with their host as well.
    attempt: int = 1
    array_size: int = 0

    # First and last, ascending.
    children: tuple[tuple[int, int], ...] = ((0, 0),)

    def child(self, index: int) -> int:
        """The child that the task of this index is."""
        for first, last in self.children:
            if index <= last - first:
                return first + index
            index -= last - first + 1
        raise IndexError(f"a launch of job {self.job} has no task {index}")

    def index_of(self, child: int) -> int | None:
        """The inverse; None for a child that is not among them."""
        before = 0
        for first, last in self.children:
            if first <= child <= last:
                return before + child - first
            before += last - first + 1
        return None

    def __iter__(self) -> Iterator[int]:
        for first, last in self.children:
            yield from range(first, last + 1)


def ranges(children: Iterable[int]) -> tuple[tuple[int, int], ...]:
    """Ascending numbers as ranges.

    >>> ranges([0, 1, 2, 7, 8, 11])
    ((0, 2), (7, 8), (11, 11))
    """
    found: list[tuple[int, int]] = []
    for child in children:
        if found and child == found[-1][1] + 1:
            found[-1] = (found[-1][0], child)
        else:
            found.append((child, child))
    return tuple(found)


class Dependency(msgspec.Struct, frozen=True, array_like=True):
    """`type` "" waits for the whole job, N_TO_N for its child of the same index, SEQUENTIAL (no job) for the own child
    before."""

    job: str = ""
    type: str = ""


class ExitRule(msgspec.Struct, frozen=True, array_like=True):
    """Of evaluateOnExit: "" matches anything; otherwise exactly, or what begins so if it ends in an asterisk."""

    action: str
    on_status_reason: str = ""
    on_reason: str = ""
    on_exit_code: str = ""


class RetryStrategy(msgspec.Struct, frozen=True, array_like=True):
    attempts: int = 1
    evaluate_on_exit: tuple[ExitRule, ...] = ()

    # Attempts that end with their host (lost, or interrupted) are counted apart: so many are repeated. Ours.
    host_losses: int = 10


class Job(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was submitted, with what its definition says already worked in. Immutable, but for its tags."""

    # A UUID.
    id: str
    name: str
    queue: str

    # With its revision, as in "flip:3".
    definition: str
    created_at: int

    # 0: no array.
    array_size: int = 0

    # Children at a time; 0: no bound. Ours.
    max_concurrent: int = 0

    # schedulingPriority: higher first, within the queue.
    priority: int = 0
    share_identifier: str = ""
    depends_on: tuple[Dependency, ...] = ()
    retry: RetryStrategy = RetryStrategy()

    # Of an attempt; 0: none.
    timeout_seconds: int = 0

    # Consumable resources: name and how many each task takes.
    consumables: tuple[tuple[str, int], ...] = ()

    # ECS TaskOverride with which its tasks are launched: commands with parameters put in, environment, sizes.
    overrides: dict[str, Any] = {}

    # What was asked for, as AWS JSON (SubmitJob), to describe it: without clientToken and tags.
    document: dict[str, Any] = {}
    tags: dict[str, str] = {}
    propagate_tags: bool = False

    # As its definition says: commands may be executed in its containers while they run.
    enable_execute_command: bool = False
    client_token: str = ""
    request_digest: str = ""

    @property
    def size(self) -> int:
        """How many children it has."""
        return self.array_size or 1

    @property
    def is_sequential(self) -> bool:
        return any(dependency.type == SEQUENTIAL for dependency in self.depends_on)


class JobState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How far the job as a whole is. Stored apart from it, because it changes."""

    job: str

    # When what it depends on as a whole was over; 0 before.
    runnable_at: int = 0
    stopped_at: int = 0

    # "" until it is over: then SUCCEEDED or FAILED.
    outcome: str = ""
    status_reason: str = ""

    # CANCEL or TERMINATE once somebody asked for it, and why: children that wait are FAILED, what runs is stopped.
    wish: str = ""
    wish_reason: str = ""


class Attempt(msgspec.Struct, frozen=True, array_like=True):
    """One that is over. Times in milliseconds; an exit code that nobody knows is None."""

    task: str
    instance: str
    created_at: int
    started_at: int
    stopped_at: int
    exit_code: int | None = None

    # Of the container that decided, and of the task.
    reason: str = ""
    status_reason: str = ""

    # It was lost or interrupted with its host: not the program's failure.
    host_lost: bool = False

    # Which evaluateOnExit rule decided, from 0; None for none. And what was decided: RETRY, EXIT or "".
    rule: int | None = None
    action: str = ""


class Child(msgspec.Struct, frozen=True, array_like=True):
    """A child of which there is more to say than that it waits or has succeeded at once."""

    attempts: tuple[Attempt, ...] = ()

    # "" while it is to run (again): then SUCCEEDED or FAILED.
    outcome: str = ""
    status_reason: str = ""
    stopped_at: int = 0

    # CANCEL or TERMINATE of this child alone.
    wish: str = ""
    wish_reason: str = ""


class JobChunk(msgspec.Struct, frozen=True, array_like=True):
    """Children from `number * CHILDREN_PER_CHUNK` on. Bit i of the bitmaps (little-endian) is the i-th of them."""

    job: str
    number: int
    succeeded: bytes = b""
    failed: bytes = b""

    # By index within the array, those of which there is more to say.
    children: dict[int, Child] = {}
