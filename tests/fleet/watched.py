"""Tasks that run while a test does harm, and what must hold of them afterwards by the witness's word."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from shoal.client import Client

from tests.ground import witness, work
from tests.ground.fleet import Fleet, stop_everything
from tests.ground.waiting import wait_until

QUICK_CODE = 7
# What a machine that has other things to do may take to have everything back.
BACK_SECONDS = 60.0

# How a test tells what it measured: pytest's record_property, for --junitxml.
Note = Callable[[str, object], None]


@dataclass(slots=True)
class Watched:
    """Ids of tasks that run, and of short ones, whose submissions were answered: when, as the clock of time.monotonic
    tells. quick: the definition of those."""

    client: Client
    running: list[str]
    quick: str
    acknowledged: list[str] = field(default_factory=list)
    answered_at: list[float] = field(default_factory=list)


@asynccontextmanager
async def watched(fleet: Fleet, count: int = 6, submissions: int = 0) -> AsyncIterator[Watched]:
    """While the block lasts, so many tasks run on all hosts and others are submitted. After it:

    every submission that was answered has run to its end, once; every task that ran runs on and was started once.
    """
    async with fleet.cluster.client() as client:
        running = await fleet.spread(client, await work.register(client, fleet.witness.definition("watched")), count)
        before = await until_heard(fleet, running)
        document = fleet.witness.definition("watched-quick", lasts=0.3, code=QUICK_CODE)
        state = Watched(client, running, await work.register(client, document))
        submitting = asyncio.create_task(submit(state, submissions))
        try:
            await wait_until(lambda: len(state.acknowledged) >= submissions // 3)
            yield state
            await submitting
            patience = BACK_SECONDS + len(state.acknowledged)
            ended = await work.until_all(client, state.acknowledged, "STOPPED", patience)
            assert set(work.exit_codes(ended).values()) <= {QUICK_CODE}
            assert all(len(runs) == 1 for runs in fleet.witness.runs_of(state.acknowledged).values())
            await assert_untouched(fleet, client, before)
        finally:
            submitting.cancel()
            await stop_everything(client)


async def submit(state: Watched, count: int) -> None:
    for _ in range(count):
        state.acknowledged += await work.run(state.client, state.quick)
        state.answered_at.append(time.monotonic())


async def until_heard(fleet: Fleet, tasks: Sequence[str]) -> dict[str, list[witness.Run]]:
    """Their runs, once each has told of itself."""

    def all_told(seen: dict[str, list[witness.Run]]) -> bool:
        return all(seen.values())

    return await wait_until(lambda: fleet.witness.runs_of(tasks), all_told, 20.0, "the containers tell of themselves")


async def assert_untouched(fleet: Fleet, client: Client, before: dict[str, list[witness.Run]]) -> None:
    """The tasks are RUNNING, and so are, by their own words, the containers that ran before."""
    await work.until_all(client, list(before), "RUNNING", BACK_SECONDS)
    after = fleet.witness.runs_of(before)
    assert ids(after) == ids(before)
    last_words = [run for runs in after.values() for run in runs]
    assert witness.silent(last_words, witness.seconds_since_boot()) == []
    assert witness.started_twice(fleet.witness.runs()) == []


def ids(runs: dict[str, list[witness.Run]]) -> dict[str, list[str]]:
    return {task: [run.id for run in of_task] for task, of_task in runs.items()}


async def end(client: Client, tasks: Sequence[str]) -> None:
    await work.stop(client, tasks)
    await work.until_all(client, tasks, "STOPPED", BACK_SECONDS)
