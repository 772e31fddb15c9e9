"""What happens to tasks when hosts, their networks and the control plane fail, on three hosts with real containers.

The witness judges: what the cluster says of itself is only compared with it.
"""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from shoal.client import Client
from shoal.hosts import network
from shoal.supervisor import processes

from tests.ground import witness, work
from tests.ground.fleet import Fleet
from tests.ground.repeats import TEN
from tests.ground.waiting import wait_until

SUBMISSIONS = 10
QUICK_CODE = 7
# Shorter than a session's deadline: nothing may come of it.
SHORT_CUT_SECONDS = 5.0
AWAY_SECONDS = 60.0
BACK_SECONDS = 60.0

Note = Callable[[str, object], None]


@dataclass(slots=True)
class Watched:
    """Tasks that run, and since when by their own words; ids of short ones, whose submissions were answered."""

    client: Client
    running: list[str]
    before: dict[str, list[witness.Run]]
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
        state = Watched(client, running, before)
        submitting = asyncio.create_task(submit(fleet, state, submissions))
        await wait_until(lambda: len(state.acknowledged) >= submissions // 3)
        yield state
        await submitting
        ended = await work.until_all(client, state.acknowledged, "STOPPED", BACK_SECONDS)
        assert set(work.exit_codes(ended).values()) <= {QUICK_CODE}
        assert all(len(runs) == 1 for runs in fleet.witness.runs_of(state.acknowledged).values())
        await assert_untouched(fleet, state)
        await end(client, running)


async def submit(fleet: Fleet, state: Watched, count: int) -> None:
    document = fleet.witness.definition("watched-quick", lasts=0.3, code=QUICK_CODE)
    quick = await work.register(state.client, document)
    for _ in range(count):
        state.acknowledged += await work.run(state.client, quick)
        state.answered_at.append(time.monotonic())


async def until_heard(fleet: Fleet, tasks: Sequence[str]) -> dict[str, list[witness.Run]]:
    """Their runs, once each has told of itself."""

    def all_told(seen: dict[str, list[witness.Run]]) -> bool:
        return all(seen.values())

    return await wait_until(lambda: fleet.witness.runs_of(tasks), all_told, 20.0, "the containers tell of themselves")


async def assert_untouched(fleet: Fleet, state: Watched) -> None:
    """The tasks are RUNNING, and so are, by their own words, the containers that ran before."""
    await work.until_all(state.client, state.running, "RUNNING", BACK_SECONDS)
    after = fleet.witness.runs_of(state.running)
    assert ids(after) == ids(state.before)
    last_words = [run for runs in after.values() for run in runs]
    assert witness.silent(last_words, witness.seconds_since_boot()) == []
    assert witness.started_twice(fleet.witness.runs()) == []


def ids(runs: dict[str, list[witness.Run]]) -> dict[str, list[str]]:
    return {task: [run.id for run in of_task] for task, of_task in runs.items()}


async def end(client: Client, tasks: Sequence[str]) -> None:
    await work.stop(client, tasks)
    await work.until_all(client, tasks, "STOPPED", BACK_SECONDS)


# Programs that are killed while tasks run and others are submitted.


@pytest.mark.parametrize("repeat", TEN)
@pytest.mark.parametrize("part", ["scheduler", pytest.param("etcd", marks=pytest.mark.slow)])
async def test_a_part_of_the_control_plane_is_killed(
    fleet: Fleet, part: str, repeat: int, record_property: Note
) -> None:
    async with watched(fleet, submissions=SUBMISSIONS) as state:
        old, killed_at = fleet.cluster.kill(part), time.monotonic()
        await wait_until(lambda: fleet.cluster.has_restarted(part, old), why=f"{part} is back")
        await wait_until(lambda: state.answered_at[-1] > killed_at, timeout_seconds=BACK_SECONDS)
        record_property("until_answered_s", next(at for at in state.answered_at if at > killed_at) - killed_at)


@pytest.mark.parametrize("repeat", TEN)
@pytest.mark.parametrize("part", [pytest.param("agent", marks=pytest.mark.slow), "engine"])
async def test_a_program_of_a_host_is_killed(fleet: Fleet, part: str, repeat: int, record_property: Note) -> None:
    """Engines of hosts keep their containers through it, as live-restore promises."""
    async with watched(fleet, submissions=SUBMISSIONS if part == "agent" else 0) as state:
        host = fleet.hosts[repeat % len(fleet.hosts)]
        program = fleet.program(host, part)
        old, killed_at = fleet.cluster.kill(program), time.monotonic()
        await wait_until(lambda: fleet.cluster.has_restarted(program, old), why=f"{program} is back")
        await fleet.until_connected(state.client, [host.name], True, BACK_SECONDS)
        record_property("until_back_s", time.monotonic() - killed_at)
        if part == "engine":
            # It takes tasks again, too.
            state.acknowledged += await until_all_hosts_take(fleet, state)


async def until_all_hosts_take(fleet: Fleet, state: Watched) -> list[str]:
    document = fleet.witness.definition("watched-quick", lasts=0.3, code=QUICK_CODE)
    quick = await work.register(state.client, document)
    return await work.run(state.client, quick, len(fleet.hosts), placement_strategy=work.spread())


@pytest.mark.slow
@pytest.mark.parametrize("repeat", TEN)
async def test_nobody_leads_for_a_minute(fleet: Fleet, repeat: int) -> None:
    """The supervisor is stopped, so that it does not notice, and the scheduler is killed."""
    async with watched(fleet, submissions=SUBMISSIONS) as state:
        supervisor = processes.identify(fleet.cluster.pid("supervisor"))
        assert supervisor is not None
        os.kill(supervisor.pid, signal.SIGSTOP)
        try:
            fleet.cluster.kill("scheduler")
            await asyncio.sleep(AWAY_SECONDS)
        finally:
            os.kill(supervisor.pid, signal.SIGCONT)
        await fleet.until_connected(state.client, [host.name for host in fleet.hosts], True, BACK_SECONDS)


# The network between a host and the control plane.


@pytest.mark.parametrize("repeat", TEN)
async def test_a_short_cut_has_no_effect(fleet: Fleet, repeat: int) -> None:
    """Nothing is started, stopped or counted as lost. Each host is cut off in another way, and the ways take turns."""
    ways = [*network.WAYS, *network.WAYS][repeat % len(network.WAYS) :]
    async with watched(fleet) as state:
        for host, way in zip(fleet.hosts, ways, strict=False):
            network.cut(host, way)
        try:
            await asyncio.sleep(SHORT_CUT_SECONDS)
            listed = await work.describe(state.client, state.running)
            assert {task.last_status for task in listed.values()} == {"RUNNING"}
        finally:
            for host in fleet.hosts:
                network.heal(host)
        await fleet.until_connected(state.client, [host.name for host in fleet.hosts], True, BACK_SECONDS)


@pytest.mark.parametrize("repeat", TEN)
async def test_without_a_word_on_it_tasks_of_a_host_that_was_killed_are_stopped_when_it_returns(
    fleet: Fleet, repeat: int, record_property: Note
) -> None:
    """As in ECS: they stay as they are while the host is away, and nobody makes up how they ended."""
    async with watched(fleet) as state:
        host = fleet.hosts[repeat % len(fleet.hosts)]
        there = [task for task, (run,) in state.before.items() if run.instance == host.instance_id]
        assert there
        await fleet.says("host", "kill", host.name)
        killed_at = witness.seconds_since_boot()
        await fleet.until_connected(state.client, [host.name], False, 30.0)
        assert {task.last_status for task in (await work.describe(state.client, there)).values()} == {"RUNNING"}
        await fleet.says("host", "start", host.name)
        ended = await work.until_all(state.client, there, "STOPPED", BACK_SECONDS)
        record_property("until_known_s", witness.seconds_since_boot() - killed_at)
        assert set(work.exit_codes(ended).values()) == {None}
        assert max(run.last for (run,) in fleet.witness.runs_of(there).values()) <= killed_at
        state.running = [task for task in state.running if task not in there]
        state.before = {task: state.before[task] for task in state.running}


# On purpose.


async def test_a_drained_host_gets_no_new_tasks_and_keeps_those_it_has(fleet: Fleet) -> None:
    async with watched(fleet) as state:
        host = fleet.hosts[0]
        assert "DRAINING" in await fleet.says("drain", host.name)
        try:
            more = await fleet.spread(state.client, await work.register(state.client, SLEEPER), 4)
            placed = {task.container_instance_arn for task in (await work.describe(state.client, more)).values()}
            assert {fleet.host_of(each).name for each in placed} == {each.name for each in fleet.hosts[1:]}
            await end(state.client, more)
        finally:
            await fleet.says("activate", host.name)


SLEEPER = work.definition("fleet-sleeper", ["sleep", "600"], cpu=2, memory=8, stopTimeout=2)
