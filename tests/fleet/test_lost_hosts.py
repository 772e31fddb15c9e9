"""A host that falls silent: what `onDisconnect` promises, kept on three hosts with real containers.

The witness judges; all times are its own: seconds since boot, as the containers tell them.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
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
COPY_ENDS_SECONDS_MAX = 5.0
START_SECONDS = 4.0  # of a container, by the engine of a busy machine
KINDS = (None, "keep", "stop")
# A loaded machine must not fail a test of every run; the long repeats hold the figures themselves.
PATIENCE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Silent:
    """The host that is to fall silent, and the ids of one task there for each of KINDS."""

    client: Client
    host: Host
    plain: str
    kept: str
    stopped: str

    @property
    def tasks(self) -> list[str]:
        return [self.plain, self.kept, self.stopped]


@asynccontextmanager
async def one_of_each(fleet: Fleet, host: Host) -> AsyncIterator[Silent]:
    """On that host; and on the others as many, which nothing may happen to.

    When the block ends, the host is on and healed, and nothing was started twice.
    """
    async with fleet.cluster.client() as client:
        definition = await work.register(client, fleet.witness.definition("silent"))
        count = len(fleet.hosts)
        groups = [await fleet.spread(client, definition, count, on_disconnect=kind) for kind in KINDS]
        before = await until_heard(fleet, [task for group in groups for task in group])
        there = [task for task, (run,) in before.items() if run.instance == host.instance_id]
        elsewhere = {task: runs for task, runs in before.items() if task not in there}
        try:
            yield Silent(client, host, *there)
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


async def heirs(client: Client, tasks: Sequence[str], timeout_seconds: float) -> list[str]:
    """The tasks in their place, in the same order, once all of them run."""

    async def named() -> list[str]:
        found = await work.describe(client, tasks)
        return [arn.short(found[task].replaced_by) for task in tasks if found[task].replaced_by]

    def all_named(seen: list[str]) -> bool:
        return len(seen) == len(tasks)

    found = await wait_until(named, all_named, timeout_seconds, "they are replaced")
    await work.until_all(client, found, "RUNNING", PATIENCE_SECONDS)
    return found


def run_of(fleet: Fleet, task: str) -> witness.Run:
    """Its only one."""
    (found,) = fleet.witness.runs_of([task])[task]
    return found


@pytest.mark.parametrize("repeat", TEN)
async def test_a_host_that_is_killed(fleet: Fleet, repeat: int, record_property: Note) -> None:
    """What says `keep` or `stop` runs elsewhere; what says nothing stays as it is until the host tells, as in ECS."""
    host = fleet.hosts[repeat % len(fleet.hosts)]
    async with one_of_each(fleet, host) as there:
        client = there.client
        await fleet.says("host", "kill", host.name)
        killed_at = witness.seconds_since_boot()
        in_place = await heirs(client, [there.kept, there.stopped], DEADLINE_SECONDS + STOP_SECONDS + PATIENCE_SECONDS)
        await until_heard(fleet, in_place)
        lost = await work.describe(client, there.tasks)
        assert {lost[task].stop_code for task in (there.kept, there.stopped)} == {"HostLost"}
        assert lost[there.plain].last_status == "RUNNING"
        kept_after, stop_after = (run_of(fleet, task).began - killed_at for task in in_place)
        record_property("keep_runs_elsewhere_s", round(kept_after, 2))
        record_property("stop_runs_elsewhere_s", round(stop_after, 2))
        assert kept_after <= REPLACED_SECONDS_MAX or repeat == 0
        await fleet.says("host", "start", host.name)
        ended = await work.until_all(client, there.tasks, "STOPPED", BACK_SECONDS)
        assert set(work.exit_codes(ended).values()) == {None}
        assert max(run_of(fleet, task).last for task in there.tasks) <= killed_at
        await end(client, in_place)


@pytest.mark.slow
@pytest.mark.parametrize("repeat", TEN)
@pytest.mark.parametrize("way", network.WAYS)
async def test_a_host_that_is_cut_off_for_long(fleet: Fleet, way: str, repeat: int, record_property: Note) -> None:
    """`keep` runs elsewhere, and its old copy ends when the host is back; `stop` never runs twice at once."""
    host = fleet.hosts[repeat % len(fleet.hosts)]
    async with one_of_each(fleet, host) as there:
        client = there.client
        network.cut(host, way)
        cut_at = witness.seconds_since_boot()
        in_place = await heirs(client, [there.kept, there.stopped], DEADLINE_SECONDS + PATIENCE_SECONDS)
        await until_heard(fleet, in_place)
        await asyncio.sleep(max(0.0, cut_at + LONG_CUT_SECONDS - witness.seconds_since_boot()))
        network.heal(host)
        healed_at = witness.seconds_since_boot()
        await fleet.until_connected(client, [host.name], True, BACK_SECONDS)
        back_at = witness.seconds_since_boot()
        await wait_until(lambda: run_of(fleet, there.kept).stopped, timeout_seconds=PATIENCE_SECONDS)
        kept, stopped = (run_of(fleet, task).began - cut_at for task in in_place)
        copy_ended = run_of(fleet, there.kept).last
        for name, value in {
            "keep_runs_elsewhere_s": kept,
            "stop_ends_s": run_of(fleet, there.stopped).last - cut_at,
            "stop_runs_elsewhere_s": stopped,
            "back_after_heal_s": back_at - healed_at,
            "copy_ends_after_heal_s": copy_ended - healed_at,
        }.items():
            record_property(name, round(value, 2))
        assert kept <= REPLACED_SECONDS_MAX
        assert stopped <= DEADLINE_SECONDS + STOP_SECONDS + 5.0 + START_SECONDS
        assert copy_ended <= back_at + COPY_ENDS_SECONDS_MAX
        stands_for = {there.stopped: "stop", in_place[1]: "stop"}
        assert witness.overlapping(fleet.witness.runs(), stands_for) == []
        # Who says nothing of it runs on all the while, and is told to stop like any other.
        await end(client, [there.plain, *in_place])
        assert run_of(fleet, there.plain).stopped
