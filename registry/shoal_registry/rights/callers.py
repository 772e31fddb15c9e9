"""Who calls, and what a call needs."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

Action: TypeAlias = Literal["pull", "push", "delete", "admin"]

# `nothing`: anybody may. `identity`: who has shown who they are, or was given a token as a stranger.
Need: TypeAlias = Literal["nothing", "identity"] | Action

Role: TypeAlias = Literal["anybody", "operator"]


@dataclass(frozen=True, slots=True)
class Caller:
    """`name` is for people: in logs, and as who did something."""

    role: Role
    name: str


ANYBODY = Caller("anybody", "anybody")
# Of a registry that asks nobody who they are.
UNASKED = Caller("operator", "anybody")
