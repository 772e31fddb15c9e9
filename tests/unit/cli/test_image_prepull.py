"""`shoal image prepull`, against a cluster in memory."""

import json

from shoal.cli.image_prepull import summary
from shoal.v1 import image_pb2 as pb

from tests.fakes.cluster_service import INSTANCE_ID, ClusterService
from tests.unit.cli.conftest import Shoal

OTHER = "2e" * 16


def pull(instance: str, status: str, reason: str = "", percent: int | None = None) -> pb.ImagePull:
    named = f"arn:shoal:ecs:local:000000000000:container-instance/default/{instance}"
    return pb.ImagePull(
        container_instance_arn=named,
        ec2_instance_id=f"host-{instance[:2]}",
        status=status,
        reason=reason,
        percent=percent,
    )


def test_all_have_it(shoal: Shoal, cluster: ClusterService) -> None:
    cluster.state.pulls = [[pull(INSTANCE_ID, "WAITING")], [pull(INSTANCE_ID, "PULLED")]]
    result = shoal("image", "prepull", "web:7", "--wait")
    assert result.code == 0 and "host-1f" in result.out and "pulled" in result.out
    request = cluster.state.requests[-1]
    assert (request.image, request.background, list(request.container_instances)) == ("web:7", False, [])


def test_who_failed_is_said_with_the_reason_and_the_exit_code(shoal: Shoal, cluster: ClusterService) -> None:
    cluster.add_instance(OTHER)
    cluster.state.pulls = [[pull(INSTANCE_ID, "PULLED"), pull(OTHER, "FAILED", "manifest for web:7 not found")]]
    result = shoal("image", "prepull", "web:7", INSTANCE_ID[:4], OTHER[:4], "--wait")
    assert result.code == 1
    assert "manifest for web:7 not found" in result.out
    assert OTHER[:8] in result.err and "of 2 could not pull web:7" in result.err


def test_in_the_background_by_expression_and_as_a_document(shoal: Shoal, cluster: ClusterService) -> None:
    cluster.state.pulls = [[pull(INSTANCE_ID, "PULLING")]]
    result = shoal("image", "prepull", "web:7", "--instances", "attribute:a == b", "--at-once", "3", "-o", "json")
    assert result.code == 0
    assert [each["status"] for each in json.loads(result.out)["pulls"]] == ["PULLING"]
    request = cluster.state.requests[-1]
    assert (request.filter, request.background, request.max_concurrency) == ("attribute:a == b", True, 3)


def test_names_and_an_expression_are_refused_together(shoal: Shoal, cluster: ClusterService) -> None:
    result = shoal("image", "prepull", "web:7", "1f", "--where", "attribute:a == b")
    assert result.code == 2 and "not both" in result.err


def test_how_it_goes_in_one_line() -> None:
    pulls = [
        pull("1a", "PULLED"),
        pull("1b", "PULLING", percent=20),
        pull("1c", "PULLING", percent=60),
        pull("1d", "PULLING"),
        pull("1e", "WAITING"),
        pull("1f", "FAILED"),
    ]
    assert summary("web:7", pulls) == "web:7: 1 failed, 1 pulled, 3 pulling (40 %), 1 waiting"
