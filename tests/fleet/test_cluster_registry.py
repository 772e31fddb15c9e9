"""Hosts pull from the cluster's registry by the address of the bridge, where engines verify who it is."""

from shoal import engine_trust

from tests.fleet.conftest import FleetFactory
from tests.fleet.test_hosts import planned
from tests.ground import pushed, work
from tests.ground.engine import Engine
from tests.ground.fleet import Fleet


async def test_three_hosts_pull_at_once(fleet: Fleet, engine: Engine, busybox_image: str) -> None:
    image = pushed.push(fleet.cluster, engine, busybox_image, "team/web:v1")
    assert image == f"{planned(fleet).address.ip}:7680/team/web:v1"
    document = work.definition("from-the-registry", ("sleep", "600"), image=image)
    async with fleet.cluster.client() as client:
        tasks = await fleet.spread(client, await work.register(client, document), 3)
        found = await work.describe(client, tasks)
        assert len({task.container_instance_arn for task in found.values()}) == 3
        await work.stop(client, tasks)


def test_a_purge_takes_back_what_engines_were_told(fleet_factory: FleetFactory, engine: Engine) -> None:
    made = fleet_factory(hosts=1)
    made.cluster.up()
    told = engine_trust.FOLDER / str(made.cluster.context.registry)
    assert (told / engine_trust.FILE).exists()
    made.cluster.shoal("registry", "trust")
    made.cluster.shoal("down", "--purge")
    assert not told.exists()
