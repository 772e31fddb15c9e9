"""A rebalance: tasks of services that move to other instances, a few at a time."""

import msgspec


class Move(msgspec.Struct, frozen=True, array_like=True):
    """`target`: the instance for which room was seen when it was planned; the task may find another."""

    task: str
    service: str
    source: str
    target: str = ""


class Rebalance(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The one of its cluster that is under way, or the last. A move is over when its task is."""

    cluster: str
    id: str
    created_at: int
    moves: tuple[Move, ...] = ()

    # SPREAD, EMPTY (hosts are emptied) or ZONES.
    kind: str = "SPREAD"
    created_by: str = ""

    # IN_PROGRESS, COMPLETED or STOPPED.
    status: str = "IN_PROGRESS"
    stopped_at: int = 0
    reason: str = ""
