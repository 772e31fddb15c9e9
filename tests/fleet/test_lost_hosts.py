"""A host that falls silent: what `onDisconnect` promises, kept on three hosts with real containers.

The witness judges; all times are its own: seconds since boot, as the containers tell them.
"""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from shoal import arn
from shoal.client import Client
from shoal.hosts import network
from shoal.hosts.plan import Host

from tests.fleet.watched import BACK_SECONDS, Note, assert_untouched, end, until_heard
from tests.ground import witness, work
from tests.ground.fleet import Fleet, stop_everything
from tests.ground.repeats import TEN
from tests.ground.waiting import wait_until

DEADLINE_SECONDS = 15.0
STOP_SECONDS = 3.0  # of the witness's definitions
LONG_CUT_SECONDS = 30.0
REPLACED_SECONDS_MAX = 20.0
# A host that hears nothing may be heard for two heartbeats more, until its agent gives the connection up.
HEARD_ON_SECONDS = 7.0
COPY_ENDS_SECONDS_MAX = 5.0
START_SECONDS = 4.0  # of a container, by the engine of a busy machine
ONCE_AT_MOST = ("stop", "exclusive")
KINDS = ("", "keep", *ONCE_AT_MOST)
# A loaded machine must not fail a test of every run; the long repeats hold the figures themselves.
PATIENCE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Silent:
    """The host that is to fall silent, and the id of one task there for each of KINDS."""

    client: Client
    host: Host
    tasks: Mapping[str, str]


@asynccontextmanager
async def one_of_each(fleet: Fleet, host: Host) -> AsyncIterator[Silent]:
    """On that host; and on the others as many, which nothing may happen to.

    When the block ends, the host is on and healed, and nothing was started twice.
    """
    async with fleet.cluster.client() as client:
        definition = await work.register(client, fleet.witness.definition("silent"))
        count = len(fleet.hosts)
        groups = [await fleet.spread(client, definition, count, on_disconnect=kind or None) for kind in KINDS]
        before = await until_heard(fleet, [task for group in groups for task in group])
        there = [task for task, (run,) in before.items() if run.instance == host.instance_id]
        elsewhere = {task: runs for task, runs in before.items() if task not in there}
        try:
            yield Silent(client, host, dict(zip(KINDS, there, strict=True)))
            await assert_untouched(fleet, client, elsewhere)
        finally:
            await well_again(fleet, client, host)
            await stop_everything(client)


async def well_again(fleet: Fleet, client: Client, host: Host) -> None:
    if network.is_attached(host):
        network.heal(host)
    else:
        await fleet.says("host", "start", host.name)
    await fleet.until_connected(client, [host.name], True, BACK_SECONDS)


async def heirs(fleet: Fleet, there: Silent) -> dict[str, witness.Run]:
    """What runs in the place of those that are to be replaced, by kind."""
    kinds = [kind for kind in there.tasks if kind]

    async def named() -> list[str]:
        found = await work.describe(there.client, [there.tasks[kind] for kind in kinds])
        return [arn.short(task.replaced_by) for task in found.values() if task.replaced_by]

    def all_named(seen: list[str]) -> bool:
        return len(seen) == len(kinds)

    await wait_until(named, all_named, DEADLINE_SECONDS + STOP_SECONDS + PATIENCE_SECONDS, "they are replaced")
    found = await work.describe(there.client, there.tasks.values())
    by_kind = {kind: arn.short(found[there.tasks[kind]].replaced_by) for kind in kinds}
    await work.until_all(there.client, list(by_kind.values()), "RUNNING", PATIENCE_SECONDS)
    await until_heard(fleet, list(by_kind.values()))
    return {kind: run_of(fleet, task) for kind, task in by_kind.items()}


def run_of(fleet: Fleet, task: str) -> witness.Run:
    """Its only one."""
    (found,) = fleet.witness.runs_of([task])[task]
    return found


@pytest.mark.parametrize("repeat", TEN)
async def test_a_host_that_is_killed(fleet: Fleet, repeat: int, record_property: Note) -> None:
    """What says so runs elsewhere; what says nothing stays as it is until the host tells, as in ECS."""
    host = fleet.hosts[repeat % len(fleet.hosts)]
    async with one_of_each(fleet, host) as there:
        await fleet.says("host", "kill", host.name)
        killed_at = witness.seconds_since_boot()
        in_place = await heirs(fleet, there)
        lost = await work.describe(there.client, there.tasks.values())
        assert {lost[there.tasks[kind]].stop_code for kind in in_place} == {"HostLost"}
        assert lost[there.tasks[""]].last_status == "RUNNING"
        for kind, run in in_place.items():
            record_property(f"{kind}_runs_elsewhere_s", round(run.began - killed_at, 2))
        assert in_place["keep"].began - killed_at <= REPLACED_SECONDS_MAX or repeat == 0
        await fleet.says("host", "start", host.name)
        ended = await work.until_all(there.client, list(there.tasks.values()), "STOPPED", BACK_SECONDS)
        assert set(work.exit_codes(ended).values()) == {None}
        assert max(run_of(fleet, task).last for task in there.tasks.values()) <= killed_at


@pytest.mark.slow
@pytest.mark.parametrize("repeat", TEN)
@pytest.mark.parametrize("way", network.WAYS)
async def test_a_host_that_is_cut_off_for_long(fleet: Fleet, way: str, repeat: int, record_property: Note) -> None:
    """`keep` runs elsewhere, and its old copy ends when the host is back; others never run twice at once."""
    host = fleet.hosts[repeat % len(fleet.hosts)]
    async with one_of_each(fleet, host) as there:
        network.cut(host, way)
        cut_at = witness.seconds_since_boot()
        in_place = await heirs(fleet, there)
        await asyncio.sleep(max(0.0, cut_at + LONG_CUT_SECONDS - witness.seconds_since_boot()))
        network.heal(host)
        healed_at = witness.seconds_since_boot()
        await fleet.until_connected(there.client, [host.name], True, BACK_SECONDS)
        back_at = witness.seconds_since_boot()
        await wait_until(lambda: run_of(fleet, there.tasks["keep"]).stopped, timeout_seconds=PATIENCE_SECONDS)
        copy_ended = run_of(fleet, there.tasks["keep"]).last
        for name, value in {
            **{f"{kind}_runs_elsewhere_s": run.began - cut_at for kind, run in in_place.items()},
            "stop_ends_s": run_of(fleet, there.tasks["stop"]).last - cut_at,
            "back_after_heal_s": back_at - healed_at,
            "copy_ends_after_heal_s": copy_ended - healed_at,
        }.items():
            record_property(name, round(value, 2))
        heard_on = HEARD_ON_SECONDS if way == "in" else 0.0
        assert in_place["keep"].began - cut_at <= heard_on + REPLACED_SECONDS_MAX
        for kind in ONCE_AT_MOST:
            assert in_place[kind].began - cut_at <= heard_on + DEADLINE_SECONDS + STOP_SECONDS + 5.0 + START_SECONDS
            assert_no_overlap(fleet, there, in_place, kind)
        assert copy_ended <= back_at + COPY_ENDS_SECONDS_MAX
        # Who says nothing of it runs on all the while, and is told to stop like any other.
        await end(there.client, [there.tasks[""]])
        assert run_of(fleet, there.tasks[""]).stopped


@pytest.mark.slow
@pytest.mark.parametrize("repeat", TEN)
async def test_an_agent_that_hangs(fleet: Fleet, repeat: int, record_property: Note) -> None:
    """It can end nothing itself: the watchdog beside it ends what is exclusive before that runs elsewhere."""
    host = fleet.hosts[repeat % len(fleet.hosts)]
    async with one_of_each(fleet, host) as there:
        agent = fleet.cluster.pid(fleet.program(host, "agent"))
        os.kill(agent, signal.SIGSTOP)
        try:
            hung_at = witness.seconds_since_boot()
            in_place = await heirs(fleet, there)
        finally:
            os.kill(agent, signal.SIGCONT)
        record_property("exclusive_ends_s", round(run_of(fleet, there.tasks["exclusive"]).last - hung_at, 2))
        record_property("exclusive_runs_elsewhere_s", round(in_place["exclusive"].began - hung_at, 2))
        assert_no_overlap(fleet, there, in_place, "exclusive")


def assert_no_overlap(fleet: Fleet, there: Silent, in_place: dict[str, witness.Run], kind: str) -> None:
    stands_for = dict.fromkeys((there.tasks[kind], in_place[kind].task), kind)
    assert witness.overlapping(fleet.witness.runs(), stands_for) == []
