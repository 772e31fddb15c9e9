"""Rebalancing through the running server: planned, started, stopped, described; bad requests leave nothing."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from shoal import arn
from shoal.v1 import cluster_pb2, rebalance_pb2_grpc
from shoal.v1 import rebalance_pb2 as pb
from shoal_scheduler.model.rebalance import Rebalance

from tests.api.refusals import INVALID, PARAMETER, refused_with
from tests.fakes.scheduler import Scheduler
from tests.populated import CLUSTER, Populated

A, B = "1a" * 16, "2b" * 16


@pytest.fixture
async def rebalancing(scheduler: Scheduler) -> AsyncIterator[Any]:
    made = Populated(scheduler.plane.tables)
    made.instance(A, "z1")
    made.service("web", desired_count=4)
    for _ in range(4):
        made.task("web", A)
    made.instance(B, "z2")
    async with scheduler.channel() as channel:
        yield rebalance_pb2_grpc.RebalancingStub(channel)


async def test_the_plan_is_what_is_started(rebalancing: Any, scheduler: Scheduler) -> None:
    planned = await rebalancing.PlanRebalance(pb.PlanRebalanceRequest())
    assert [arn.short(move.target_container_instance_arn) for move in planned.moves] == [B, B]
    started = (await rebalancing.StartRebalance(pb.StartRebalanceRequest(max_parallel=1))).rebalance
    assert [move.task_arn for move in started.moves] == [move.task_arn for move in planned.moves]
    assert (started.kind, started.status, started.created_by) == ("SPREAD", "IN_PROGRESS", "alice")
    (described,) = (await rebalancing.DescribeRebalances(pb.DescribeRebalancesRequest())).rebalances
    assert described.rebalance_id == started.rebalance_id
    stopped = (await rebalancing.StopRebalance(pb.StopRebalanceRequest(reason="enough"))).rebalance
    assert [(move.status, move.status_reason) for move in stopped.moves] == [("GIVEN_UP", "enough")] * 2


async def test_what_stays_and_what_is_not_there(rebalancing: Any) -> None:
    asked = pb.PlanRebalanceRequest(kind="EMPTY", container_instances=[A, A], max_moves=1)
    planned = await rebalancing.PlanRebalance(asked)
    assert [arn.short(each) for each in planned.closed_container_instance_arns] == [A]
    assert {(each.reason, each.detail) for each in planned.failures} == {
        ("STAYS", "no more than 1 tasks move at a time")
    }
    answer = await rebalancing.DescribeRebalances(pb.DescribeRebalancesRequest(rebalances=["nope"]))
    assert [(each.arn, each.reason) for each in answer.failures] == [("nope", "MISSING")]


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"kind": "TIDY"}, "kind"),
        ({"container_instances": [A]}, "containerInstances"),
        ({"kind": "EMPTY", "container_instances": ["nope"]}, "containerInstances[0]"),
        ({"kind": "EMPTY", "container_instances": [f"{each:032x}" for each in range(25)]}, "containerInstances"),
        ({"services": ["nope"]}, "services[0]"),
        ({"max_moves": 0}, "maxMoves"),
        ({"max_moves": 501}, "maxMoves"),
        ({"max_parallel": 51}, "maxParallel"),
    ],
)
async def test_bad_requests_name_the_field(
    rebalancing: Any, scheduler: Scheduler, fields: dict[str, Any], path: str
) -> None:
    for call in (
        rebalancing.PlanRebalance(pb.PlanRebalanceRequest(**fields)),
        rebalancing.StartRebalance(pb.StartRebalanceRequest(**fields)),
    ):
        await refused_with(call, INVALID, PARAMETER, path)
    assert not [*scheduler.plane.tables.records.all(Rebalance)]


async def test_bad_tokens_reasons_and_clusters(rebalancing: Any) -> None:
    start, stop = pb.StartRebalanceRequest, pb.StopRebalanceRequest
    await refused_with(rebalancing.StartRebalance(start(client_token="x" * 65)), INVALID, PARAMETER, "clientToken")
    await refused_with(rebalancing.StopRebalance(stop(reason="x" * 256)), INVALID, PARAMETER, "reason")
    missing = rebalancing.StopRebalance(stop())
    await refused_with(missing, grpc.StatusCode.NOT_FOUND, "ResourceNotFoundException")
    nowhere = rebalancing.PlanRebalance(pb.PlanRebalanceRequest(cluster="nope"))
    await refused_with(nowhere, grpc.StatusCode.NOT_FOUND, "ClusterNotFoundException")


async def test_the_switch_is_a_setting_beside_the_others(scheduler: Scheduler) -> None:
    insights = cluster_pb2.ClusterSetting(name="containerInsights", value="enhanced")
    switch = cluster_pb2.ClusterSetting(name="taskRebalancing", value="enabled")
    update = cluster_pb2.UpdateClusterSettingsRequest
    await scheduler.cluster.UpdateClusterSettings(update(settings=[insights]))
    updated = await scheduler.cluster.UpdateClusterSettings(update(settings=[switch]))
    assert list(updated.cluster.settings) == [insights, switch]
    wrong = update(settings=[cluster_pb2.ClusterSetting(name="taskRebalancing", value="enhanced")])
    await refused_with(scheduler.cluster.UpdateClusterSettings(wrong), INVALID, PARAMETER, "settings[0].value")
    assert scheduler.plane.tables.clusters[CLUSTER].document["settings"][1]["value"] == "enabled"
