"""What a rule may know beside the tables: the time of the step, fresh ids, and chance from a seed."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import NamedTuple, Protocol

from shoal_scheduler.control.inputs import Reply
from shoal_scheduler.state.changes import Change


class Ids(Protocol):
    def launch_id(self) -> str:
        """24 hexadecimal digits, never given twice."""
        ...

    def job_id(self) -> str:
        """A UUID, never given twice."""
        ...


@dataclass(frozen=True, slots=True)
class Limits:
    """How long finished work stays visible. Both bounds hold: the older is dropped first."""

    stopped_tasks_keep_seconds: int = 7 * 24 * 3600
    stopped_tasks_max: int = 100_000
    # A client token is remembered at least so long, even when its tasks are gone by count.
    client_tokens_keep_seconds: int = 24 * 3600

    finished_jobs_keep_seconds: int = 7 * 24 * 3600
    finished_jobs_max: int = 100_000

    # Of each service, deployments that are over, as long as with ECS.
    deployments_keep_seconds: int = 90 * 24 * 3600
    deployments_max: int = 100

    # How long a token lets hosts join, at most.
    join_token_seconds_max: int = 3600


@dataclass(frozen=True, slots=True)
class Context:
    now: int
    ids: Ids
    rng: Random
    limits: Limits

    # Since when this scheduler leads, in milliseconds: what happened before, nobody may have looked at.
    led_since: int = 0


class Outcome(NamedTuple):
    """The answer to one input and what it changes."""

    reply: Reply
    changes: Sequence[Change] = ()

    # The tasks among the changes were placed: what they take is already taken from the view's room.
    placed: bool = False
