"""An alarm on a metric, and what became of it."""

import msgspec

OK, ALARM, INSUFFICIENT_DATA = STATES = ("OK", "ALARM", "INSUFFICIENT_DATA")
HISTORY_MAX = 20


class Transition(msgspec.Struct, frozen=True, array_like=True):
    """`at` in milliseconds."""

    at: int
    before: str
    after: str
    reason: str


class Alarm(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The names are CloudWatch's. `period` in seconds; `actions`: by state, addresses that are told of it."""

    name: str
    namespace: str
    metric: str
    dimensions: tuple[tuple[str, str], ...] = ()
    statistic: str
    period: int
    evaluation_periods: int
    datapoints_to_alarm: int
    threshold: float
    comparison: str
    missing: str = "missing"
    description: str = ""
    actions_enabled: bool = True
    actions: dict[str, tuple[str, ...]] = {}

    state: str = INSUFFICIENT_DATA
    reason: str = "Unchecked: Initial alarm creation"

    # Milliseconds.
    changed_at: int = 0

    # Grows with every write of it; as it was at the last transition.
    version: int = 1
    changed_version: int = 0

    # Addresses that have not been told of the last transition yet.
    undelivered: tuple[str, ...] = ()

    # The oldest first.
    history: tuple[Transition, ...] = ()
