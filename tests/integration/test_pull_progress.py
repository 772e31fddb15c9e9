"""A task that waits for its image, as somebody sees it who asks the cluster why it does not run."""

import os

import pytest

from tests.ground import work
from tests.ground.cluster import Cluster
from tests.ground.registry import registry
from tests.ground.waiting import wait_until


@pytest.mark.slow  # the first word comes after ten seconds
async def test_a_describe_says_how_much_of_an_image_is_there(cluster: Cluster) -> None:
    async with registry() as source, cluster.client() as client:
        source.push("large:1", os.urandom(2_000_000))
        source.stalls = True
        document = work.definition("large", ["/content"], image=source.image("large:1"))
        ids = await work.run(client, await work.register(client, document))

        async def reason() -> str:
            (task,) = (await work.describe(client, ids)).values()
            return task.containers[0].reason if task.containers else ""

        def is_told(text: str) -> bool:
            return bool(text)

        told = await wait_until(reason, is_told, 30.0, "a reason is told")
        assert told.startswith("pulling image: ") and told.endswith(" %"), told
        (task,) = (await work.describe(client, ids)).values()
        assert task.last_status == "PENDING" and task.pull_started_at > 0
        await work.stop(client, ids)
        await work.until_all(client, ids, "STOPPED")
