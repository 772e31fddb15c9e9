"""`explain`, `run --dry-run`, and tasks that wait for room."""

import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from shoal import arn
from shoal.cli import explanation
from shoal.v1 import placement_pb2 as pb
from shoal.v1 import resource_pb2, task_definition_pb2, task_pb2

from tests.fakes.cluster_service import INSTANCE_ID, ClusterService
from tests.fakes.serving import CLUSTER
from tests.unit.cli.conftest import Shoal

DEFINITION = {"family": "web", "containerDefinitions": [{"name": "web", "image": "nginx", "memory": 64}]}
INSTANCE = arn.container_instance_arn(CLUSTER, INSTANCE_ID)
WHY = "RESOURCE:MEMORY on 31 instances, MEMBEROF on 12 instances; the nearest, host-7, lacks 512 MiB of memory"
NAMED: dict[str, Any] = {"container_instance_arn": INSTANCE, "ec2_instance_id": "host-7"}
MEMORY = pb.Shortfall(reason="RESOURCE:MEMORY", field="memory", wanted="1024", has="512", missing=512, unit="MiB")


@pytest.fixture
def web(shoal: Shoal, cluster: ClusterService) -> ClusterService:
    assert shoal("register", "-", text=json.dumps(DEFINITION)).out == "web:1\n"
    cluster.state.explanation = nowhere()
    return cluster


def nowhere() -> pb.ExplainPlacementResponse:
    return pb.ExplainPlacementResponse(
        reason=f"It would not be placed: {WHY}.",
        instance_count=43,
        task_count=1,
        placed_count=0,
        refusals=[
            pb.PlacementRefusal(reason="RESOURCE:MEMORY", instance_count=31),
            pb.PlacementRefusal(reason="MEMBEROF", instance_count=12),
        ],
        nearest=[pb.NearInstance(**NAMED, shortfalls=[MEMORY])],
        smallest_change=pb.SmallestChange(
            **NAMED, changes=[pb.FieldChange(field="memory", before="1024", after="512", unit="MiB", relative=0.5)]
        ),
        kept_away=[
            pb.NearInstance(**NAMED, shortfalls=[pb.Shortfall(reason="INSTANCE:DRAINING")]),
            pb.NearInstance(**NAMED, shortfalls=[pb.Shortfall(reason="AGENT")]),
            pb.NearInstance(**NAMED, shortfalls=[pb.Shortfall(reason="INSTANCE:IMPAIRED")]),
            pb.NearInstance(**NAMED, shortfalls=[pb.Shortfall(reason="HELD")]),
        ],
        one_more_instance=pb.OneMoreInstance(
            instance_type="m5.large",
            resources=[
                resource_pb2.Resource(name="CPU", type="INTEGER", integer_value=2048),
                resource_pb2.Resource(name="MEMORY", type="INTEGER", integer_value=8192),
            ],
            like_container_instance_arn=INSTANCE,
            like_ec2_instance_id="host-3",
        ),
    )


def somewhere() -> pb.ExplainPlacementResponse:
    ranks = [
        pb.StrategyRank(
            type="spread", field="attribute:zone", value="1 task of family:web where zone is a", equal_count=9
        ),
        pb.StrategyRank(type="binpack", field="memory", value="512 MiB of memory left after it", equal_count=2),
    ]
    return pb.ExplainPlacementResponse(
        reason="All 3 tasks would be placed, on host-7.",
        instance_count=43,
        task_count=3,
        placed_count=3,
        placements=[
            pb.PlacementChoice(**NAMED, task_count=3, fitting_count=31, strategies=ranks, equal_count=2, gpu_ids=["g0"])
        ],
    )


def asked(cluster: ClusterService) -> pb.ExplainPlacementRequest:
    (request,) = [each for each in cluster.state.requests if isinstance(each, pb.ExplainPlacementRequest)]
    return request


def count_of(cluster: ClusterService, kind: type[Any]) -> int:
    return sum(isinstance(each, kind) for each in cluster.state.requests)


def test_explain_of_a_definition_shows_the_sentence_the_rules_the_nearest_and_what_to_do(
    shoal: Shoal, web: ClusterService
) -> None:
    result = shoal(
        "explain",
        "web",
        "--count",
        2,
        "--strategy",
        "binpack:memory",
        "--constraint",
        "distinctInstance",
        "--group",
        "g",
    )
    assert result.code == 0, result.err
    assert result.out.splitlines() == [
        f"It would not be placed: {WHY}.",
        "",
        "Which rule refuses how many instances",
        "RULE              INSTANCES   WHAT IT MEANS",
        "RESOURCE:MEMORY   31          not enough memory",
        "MEMBEROF          12          the memberOf constraint does not hold",
        "",
        "Nearest",
        "HOST     INSTANCE   WHAT IT LACKS",
        "host-7   1f1f1f1f   memory: 512 of 1024 MiB",
        "",
        "What would help",
        "     memory 512 instead of 1024 MiB: then host-7 takes it",
        "  or shoal activate 1f1f1f1f: host-7 would take it as it is",
        "  or bring back the agent of host-7 (1f1f1f1f): it would take it as it is",
        "  or bring back the container engine of host-7 (1f1f1f1f): it would take it as it is",
        "  or one more m5.large (2048 cpu units, 8 GiB), like host-3",
    ]
    request = asked(web)
    assert (request.cluster, request.run_task.task_definition, request.run_task.count) == (CLUSTER, "web:1", 2)
    assert [(each.type, each.field) for each in request.run_task.placement_strategy] == [("binpack", "memory")]
    assert [each.type for each in request.run_task.placement_constraints] == ["distinctInstance"]
    assert request.run_task.group == "g"


def test_explain_of_a_file_registers_nothing(shoal: Shoal, web: ClusterService, tmp_path: Path) -> None:
    file = tmp_path / "new.json"
    file.write_text(json.dumps({**DEFINITION, "family": "new"}))
    assert shoal("explain", file, "--count", 5).code == 0
    assert (asked(web).task_definition.family, asked(web).run_task.count) == ("new", 5)
    assert list(web.state.definitions) == ["web"]


@pytest.mark.parametrize("wrapped", [True, False])
def test_explain_of_standard_input(shoal: Shoal, web: ClusterService, wrapped: bool) -> None:
    text = json.dumps({"taskDefinition": DEFINITION} if wrapped else DEFINITION)
    assert shoal("explain", "-", text=text).code == 0
    assert asked(web).task_definition.family == "web"


def test_explain_of_a_run_task_request(shoal: Shoal, web: ClusterService) -> None:
    text = json.dumps(
        {"taskDefinition": "web:1", "count": 7, "cluster": "blue", "placementStrategy": [{"type": "random"}]}
    )
    assert shoal("explain", "-", "--count", 8, text=text).code == 0
    request = asked(web)
    assert not request.HasField("task_definition")
    assert (request.cluster, request.run_task.cluster, request.run_task.count) == ("", "blue", 8)


def test_explain_of_a_task_says_where_it_stands(shoal: Shoal, web: ClusterService) -> None:
    web.state.waiting_reason, web.state.exits_with = WHY, None
    shoal("run", "web", "--queue", "-d")
    (task,) = web.state.tasks
    web.state.explanation.queue.position = 2
    web.state.explanation.queue.waiting_count = 5
    web.state.explanation.queue.held_container_instance_arn = INSTANCE
    result = shoal("explain", task[:6])
    assert result.code == 0
    assert result.out.splitlines()[1] == (
        "It is number 2 of the 5 tasks that wait. Instance 1f1f1f1f is held for another one."
    )
    assert asked(web).task == task
    assert shoal("explain", task, "--count", 2).code == 2


def test_explain_in_other_forms(shoal: Shoal, web: ClusterService) -> None:
    document = json.loads(shoal("explain", "web", "-o", "json").out)
    assert document["reason"] == f"It would not be placed: {WHY}."
    assert document["smallestChange"]["changes"] == [
        {"field": "memory", "before": "1024", "after": "512", "unit": "MiB", "relative": 0.5}
    ]
    assert document["nearest"][0]["shortfalls"][0]["missing"] == 512
    assert shoal("explain", "web", "-o", "yaml").out.startswith("reason: ")
    web.state.explanation = somewhere()
    assert shoal("explain", "web", "-o", "name").out == f"{INSTANCE_ID}\n"


@pytest.mark.parametrize(("name", "code"), [("nothing", 3), (INSTANCE_ID[:7], 1), ("default", 1), ("./no.json", 1)])
def test_explain_of_what_cannot_be(shoal: Shoal, web: ClusterService, name: str, code: int) -> None:
    result = shoal("explain", name)
    assert result.code == code
    assert result.err.startswith("Error: ")
    assert count_of(web, pb.ExplainPlacementRequest) == 0


def test_a_dry_run_shows_where_they_would_go_and_runs_nothing(shoal: Shoal, web: ClusterService) -> None:
    web.state.explanation = somewhere()
    result = shoal("run", "web", "--count", 3, "--dry-run")
    assert result.code == 0, result.err
    why = (
        "fits on 31; spread attribute:zone: 1 task of family:web where zone is a, as on 9;"
        " binpack memory: 512 MiB of memory left after it, as on 2; drawn from these"
    )
    assert result.out.splitlines() == [
        "All 3 tasks would be placed, on host-7.",
        "",
        "Where they would go",
        "HOST     INSTANCE   TASKS   GPUS   WHY",
        f"host-7   1f1f1f1f   3       g0     {why}",
    ]
    assert count_of(web, task_pb2.RunTaskRequest) == 0
    assert (asked(web).run_task.task_definition, asked(web).run_task.count) == ("web", 3)


def test_a_dry_run_that_finds_no_room_fails_as_the_run_would(shoal: Shoal, web: ClusterService) -> None:
    assert shoal("run", "web", "--dry-run").code == 1
    assert shoal("run", "web", "--dry-run", "--queue").code == 0
    assert web.state.tasks == {}


def test_a_dry_run_of_an_image_registers_nothing(shoal: Shoal, cluster: ClusterService) -> None:
    cluster.state.explanation = somewhere()
    assert shoal("run", "nginx:latest", "-m", "32m", "--dry-run").code == 0
    assert asked(cluster).task_definition.family == "run-nginx"
    assert count_of(cluster, task_definition_pb2.RegisterTaskDefinitionRequest) == 0
    assert shoal("run", "nginx:latest", "-p", "eighty", "--dry-run").code == 2


def test_what_waits_is_said_and_is_no_failure(shoal: Shoal, web: ClusterService) -> None:
    web.state.waiting_reason, web.state.exits_with = WHY, None
    result = shoal("run", "web", "--queue", "--count", 2)
    assert result.code == 0, result.err
    first, last = web.state.tasks
    assert [line.split()[2] for line in result.out.splitlines()[1:]] == ["PROVISIONING"] * 2
    assert f"All 2 tasks wait for room: {WHY}.\n" in result.err
    assert f"Try: shoal explain {last[:8]}-1\n" in result.err
    listed = shoal("ps")
    names, _, why = listed.err.splitlines()[0].partition(" wait for room: ")
    # The newest first; those of the same millisecond in the order of their ids.
    assert set(names.split(", ")) == {f"{first[:8]}-0", f"{last[:8]}-1"}
    assert why == f"{WHY}."
    assert f"Why          {WHY}" in shoal("describe", first).out
    assert WHY in shoal("ps", "-o", "wide").out
    (request,) = [each for each in web.state.requests if isinstance(each, task_pb2.RunTaskRequest)]
    assert request.queue


def test_without_queue_nothing_of_it_is_asked(shoal: Shoal, web: ClusterService) -> None:
    web.state.waiting_reason = WHY
    result = shoal("run", "web", "--wait")
    assert "waits" not in result.err
    (request,) = [each for each in web.state.requests if isinstance(each, task_pb2.RunTaskRequest)]
    assert not request.HasField("queue")


@pytest.mark.parametrize("arguments", [("web", "--wait"), ("--image", "busybox")])
def test_who_waits_for_a_task_that_waits_is_told_why(
    shoal: Shoal, web: ClusterService, arguments: tuple[str, ...]
) -> None:
    web.state.waiting_reason, web.state.exits_with = WHY, None

    def make_room() -> None:
        while not count_of(web, task_pb2.DescribeTasksRequest):
            time.sleep(0.01)
        (task,) = web.state.tasks
        web.advance(task, "PENDING")
        web.advance(task, "STOPPED", exit_code=4)

    threading.Thread(target=make_room).start()
    result = shoal("run", "--queue", *arguments)
    assert result.code == 4
    (task,) = web.state.tasks
    assert f"{task[:8]}-0 waits for room: {WHY}.\n" in result.err
    assert "Ctrl-C stops it" in result.err


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ({"reason": "RESOURCE:GPU", "field": "GPU", "before": "1", "after": "0.5"}, "GPU 0.5 instead of 1"),
        ({"reason": "RESOURCE:GPU", "field": "GPU", "before": "1"}, "without a GPU"),
        (
            {"reason": "RESOURCE:PORTS", "field": "hostPort", "before": "80/tcp"},
            "without the host port 80/tcp (any free one, or another)",
        ),
        (
            {"reason": "MEMBEROF", "field": "memberOf", "before": "attribute:a == b"},
            "without memberOf(attribute:a == b)",
        ),
        ({"reason": "DISTINCT_INSTANCE", "field": "distinctInstance"}, "without distinctInstance"),
        (
            {"reason": "ATTRIBUTE", "field": "ecs.cpu-architecture", "before": "arm64"},
            "without runtimePlatform's ecs.cpu-architecture arm64",
        ),
    ],
)
def test_a_change_in_words(field: dict[str, Any], words: str) -> None:
    assert explanation.change(pb.FieldChange(**field)) == words


@pytest.mark.parametrize(
    ("shortfall", "words"),
    [
        ({"reason": "RESOURCE:licence", "field": "licence", "wanted": "2", "missing": 2}, "licence: 0 of 2"),
        (
            {"reason": "RESOURCE:PORTS", "field": "hostPort", "wanted": "80/tcp", "has": "taken"},
            "hostPort 80/tcp: taken",
        ),
        ({"reason": "MEMBEROF", "wanted": "attribute:a == b", "has": "a=c"}, "memberOf(attribute:a == b): a=c"),
        ({"reason": "ATTRIBUTE", "field": "ecs.os-type", "wanted": "linux"}, "ecs.os-type linux: absent"),
        (
            {"reason": "DISTINCT_INSTANCE", "field": "distinctInstance", "has": "1 task of family:web"},
            "distinctInstance: 1 task of family:web",
        ),
        ({"reason": "HELD"}, "is held for another task"),
        ({"reason": "AGENT"}, "its agent is not connected"),
        ({"reason": "INSTANCE:IMPAIRED"}, "its container engine does not answer"),
    ],
)
def test_a_shortfall_in_words(shortfall: dict[str, Any], words: str) -> None:
    assert explanation.lack(pb.Shortfall(**shortfall)) == words


def test_an_instance_of_a_kind_that_is_not_there() -> None:
    kind = pb.OneMoreInstance(
        resources=[resource_pb2.Resource(name="GPU", type="INTEGER", integer_value=9)],
        attributes=[resource_pb2.Attribute(name="ecs.os-type", value="linux")],
        expressions=["attribute:disk == ssd"],
    )
    assert explanation.one_more(kind) == (
        "an instance of a kind that is not there yet, with at least 9 GPUs, ecs.os-type=linux,"
        " memberOf(attribute:disk == ssd)"
    )
