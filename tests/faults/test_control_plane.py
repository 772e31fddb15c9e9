"""Several schedulers over several members of etcd: each may die, and the others go on."""

from shoal.v1 import cluster_pb2

from tests.conftest import ControlPlaneFactory


async def test_another_scheduler_leads_after_the_leader_was_killed(control_plane_factory: ControlPlaneFactory) -> None:
    plane = control_plane_factory(schedulers=2, members=3)
    first = await plane.until_led()
    async with plane.client() as client:
        before = await client.cluster.DescribeControlPlane(cluster_pb2.DescribeControlPlaneRequest())
        plane.kill(first)
        second = await plane.until_led()
        assert second != first
        after = await client.cluster.DescribeControlPlane(cluster_pb2.DescribeControlPlaneRequest())
        assert after.epoch > before.epoch
        plane.start(first)
        plane.kill(plane.etcd_leader())
        plane.etcd_leader()
        assert await plane.until_led() == second
