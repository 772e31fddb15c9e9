"""Rebalances that nobody asks for: where the cluster or a service has that switched on."""

from collections import Counter
from random import Random

import pytest
from shoal_scheduler.control import inputs as i
from shoal_scheduler.control.rebalance import look, progress

from tests.unit.scheduler.rebalance.moving import ZONE, Moving, host

ENABLED = {"settings": [{"name": look.SETTING, "value": "enabled"}]}


async def unbalanced(**more: object) -> Moving:
    stage = await Moving.opened(4, host("a", "z1"), host("b", "z1"), **more)
    await stage.join(host("c", "z2"))
    return stage


async def test_off_by_default() -> None:
    stage = await unbalanced()
    await stage.look(starts=True)
    assert not stage.rebalances


async def test_switched_on_services_are_spread_again_and_again_only_where_it_helps() -> None:
    stage = await unbalanced()
    await stage.one(i.PutClusterDocument("default", ENABLED, create=False))
    await stage.look()
    assert not stage.rebalances
    await stage.look(starts=True)
    assert (stage.last.kind, stage.last.created_by) == ("SPREAD", "automatic")
    await stage.until_over()
    assert stage.hosts() == ["a", "b", "c", "c"]
    for _ in range(3):
        stage.now += look.SETTLE_MILLIS
        await stage.look(starts=True)
    assert len(stage.rebalances) == 1


async def test_it_waits_until_what_was_moved_has_settled() -> None:
    stage = await unbalanced()
    await stage.one(i.PutClusterDocument("default", ENABLED, create=False))
    await stage.look(starts=True)
    await stage.halt()
    stage.now += look.SETTLE_MILLIS
    await stage.look(starts=True)
    assert len(stage.rebalances) == 1, "of the last one a move was given up"
    stage.now += look.AFTER_GIVING_UP_MILLIS
    await stage.look(starts=True)
    assert len(stage.rebalances) == 2


async def test_a_service_with_zone_rebalancing_is_evened_out_over_zones_alone() -> None:
    stage = await unbalanced(zone_rebalancing=True)
    await stage.look(starts=True)
    assert (stage.last.kind, len(stage.last.moves) + len(stage.last.planned)) == ("ZONES", 2)
    await stage.until_over()
    assert stage.hosts() == ["a", "b", "c", "c"]
    await stage.join(host("d", "z2"))
    stage.now += look.SETTLE_MILLIS
    await stage.look(starts=True)
    assert len(stage.rebalances) == 1, "its zones are even"


async def test_one_that_is_in_progress_goes_on_whatever_starts() -> None:
    stage = await unbalanced(zone_rebalancing=True)
    assert look.look(stage.tables, stage.context, starts=False) == ([], False)
    await stage.look(starts=True)
    await stage.look(starts=True)
    assert len(stage.rebalances) == 1
    assert look.look(stage.tables, stage.context, starts=True).is_under_way
    stage.now += progress.GIVE_UP_MILLIS
    await stage.look()
    assert stage.last.over


@pytest.mark.parametrize("seed", range(8))
async def test_wherever_placement_puts_what_moves_it_comes_to_rest_and_is_even(seed: int) -> None:
    rng = Random(seed)
    hosts = [host(f"h{number}", rng.choice(("z1", "z2", "z3"))) for number in range(rng.randrange(3, 8))]
    first, more = rng.randrange(1, 3), rng.randrange(2, 12)
    stage = await Moving.opened(more, *hosts[:first])
    await stage.one(i.PutClusterDocument("default", ENABLED, create=False))
    await stage.join(*hosts[first:])
    rounds = 0
    while True:
        stage.now += look.AFTER_GIVING_UP_MILLIS
        before = len(stage.rebalances)
        await stage.look(starts=True)
        if len(stage.rebalances) == before:
            break
        rounds += 1
        assert rounds < 8, "it does not come to rest"
        assert (await stage.until_over()).status == "COMPLETED"
    zones = Counter({each.attributes[ZONE]: 0 for each in hosts})
    zones.update(stage.tables.instances[name].attribute(ZONE) or "" for name in stage.hosts())
    assert max(zones.values()) - min(zones.values()) <= 1
