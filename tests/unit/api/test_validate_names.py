from typing import Any

import pytest
from shoal_scheduler.api.validate_names import (
    attribute_problems,
    attributes_problems,
    cluster_name_problems,
    instance_state_problems,
    name_problems,
    tag_key_problems,
    tags_problems,
)

BAD_NAMES = [
    *["", " ", ".", "..", "a b", "a/b", "a.b", "a:b", "x" * 256, "café", "cafe\u0301", "\u202eevil", "a\u200bb"],
    *["а", "new\nline", "\x1b[31mred", "{{7*7}}", "<script>", "../../etc", "a\0b", "name ", "１２"],
]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_bad_names(name: str) -> None:
    (problem,) = name_problems("family", name)
    assert problem.field == "family"
    assert problem.message.isascii()
    assert problem.message.isprintable()
    assert len(problem.message) < 250
    if name:
        (problem,) = cluster_name_problems("clusterName", name)
        assert problem.field == "clusterName"


@pytest.mark.parametrize("name", ["a", "a-b", "A_b", "-a", "_", "0", "con", "x" * 255])
def test_good_names(name: str) -> None:
    assert list(name_problems("family", name)) == []


def test_a_clusters_name_begins_with_a_letter_or_a_digit() -> None:
    assert list(cluster_name_problems("cluster", "prod-1")) == []
    assert list(cluster_name_problems("cluster", None)) == []
    for name in ("-prod", "_prod", ""):
        assert len(list(cluster_name_problems("cluster", name))) == 1


@pytest.mark.parametrize(
    ("attribute", "fields"),
    [
        ({"name": "ecs.availability-zone", "value": "rack 1"}, []),
        ({"name": "a/b\\c.d_e-f", "value": "x@y:z/\\.- _"}, []),
        ({"name": "ssd"}, []),
        ({}, ["a.name"]),
        ({"name": ""}, ["a.name"]),
        ({"name": "x" * 129}, ["a.name"]),
        ({"name": "a b"}, ["a.name"]),
        ({"name": "a", "value": ""}, ["a.value"]),
        ({"name": "a", "value": " x"}, ["a.value"]),
        ({"name": "a", "value": "x "}, ["a.value"]),
        ({"name": "a", "value": "x\n"}, ["a.value"]),
        ({"name": "a", "value": "x" * 129}, ["a.value"]),
        ({"name": "é", "value": "é"}, ["a.name", "a.value"]),
        ({"name": "a", "targetType": "task"}, ["a.targetType"]),
    ],
)
def test_attributes(attribute: dict[str, Any], fields: list[str]) -> None:
    assert [problem.field for problem in attribute_problems("a", attribute)] == fields


def test_attributes_come_in_lists_of_one_to_ten() -> None:
    assert [problem.field for problem in attributes_problems("attributes", [])] == ["attributes"]
    assert [problem.field for problem in attributes_problems("attributes", [{"name": "a"}] * 11)] == ["attributes"]


@pytest.mark.parametrize(
    ("tags", "fields"),
    [
        ([], []),
        ([{"key": "team", "value": "a"}, {"key": "Team"}], []),
        ([{"key": "größe", "value": "übergroß 1+1=2 @home"}], []),
        ([{"key": f"k{i}"} for i in range(50)], []),
        ([{"key": f"k{i}"} for i in range(51)], ["tags"]),
        ([{"value": "a"}], ["tags[0].key"]),
        ([{"key": ""}], ["tags[0].key"]),
        ([{"key": "x" * 129}], ["tags[0].key"]),
        ([{"key": "a", "value": "x" * 257}], ["tags[0].value"]),
        ([{"key": "aws:x"}], ["tags[0].key"]),
        ([{"key": "AWS:x"}], ["tags[0].key"]),
        ([{"key": "a"}, {"key": "a"}], ["tags[1].key"]),
        ([{"key": "a<b>"}], ["tags[0].key"]),
        ([{"key": "a", "value": "x\x1b"}], ["tags[0].value"]),
        ([{"key": "a", "value": "x\u200b"}], ["tags[0].value"]),
    ],
)
def test_tags(tags: list[dict[str, Any]], fields: list[str]) -> None:
    assert [problem.field for problem in tags_problems("tags", tags)] == fields


def test_tag_keys() -> None:
    assert list(tag_key_problems("tagKeys[0]", "team")) == []
    assert [problem.field for problem in tag_key_problems("tagKeys[0]", "aws:team")] == ["tagKeys[0]"]


@pytest.mark.parametrize(
    ("status", "good"), [("ACTIVE", True), ("DRAINING", True), ("active", False), ("INACTIVE", False), (None, False)]
)
def test_instance_states(status: str | None, good: bool) -> None:
    found = instance_state_problems({"status": status} if status else {})
    assert [problem.field for problem in found] == ([] if good else ["status"])
