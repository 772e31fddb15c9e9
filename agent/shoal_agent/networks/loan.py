"""What becomes of a network namespace that is lent: values only."""

from dataclasses import dataclass, field

from shoal_agent.networks.namespaces import Namespace, Used
from shoal_agent.networks.snapshot import Counters

# Sockets of connections that have ended stay for a minute. Tried often at first: others go in milliseconds.
REST_SECONDS = 70.0
REST_SECONDS_MIN, REST_SECONDS_MAX = 0.05, 5.0


@dataclass(frozen=True, slots=True)
class Borrower:
    task_id: str
    container: str


@dataclass(slots=True)
class Lent:
    """`namespace` is None for one that is not used again. `counters`: what had passed before. `lost`: its keeper has
    ended."""

    to: Borrower
    since: float
    namespace: Namespace | None
    counters: Counters = field(default_factory=dict)
    lost: bool = False


@dataclass(slots=True)
class Resting:
    """Given back, and not looked through yet, or in use when it was: until `due`."""

    used: Used
    since: float
    due: float
    pause_seconds: float = REST_SECONDS_MIN

    @property
    def network(self) -> str:
        return self.used.namespace.container_id


@dataclass(slots=True)
class Loan:
    """What a container gets: a network to join, or None for one of its own. `used` is set when the engine is asked to
    make it."""

    namespace: Namespace | None = None
    counters: Counters = field(default_factory=dict)
    used: bool = False

    @property
    def network(self) -> str | None:
        return self.namespace.container_id if self.namespace is not None else None
