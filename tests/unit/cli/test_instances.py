"""Commands about instances, one or many: their state, their attributes, what they offer."""

import json
from typing import Any

import pytest
from shoal import arn
from shoal.v1 import resource_pb2

from tests.fakes.cluster_service import INSTANCE_ID, ClusterService
from tests.unit.cli.conftest import Shoal

SECOND, THIRD = "77" * 16, "7a" * 16


@pytest.fixture
def three(cluster: ClusterService) -> ClusterService:
    for each in (SECOND, THIRD):
        cluster.add_instance(each)
    return cluster


def put_everywhere(cluster: ClusterService, name: str, **values: str) -> None:
    for instance, value in values.items():
        target = {"first": INSTANCE_ID, "second": SECOND, "third": THIRD}[instance]
        cluster.state.attributes.append(resource_pb2.Attribute(name=name, value=value, target_id=target))


def statuses(cluster: ClusterService) -> list[str]:
    return [each.status for each in cluster.state.instances.values()]


# Drain and activate.


def test_drain_and_activate(shoal: Shoal, cluster: ClusterService) -> None:
    cluster.state.instances[INSTANCE_ID].running_tasks_count = 3
    assert shoal("drain", INSTANCE_ID[:4]).out.splitlines() == [
        "INSTANCE   HOST   STATUS     TASKS",
        "1f1f1f1f   -      DRAINING   3 go on",
    ]
    assert shoal("activate", INSTANCE_ID, "-o", "name").out == f"{INSTANCE_ID}\n"
    assert statuses(cluster) == ["ACTIVE"]


def test_several_at_once_each_once(shoal: Shoal, three: ClusterService) -> None:
    result = shoal("drain", SECOND, "1f", SECOND[:2], "-o", "name")
    assert result.out.split() == [SECOND, INSTANCE_ID]
    assert statuses(three) == ["DRAINING", "DRAINING", "ACTIVE"]


def test_all_that_match(shoal: Shoal, three: ClusterService) -> None:
    put_everywhere(three, "rack", first="r1", second="r2", third="r1")
    result = shoal("drain", "--where", "attribute:rack == r1", "-o", "json")
    found = json.loads(result.out)["containerInstances"]
    assert [arn.short(each["containerInstanceArn"]) for each in found] == [INSTANCE_ID, THIRD]
    assert statuses(three) == ["DRAINING", "ACTIVE", "DRAINING"]


def test_more_than_the_service_takes_at_once(shoal: Shoal, cluster: ClusterService) -> None:
    for number in range(25):
        cluster.add_instance(f"{number:032x}")
        cluster.state.attributes.append(
            resource_pb2.Attribute(name="rack", value="r1", target_id=f"{number:032x}"),
        )
    assert len(shoal("drain", "--where", "attribute:rack == r1", "-o", "name").out.split()) == 25
    assert max(len(each.container_instances) for each in updates(cluster)) == 10


def updates(cluster: ClusterService) -> list[Any]:
    return [each for each in cluster.state.requests if "UpdateContainerInstances" in type(each).__name__]


def test_what_is_not_there(shoal: Shoal, three: ClusterService) -> None:
    assert shoal("drain", "99").code == 3
    assert "fits 2 instances" in shoal("drain", "7").err
    nothing = shoal("activate", "--where", "attribute:rack == r9")
    assert nothing.code == 3
    assert "No instance matches 'attribute:rack == r9'." in nothing.err
    assert statuses(three) == ["ACTIVE"] * 3
    partly = shoal("drain", "0" * 32, INSTANCE_ID)
    assert partly.code == 3
    assert "1f1f1f1f   -      DRAINING" in partly.out
    assert f"{'0' * 32}: there is no such instance" in partly.err


@pytest.mark.parametrize("command", ["drain", "activate"])
def test_instances_are_chosen_in_one_way(shoal: Shoal, cluster: ClusterService, command: str) -> None:
    assert "Name instances, or choose them by --where" in shoal(command).err
    both = shoal(command, INSTANCE_ID, "--where", "attribute:a == b")
    assert (both.code, "not both" in both.err) == (2, True)
    assert updates(cluster) == []


# Attributes.


def listed(shoal: Shoal, *options: str) -> list[list[str]]:
    return [line.split() for line in shoal("attributes", *options).out.splitlines()[1:]]


def test_attributes_of_one_instance(shoal: Shoal, cluster: ClusterService) -> None:
    assert shoal("attributes").err == "No attributes.\n"
    assert shoal("attributes", "put", INSTANCE_ID[:4], "zone=a", "ssd").out == "zone=a, ssd on 1f1f1f1f\n"
    assert listed(shoal) == [["1f1f1f1f", "zone", "a"], ["1f1f1f1f", "ssd"]]
    shoal("attributes", "put", INSTANCE_ID, "zone=b=c d")
    assert listed(shoal, "--name", "zone") == [["1f1f1f1f", "zone", "b=c", "d"]]
    assert shoal("attributes", "rm", INSTANCE_ID, "zone").out == "zone removed from 1f1f1f1f\n"
    assert shoal("attributes", "-o", "name").out == "ssd\n"
    assert shoal("attributes", "delete", INSTANCE_ID, "ssd").code == 0
    assert cluster.state.attributes == []


def test_attributes_of_several_instances(shoal: Shoal, three: ClusterService) -> None:
    result = shoal("attributes", "put", f"1f,{SECOND}", "rack=r1")
    assert result.out == "rack=r1 on 2 instances (1f1f1f1f, 77777777)\n"
    where = ("--where", "attribute:rack == r1")
    answer = json.loads(shoal("attributes", "put", *where, "power=a", "-o", "json").out)["attributes"]
    assert [(each["targetId"], each["name"], each["value"]) for each in answer] == [
        (INSTANCE_ID, "power", "a"),
        (SECOND, "power", "a"),
    ]
    shoal("attributes", "put", THIRD, "power=a")
    assert listed(shoal, "--name", "power", "--value", "a", *where) == [
        ["1f1f1f1f", "power", "a"],
        ["77777777", "power", "a"],
    ]
    assert "power removed from 2 instances" in shoal("attributes", "rm", *where, "power").out
    assert listed(shoal, "--name", "power") == [["7a7a7a7a", "power", "a"]]


def test_as_many_attributes_at_once_as_the_service_takes(shoal: Shoal, three: ClusterService) -> None:
    shoal("attributes", "put", f"1f,77,{THIRD}", *(f"a{number}=1" for number in range(7)))
    puts = [each for each in three.state.requests if type(each).__name__ == "PutAttributesRequest"]
    assert [len(each.attributes) for each in puts] == [10, 10, 1]
    assert len(three.state.attributes) == 21


def test_removing_what_is_not_there(shoal: Shoal, three: ClusterService) -> None:
    nothing = shoal("attributes", "rm", "1f,77", "rack")
    assert nothing.code == 3
    assert "No rack on 2 instances (1f1f1f1f, 77777777)." in nothing.err
    shoal("attributes", "put", "1f", "rack=r1")
    assert shoal("attributes", "rm", "1f,77", "rack").out == "rack removed from 1f1f1f1f\n"


def test_what_an_agent_says_is_not_removed(shoal: Shoal, cluster: ClusterService) -> None:
    said = resource_pb2.Attribute(name="stack", value="prod", target_id=INSTANCE_ID)
    cluster.state.agent_attributes.append(said)
    kept = shoal("attributes", "rm", "1f", "stack")
    assert kept.code == 1
    assert "stack on 1f1f1f1f: said by the agent itself, so not removed." in kept.err
    assert "agent.toml" in kept.err
    shoal("attributes", "put", "1f", "stack=dev")
    again = shoal("attributes", "rm", "1f", "stack")
    assert (again.code, again.out) == (0, "stack removed from 1f1f1f1f\n")
    assert again.err == "1f1f1f1f: stack is 'prod' again, as its agent says\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("put",), "Missing argument"),
        (("put", "1f"), "Missing argument 'NAME=VALUE...'"),
        (("put", "rack=r1"), "Name an instance before 'rack=r1'"),
        (("rm", "1f"), "Missing argument 'NAME...'"),
        (("rm", "1f", "rack=r1"), "give the name alone, 'rack'"),
    ],
)
def test_wrong_usage_of_attributes(shoal: Shoal, cluster: ClusterService, words: tuple[str, ...], said: str) -> None:
    result = shoal("attributes", *words)
    assert result.code == 2
    assert said in result.err
    assert cluster.state.attributes == []


# What instances offer.


def offer(cluster: ClusterService, *resources: resource_pb2.Resource) -> None:
    cluster.state.instances[INSTANCE_ID].registered_resources.extend(resources)


def test_the_ports_of_an_instance_that_are_taken(shoal: Shoal, cluster: ClusterService) -> None:
    for name, taken in (("PORTS", ["22", "2375"]), ("PORTS_UDP", [])):
        resource = resource_pb2.Resource(name=name, type="STRINGSET", string_set_value=taken)
        offer(cluster, resource)
        cluster.state.instances[INSTANCE_ID].remaining_resources.append(resource)
    described = shoal("describe", INSTANCE_ID).out
    assert " ports: 22, 2375 taken\n" in described
    assert " udp ports: none taken\n" in described


def test_gpus_and_resources_of_the_clusters_own(shoal: Shoal, cluster: ClusterService) -> None:
    offer(
        cluster,
        resource_pb2.Resource(name="GPU", type="STRINGSET", string_set_value=["GPU-1", "GPU-2"]),
        resource_pb2.Resource(name="licence", type="INTEGER", integer_value=10),
    )
    described = shoal("describe", INSTANCE_ID).out
    assert " GPUs 2\n" in described
    assert " licence 10\n" in described
    assert "2 GPUs, licence 10" in shoal("instances", "-o", "wide").out
    free = resource_pb2.Resource(name="licence", type="INTEGER", integer_value=4)
    cluster.state.instances[INSTANCE_ID].remaining_resources.append(free)
    assert " licence 4 of 10 free\n" in shoal("describe", INSTANCE_ID).out


def test_a_list_that_is_empty_by_its_filter_says_so(shoal: Shoal, cluster: ClusterService) -> None:
    assert shoal("instances", "--where", "attribute:rack == r9").err == "No such instances.\n"
    cluster.state.instances.clear()
    assert "shoal up" in shoal("instances").err


def test_a_host_is_named_as_it_calls_itself(shoal: Shoal, three: ClusterService) -> None:
    for instance_id, host in ((INSTANCE_ID, "web-1"), (SECOND, "web-2"), (THIRD, "web-2")):
        three.state.instances[instance_id].ec2_instance_id = host
    assert shoal("drain", "web-1", "-o", "name").out == f"{INSTANCE_ID}\n"
    assert statuses(three) == ["DRAINING", "ACTIVE", "ACTIVE"]
    refused = shoal("drain", "web-2")
    assert refused.code == 3, "a name that two hosts have is none"
    assert "There is no instance 'web-2'" in refused.err
