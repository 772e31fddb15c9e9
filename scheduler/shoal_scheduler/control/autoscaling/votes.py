"""What a policy is told, and what it says to that."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

OUT, IN, HOLD = "out", "in", "hold"

# It is not asked: of scaling in, a policy with DisableScaleIn; a step scaling policy without a breach.
ABSTAIN = "abstain"


class Datapoint(NamedTuple):
    """Of one period. `capacity`: how many tasks ran then, on average; `value` is the metric's, over these."""

    value: float
    capacity: float


class Breach(NamedTuple):
    """How an alarm stands that names a step scaling policy. `value`: the newest of its metric; `is_upper`: it alarms
    above its threshold. `is_known`: it has data."""

    alarm: str
    is_alarming: bool
    is_known: bool
    value: float | None
    threshold: float
    is_upper: bool


@dataclass(frozen=True, slots=True)
class Readings:
    """By the policy's name. Datapoints: one for each period up to now, the oldest first, None where nothing is known.

    A policy that is not named has no data.
    """

    points: dict[str, tuple[Datapoint | None, ...]] = field(default_factory=dict)
    breaches: dict[str, tuple[Breach, ...]] = field(default_factory=dict)


class Vote(NamedTuple):
    """`capacity` is what it wants, before any bound. `cooldown` in seconds, if it gets its way."""

    policy: str
    says: str
    capacity: int
    cause: str
    cooldown: int = 0


def shown(points: Sequence[Datapoint | None]) -> str:
    return ", ".join("missing" if point is None else f"{point.value:.6g}" for point in points)
