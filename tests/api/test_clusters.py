"""Clusters through the running server."""

import grpc
from shoal.v1 import cluster_pb2 as pb
from shoal.v1 import resource_pb2

from tests.api.refusals import refused_with
from tests.fakes.agent import SimulatedAgent
from tests.fakes.scheduler import Scheduler


async def described(scheduler: Scheduler, *names: str) -> pb.DescribeClustersResponse:
    request = pb.DescribeClustersRequest(clusters=names, include=["TAGS"])
    answer: pb.DescribeClustersResponse = await scheduler.cluster.DescribeClusters(request)
    return answer


async def test_create_update_list_delete(scheduler: Scheduler) -> None:
    create = pb.CreateClusterRequest(
        cluster_name="blue",
        tags=[resource_pb2.Tag(key="team", value="a")],
        settings=[pb.ClusterSetting(name="containerInsights", value="disabled")],
    )
    created = (await scheduler.cluster.CreateCluster(create)).cluster
    assert (created.cluster_name, created.status, created.tags[0].key) == ("blue", "ACTIVE", "team")
    again = (await scheduler.cluster.CreateCluster(pb.CreateClusterRequest(cluster_name="blue"))).cluster
    assert again == created
    setting = pb.ClusterSetting(name="containerInsights", value="enabled")
    update = pb.UpdateClusterSettingsRequest(cluster="blue", settings=[setting])
    assert list((await scheduler.cluster.UpdateClusterSettings(update)).cluster.settings) == [setting]
    listed = await scheduler.cluster.ListClusters(pb.ListClustersRequest())
    assert [arn.rsplit("/", 1)[1] for arn in listed.cluster_arns] == ["blue", "default"]
    gone = (await scheduler.cluster.DeleteCluster(pb.DeleteClusterRequest(cluster=created.cluster_arn))).cluster
    assert gone.status == "INACTIVE"
    assert len((await scheduler.cluster.ListClusters(pb.ListClustersRequest())).cluster_arns) == 1


async def test_update_keeps_what_it_does_not_name(scheduler: Scheduler) -> None:
    setting = pb.ClusterSetting(name="containerInsights", value="enabled")
    await scheduler.cluster.UpdateClusterSettings(pb.UpdateClusterSettingsRequest(settings=[setting]))
    configuration = pb.ClusterConfiguration(
        execute_command_configuration=pb.ExecuteCommandConfiguration(logging="NONE")
    )
    updated = await scheduler.cluster.UpdateCluster(pb.UpdateClusterRequest(configuration=configuration))
    assert list(updated.cluster.settings) == [setting]
    assert updated.cluster.configuration == configuration


async def test_counts_instances_and_describes_what_is_missing(scheduler: Scheduler, agent: SimulatedAgent) -> None:
    answer = await described(scheduler, "default", "green")
    assert [each.registered_container_instances_count for each in answer.clusters] == [1]
    assert [(each.arn, each.reason) for each in answer.failures] == [("green", "MISSING")]


async def test_with_instances_it_cannot_be_deleted(scheduler: Scheduler, agent: SimulatedAgent) -> None:
    before = scheduler.stored()
    call = scheduler.cluster.DeleteCluster(pb.DeleteClusterRequest())
    await refused_with(call, grpc.StatusCode.FAILED_PRECONDITION, "ClusterContainsContainerInstancesException")
    assert scheduler.stored() == before


async def test_one_that_is_not_there_is_not_found(scheduler: Scheduler) -> None:
    for call in (
        scheduler.cluster.DeleteCluster(pb.DeleteClusterRequest(cluster="green")),
        scheduler.cluster.UpdateCluster(pb.UpdateClusterRequest(cluster="green")),
    ):
        await refused_with(call, grpc.StatusCode.NOT_FOUND, "ClusterNotFoundException")
