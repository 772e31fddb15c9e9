"""One seed, from the plan to the verdict."""

import gc
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from shoal_scheduler.model import children
from shoal_scheduler.model.job import CHILDREN_PER_CHUNK

from tests.simulation.big_array import planned
from tests.simulation.clock import Clock
from tests.simulation.cluster import Cluster
from tests.simulation.lives import Violated, bury
from tests.simulation.mutants import planted
from tests.simulation.plan import Plan, drawn
from tests.simulation.shell import installed

# So that arrays of some dozens have several chunks.
FEW_CHILDREN = 16


def chunks_of(count: int) -> Any:
    """So many children of a job are stored as one value."""
    return patch.object(children, "CHILDREN_PER_CHUNK", count)


@dataclass(frozen=True, slots=True)
class Result:
    """`violation` is empty if all held. `digest` is the trace's: the same for the same seed, always."""

    plan: Plan
    violation: str
    digest: str
    lines: tuple[str, ...]
    events: int
    seconds: float
    tasks: int
    runs: int


def caught_by(mutant: str, seed: int, kinds: tuple[str, ...] | None = None) -> Result | None:
    """A run that is violated with the bug, and not without it."""
    result = run_seed(seed, mutant, only=kinds)
    return result if result.violation and not run_seed(seed, only=kinds).violation else None


def run_seed(
    seed: int,
    mutant: str = "",
    *,
    keep_trace: bool = False,
    only: tuple[str, ...] | None = None,
    array: int = 0,
    services: bool = False,
) -> Result:
    """`array`: the story of one array of so many children, instead of what the seed draws. `services`: some of the
    users have services."""
    plan, clock, violation = planned(seed, array) if array else drawn(seed, only, services=services), Clock(), ""
    with installed(clock), planted(mutant), chunks_of(CHILDREN_PER_CHUNK if array else FEW_CHILDREN):
        cluster = Cluster(plan, clock, keep_trace=keep_trace)
        try:
            cluster.run()
        except Violated as violated:
            violation = str(violated)
            cluster.trace.say("violated", violation)
        finally:
            digest, lines, events = cluster.trace.digest, tuple(cluster.trace.lines), clock.events
            bury(clock)
    result = Result(
        plan=plan,
        violation=violation,
        digest=digest,
        lines=lines,
        events=events,
        seconds=clock.now,
        tasks=len(cluster.witness.recorded),
        runs=sum(cluster.witness.runs.values()),
    )
    del cluster
    if gc.get_count()[0] > 50_000:
        gc.collect()
    return result
