"""What can be asked of rebalancing, and what each is answered with."""

from dataclasses import dataclass

from shoal_scheduler.model.rebalance import DEFAULT_BUDGET, SPREAD, Budget, Rebalance


@dataclass(frozen=True, slots=True)
class Wanted:
    """`kind`: SPREAD, EMPTY or ZONES. EMPTY without `instances` is consolidation. `services`: only these; all if there
    are none."""

    kind: str = SPREAD
    instances: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    budget: Budget = DEFAULT_BUDGET


@dataclass(frozen=True, slots=True)
class StartRebalance:
    """Answered with a Rebalance: a COMPLETED one, which is not stored, if there is nothing to move."""

    cluster: str
    wanted: Wanted
    created_by: str = ""
    client_token: str = ""


@dataclass(frozen=True, slots=True)
class StopRebalance:
    """Answered with a Rebalance. By its id; "" is the one in progress."""

    cluster: str
    id: str
    reason: str


RebalanceInput = StartRebalance | StopRebalance
RebalanceReply = Rebalance
