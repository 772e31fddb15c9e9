"""What is told of a transfer while it goes on."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

State = Literal["engine works", "reading", "pushing", "pulling", "pushed", "pulled", "there already", "done"]

# What an engine does with a whole image, of which it tells nothing.
ENGINE = "engine"


@dataclass(frozen=True, slots=True)
class Step:
    """One blob's, or the engine's. `name` is the same from its first step to its last; done and total are bytes.

    A total of 0: nobody knows. "done": nothing more needs to be shown of it.
    """

    name: str
    state: State
    done: int
    total: int


Told = Callable[[Step], None]


def working() -> Step:
    return Step(ENGINE, "engine works", 0, 0)


def worked() -> Step:
    return Step(ENGINE, "done", 0, 0)


def nobody(_step: Step) -> None:
    """For who does not want to be told."""
