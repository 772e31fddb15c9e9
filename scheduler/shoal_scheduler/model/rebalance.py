"""A rebalance: tasks of services that move to other instances, a few at a time.

A task that moves is replaced by its service, which counts it as leaving; the rebalance only says which may leave now.
"""

from typing import NamedTuple

import msgspec

# Kinds: even out each service's tasks; take all from some instances; even out over zones alone.
SPREAD, EMPTY, ZONES = "SPREAD", "EMPTY", "ZONES"

# Of a rebalance.
IN_PROGRESS, COMPLETED, STOPPED = "IN_PROGRESS", "COMPLETED", "STOPPED"

# What became of a move.
MOVED, GIVEN_UP = "MOVED", "GIVEN_UP"

# So that the record of all its moves, which is written whole, stays far below what etcd takes at once.
MOVES_MAX = 500
PARALLEL_MAX = 50

# Of those that a rebalance empties or keeps empty: what is placed meanwhile carries the names of all of them.
INSTANCES_MAX = 24


class Budget(NamedTuple):
    """How many tasks one rebalance moves, and how many of them at once."""

    moves: int = 100
    parallel: int = 5


DEFAULT_BUDGET = Budget()


class Move(msgspec.Struct, frozen=True, array_like=True):
    """Of a task, off its instance. Times in milliseconds; 0 is not yet."""

    task: str
    service: str
    source: str

    # The instance for which room was seen when it was planned; the task may find another.
    target: str = ""

    # Why it was planned.
    reason: str = ""
    began_at: int = 0
    ended_at: int = 0

    # MOVED or GIVEN_UP, once it is over; and why, of the latter.
    outcome: str = ""
    detail: str = ""

    # Its replacement goes to the target and nowhere else.
    is_pinned: bool = False


class Rebalance(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The one of its cluster that is in progress, or one of the last.

    Its moves wait in `planned`, in the order in which they are to begin; those in `moves` are under way: each of these
    tasks leaves its instance now; those that are over are in `over`.
    """

    cluster: str
    id: str
    created_at: int
    moves: tuple[Move, ...] = ()
    planned: tuple[Move, ...] = ()
    over: tuple[Move, ...] = ()

    # SPREAD, EMPTY or ZONES.
    kind: str = SPREAD

    # Who asked for it; "automatic" for nobody.
    created_by: str = ""
    client_token: str = ""

    # How many moves are under way at once, at most.
    parallel: int = 5

    # Instances where nothing of a service is placed as long as it is in progress: those that are emptied.
    closed: tuple[str, ...] = ()

    # IN_PROGRESS, COMPLETED or STOPPED.
    status: str = IN_PROGRESS
    stopped_at: int = 0
    reason: str = ""

    @property
    def is_in_progress(self) -> bool:
        return self.status == IN_PROGRESS
