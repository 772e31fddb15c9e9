"""What is told of a transfer while it goes on."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

State = Literal["reading", "pushing", "pulling", "pushed", "pulled", "there already"]


@dataclass(frozen=True, slots=True)
class Step:
    """One blob's. `name` is the same from its first step to its last; done and total are bytes."""

    name: str
    state: State
    done: int
    total: int


Told = Callable[[Step], None]


def nobody(_step: Step) -> None:
    """For who does not want to be told."""
