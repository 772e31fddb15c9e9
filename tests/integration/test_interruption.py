"""A notice that appears on a host: real programs and containers, one host."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from shoal import arn
from shoal.client import Client
from shoal.v1 import container_instance_pb2
from shoal.v1.container_instance_pb2 import ContainerInstance

from tests.ground import work
from tests.ground.cluster import Cluster
from tests.ground.engine import Engine

# It answers SIGTERM with an exit code of its own, so that it is seen to have heard it.
POLITE = work.definition("polite", ["sh", "-c", "trap 'exit 7' TERM; while :; do sleep 0.1; done"], stopTimeout=60)
STUBBORN = work.definition("stubborn", ["sh", "-c", "trap '' TERM; while :; do sleep 0.1; done"], stopTimeout=100)

# What a loaded machine may take beyond what the programs themselves take.
PATIENCE_SECONDS = 40.0


@pytest.fixture(scope="module")
def spot(ground: Path, engine: Engine, busybox_image: str) -> Iterator[Cluster]:
    """A cluster of its own, whose agent looks for a notice."""
    made = Cluster(ground / "spot", engine.host, engine)
    made.layout.root.mkdir(parents=True)
    made.layout.agent_config.write_text(f'interruption_notice = "{notice_of(made)}"\n')
    made.up()
    yield made
    made.end()


def notice_of(cluster: Cluster) -> Path:
    return cluster.folder / "notice"


async def the_instance(client: Client) -> ContainerInstance:
    listed = await client.cluster.ListContainerInstances(container_instance_pb2.ListContainerInstancesRequest())
    request = container_instance_pb2.DescribeContainerInstancesRequest(
        container_instances=listed.container_instance_arns
    )
    (found,) = (await client.cluster.DescribeContainerInstances(request)).container_instances
    return found


async def test_tasks_hear_of_it_end_in_time_and_go_on_once_there_is_room(spot: Cluster) -> None:
    async with spot.client() as client:
        polite, stubborn = [await work.register(client, each) for each in (POLITE, STUBBORN)]
        (plain,) = await work.run(client, polite)
        (kept,) = await work.run(client, polite, on_disconnect="keep")
        (deaf,) = await work.run(client, stubborn)
        await work.until_all(client, [plain, kept, deaf], "RUNNING", PATIENCE_SECONDS)
        notice_of(spot).touch()
        ended = await work.until_all(client, [plain, kept], "STOPPED", PATIENCE_SECONDS)
        assert work.exit_codes(ended) == {plain: 7, kept: 7}
        assert {task.stop_code for task in ended.values()} == {"SpotInterruption"}
        assert all(f"({notice_of(spot)} is there)" in task.stopped_reason for task in ended.values())
        assert not ended[plain].replaced_by
        heir = arn.short(ended[kept].replaced_by)
        assert (await work.describe(client, [heir]))[heir].last_status == "PROVISIONING"
        found = await the_instance(client)
        assert (found.status, found.interruption.source) == ("DRAINING", "notice")
        # What has its own hundred seconds has less once an operator knows that the host goes earlier.
        said = spot.shoal("drain", arn.short(found.container_instance_arn), "--interruption", "5s", "--wait")
        assert "No task is left" in said.stdout
        killed = (await work.describe(client, [deaf]))[deaf]
        assert (work.exit_codes({deaf: killed}), killed.stop_code) == ({deaf: 137}, "SpotInterruption")
        deadline = (await the_instance(client)).interruption.deadline
        assert killed.execution_stopped_at < deadline + PATIENCE_SECONDS * 1000
        notice_of(spot).unlink()
        spot.shoal("activate", arn.short(found.container_instance_arn))
        await work.until_all(client, [heir], "RUNNING", PATIENCE_SECONDS)
        assert not (await the_instance(client)).HasField("interruption")
        await work.stop(client, [heir])
        await work.until_all(client, [heir], "STOPPED", PATIENCE_SECONDS)
