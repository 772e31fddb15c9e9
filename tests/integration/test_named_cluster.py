"""A cluster may have any name: it is there from the start, and tasks run in it."""

from tests.conftest import ClusterFactory


async def test_a_cluster_of_another_name_runs_tasks(cluster_factory: ClusterFactory, busybox_image: str) -> None:
    cluster = cluster_factory(name="two")
    done = cluster.shoal("clusters", "-o", "name")
    assert done.stdout.split() == ["two"]
    async with cluster.client() as client:
        assert client.context.cluster == "two"
    shown = cluster.shoal("run", "--image", busybox_image, "--", "echo", "hello")
    assert shown.stdout == "hello\n"
