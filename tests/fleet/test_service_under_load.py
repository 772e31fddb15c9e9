"""A service of nginx on three hosts behind the load balancer, under constant load from both kinds of clients.

What is planned fails no request; of what is killed only those may fail that were at it. Meanwhile a judge holds each
transaction against the percents.
"""

import asyncio
from collections.abc import Sequence

import pytest

from tests.fleet.conftest import FleetFactory
from tests.fleet.watched import Note
from tests.ground import images, nginx, trials
from tests.ground.engine import Engine
from tests.ground.nginx import Version
from tests.ground.served import served
from tests.ground.trials import Done
from tests.ground.visitors import Visitors

RATE = 60.0
# Those that the trials of every run ask for, and all.
FEW = (nginx.FIRST, nginx.SECOND)
ALL = (*FEW, nginx.CRASHES, nginx.SICK, nginx.HEAVY)
IN_EVERY_RUN = (trials.deploy, trials.drain, trials.kill_container, trials.kill_leader, trials.not_existing)
IN_THE_LONG_RUN = (
    *(trials.interrupt, trials.scale_in_and_out),
    *(trials.kill_agent, trials.kill_ingress, trials.kill_etcd, trials.lose_host),
    *(trials.deploy_while_all_is_killed, trials.crashing, trials.never_healthy, trials.registry_dies),
)


@pytest.mark.parametrize(
    ("wanted", "versions"),
    [(IN_EVERY_RUN, FEW), pytest.param(IN_THE_LONG_RUN, ALL, marks=pytest.mark.slow)],
    ids=["in_every_run", "in_the_long_run"],
)
async def test_a_service_under_load(
    fleet_factory: FleetFactory,
    engine: Engine,
    web_images: dict[str, images.WebImage],
    wanted: Sequence[Done],
    versions: Sequence[Version],
    record_property: Note,
) -> None:
    """One trial after another: what the one leaves the next one finds."""
    fleet = fleet_factory(hosts=3, schedulers=2)
    await asyncio.to_thread(nginx.make_base, engine)
    await asyncio.to_thread(fleet.cluster.up)
    async with served(fleet, engine, *versions) as service:
        async with Visitors("127.0.0.1", service.port, RATE) as visitors:
            for each in wanted:
                trial = await trials.run(each, service, visitors)
                record_property(trial.name, trial.document())
                assert len(trial.failed) <= trial.may_fail, trial.document()
        judge = service.judge
    assert judge.broken == []
    assert judge.revisions > 30, "it has heard what happened"
    await asyncio.to_thread(fleet.cluster.end)
