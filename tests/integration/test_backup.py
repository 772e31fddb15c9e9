"""A backup of a cluster with real containers is restored: in its place, and in a new state folder."""

import shutil

import pytest
from shoal.client import Client

from tests.conftest import ClusterFactory
from tests.ground import pushed, work
from tests.ground.cluster import Cluster
from tests.ground.engine import Engine
from tests.ground.waiting import wait_until

SLEEPER = work.definition("backup-sleeper", ["sleep", "600"], stopTimeout=2)
(CONTAINER,) = SLEEPER["containerDefinitions"]
# Ends when it is told to, by its own shell.
ENDS = work.definition("backup-ends", ["sh", "-c", "trap 'exit 7' TERM; while :; do sleep 0.1; done"])


async def started(client: Client, document: object) -> "tuple[str, str]":
    """A task that runs, and its container."""
    assert isinstance(document, dict)
    (task,) = await work.run(client, await work.register(client, document))
    return task, work.docker_ids(await work.until_all(client, [task], "RUNNING", 60.0))[task]


@pytest.mark.parametrize("place", [pytest.param("in its place", marks=pytest.mark.slow), "in a new folder"])
async def test_what_still_runs_is_found_again(
    cluster_factory: ClusterFactory, engine: Engine, busybox_image: str, place: str
) -> None:
    cluster: Cluster = cluster_factory()
    file = cluster.folder / "backup"
    image = pushed.push(cluster, engine, busybox_image, "team/backup:v1")
    async with cluster.client() as client:
        kept, kept_container = await started(client, SLEEPER)
        ended, ended_container = await started(client, ENDS)
        cluster.shoal("backup", str(file), *(["--with-certificates"] if place == "in a new folder" else []))
        _, later_container = await started(client, SLEEPER)
    cluster.shoal("down")
    engine.docker("kill", "--signal", "TERM", ended_container)
    engine.docker("wait", ended_container)
    if place == "in a new folder":
        shutil.copytree(cluster.layout.registry_store, cluster.folder / "images")
        shutil.rmtree(cluster.layout.root)
        cluster.shoal("restore", str(file), "--etcd-members", "3")
        # A backup holds no images, but with its keys a copy of the store can be read.
        shutil.copytree(cluster.folder / "images", cluster.layout.registry_store)
    else:
        cluster.shoal("restore", str(file))
    cluster.up()
    async with cluster.client() as client:
        found = await work.until_all(client, [kept], "RUNNING", 60.0)
        assert work.docker_ids(found)[kept] == kept_container
        over = await work.until_all(client, [ended], "STOPPED", 60.0)
        assert work.exit_codes(over)[ended] == 7
        await wait_until(
            lambda: engine.docker("ps", "--no-trunc", "--quiet"),
            lambda running: later_container not in running and kept_container in running,
            60.0,
            "what nobody knows any more is removed",
        )
        (new, _) = await started(client, {**SLEEPER, "containerDefinitions": [{**CONTAINER, "image": image}]})
        await work.stop(client, [kept, new])
        await work.until_all(client, [kept, new], "STOPPED", 60.0)
