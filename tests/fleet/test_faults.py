"""What happens to tasks when hosts, their networks and the control plane fail, on three hosts with real containers.

The witness judges: what the cluster says of itself is only compared with it.
"""

import asyncio
import os
import signal
import time

import pytest
from shoal.hosts import network
from shoal.supervisor import processes

from tests.fleet.watched import BACK_SECONDS, Note, Watched, submit, watched
from tests.ground import work
from tests.ground.fleet import Fleet
from tests.ground.repeats import TEN
from tests.ground.waiting import wait_until

SUBMISSIONS = 10
MANY, CALLERS, KILLS = 180, 6, 3
# Shorter than a session's deadline: nothing may come of it.
SHORT_CUT_SECONDS = 5.0
AWAY_SECONDS = 60.0


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
        answered_after = next(at for at in state.answered_at if at > killed_at) - killed_at
        record_property("until_answered_s", round(answered_after, 2))


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
        if part == "engine":
            state.acknowledged += await one_on_each_host(fleet, state)
        record_property("until_back_s", round(time.monotonic() - killed_at, 2))


@pytest.mark.slow
async def test_the_leader_is_killed_again_and_again_under_many_submissions(fleet: Fleet) -> None:
    """From several callers at once, of whom each waits for its answer before it asks again."""
    async with watched(fleet) as state:
        submitting = [asyncio.create_task(submit(state, MANY // CALLERS)) for _ in range(CALLERS)]
        for kill in range(1, KILLS + 1):
            await kill_leader_after(fleet, state, kill * MANY // (KILLS + 1))
        await asyncio.gather(*submitting)
        assert len(set(state.acknowledged)) == MANY


async def kill_leader_after(fleet: Fleet, state: Watched, answered: int) -> None:
    await wait_until(lambda: len(state.acknowledged) >= answered, timeout_seconds=BACK_SECONDS)
    old = fleet.cluster.kill("scheduler")
    await wait_until(lambda: fleet.cluster.has_restarted("scheduler", old))


async def one_on_each_host(fleet: Fleet, state: Watched) -> list[str]:
    return await work.run(state.client, state.quick, len(fleet.hosts), placement_strategy=work.spread())


@pytest.mark.slow
@pytest.mark.parametrize("repeat", TEN)
async def test_nobody_leads_for_a_minute(fleet: Fleet, repeat: int, record_property: Note) -> None:
    """The supervisor is stopped, so that it does not notice, and the scheduler is killed: tasks run on."""
    async with watched(fleet) as state:
        supervisor = processes.identify(fleet.cluster.pid("supervisor"))
        assert supervisor is not None
        os.kill(supervisor.pid, signal.SIGSTOP)
        try:
            fleet.cluster.kill("scheduler")
            await asyncio.sleep(AWAY_SECONDS)
        finally:
            os.kill(supervisor.pid, signal.SIGCONT)
        back_from = time.monotonic()
        await fleet.until_connected(state.client, [host.name for host in fleet.hosts], True, BACK_SECONDS)
        record_property("until_connected_s", round(time.monotonic() - back_from, 2))
        state.acknowledged += await one_on_each_host(fleet, state)


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


# On purpose.


@pytest.mark.parametrize("repeat", TEN)
async def test_a_drained_host_gets_no_new_tasks_and_keeps_those_it_has(fleet: Fleet, repeat: int) -> None:
    async with watched(fleet) as state:
        host = fleet.hosts[repeat % len(fleet.hosts)]
        assert "DRAINING" in await fleet.says("drain", host.name)
        try:
            more = await work.run(state.client, state.quick, 4, placement_strategy=work.spread())
            placed = {task.container_instance_arn for task in (await work.describe(state.client, more)).values()}
            assert {fleet.host_of(each).name for each in placed} == {it.name for it in fleet.hosts if it != host}
            state.acknowledged += more
        finally:
            await fleet.says("activate", host.name)
