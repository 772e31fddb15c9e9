"""What job queues, compute environments and consumable resources may say, each fault with its field."""

from typing import Any

import pytest
from shoal_scheduler.api.batch.validate_jobs import tag_map_problems
from shoal_scheduler.api.batch.validate_queues import (
    consumable_problems,
    consumable_update_problems,
    environment_problems,
    queue_problems,
)

NAMES = ("", "-a", "a b", "a/b", "ä", "x" * 129)
LIMIT = {"reason": "no room", "state": "RUNNABLE", "maxTimeSeconds": 600, "action": "CANCEL"}
O = "computeEnvironmentOrder"  # noqa: E741
J = "jobStateTimeLimitActions"


def kept(document: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in document.items() if value is not None}


def order(*names: str) -> list[dict[str, Any]]:
    return [{"order": number, "computeEnvironment": name} for number, name in enumerate(names, start=1)]


def queue(**more: Any) -> dict[str, Any]:
    return kept({"jobQueueName": "main", "priority": 1, O: order("hosts"), **more})


def environment(**more: Any) -> dict[str, Any]:
    return kept({"computeEnvironmentName": "hosts", "type": "UNMANAGED", **more})


def consumable(**more: Any) -> dict[str, Any]:
    return kept({"consumableResourceName": "licence", **more})


@pytest.mark.parametrize(
    ("document", "field"),
    [
        (queue(), None),
        (queue(priority=0, state="DISABLED", jobQueueType="ECS"), None),
        (queue(**{O: order("a", "b", "c"), J: [LIMIT, {**LIMIT, "maxTimeSeconds": 86_400}]}), None),
        (queue(maxConcurrent=0, overtakingMax=0), None),
        *[(queue(jobQueueName=name), "jobQueueName") for name in (None, *NAMES)],
        (queue(priority=None), "priority"),
        (queue(priority=-1), "priority"),
        (queue(state="enabled"), "state"),
        (queue(jobQueueType="EKS"), "jobQueueType"),
        (queue(schedulingPolicyArn="arn"), "schedulingPolicyArn"),
        (queue(maxConcurrent=-1), "maxConcurrent"),
        (queue(overtakingMax=-1), "overtakingMax"),
        (queue(**{O: None}), O),
        (queue(**{O: None}, serviceEnvironmentOrder=[{}]), "serviceEnvironmentOrder"),
        (queue(**{O: order("a", "b", "c", "d")}), O),
        (queue(**{O: [{"computeEnvironment": "a"}]}), f"{O}[0].order"),
        (queue(**{O: [{"order": -1, "computeEnvironment": "a"}]}), f"{O}[0].order"),
        (queue(**{O: [{"order": 1}]}), f"{O}[0].computeEnvironment"),
        (queue(**{O: order("a", "a")}), f"{O}[1].computeEnvironment"),
        (queue(**{O: [*order("a"), *order("b")]}), f"{O}[1].order"),
        (queue(**{J: [LIMIT] * 11}), J),
        (queue(**{J: [LIMIT], "removeTimeLimits": True}), "removeTimeLimits"),
        *[(queue(**{J: [LIMIT, {**LIMIT, key: ""}]}), f"{J}[1].{key}") for key in ("reason", "state", "action")],
        *[(queue(**{J: [{**LIMIT, "maxTimeSeconds": n}]}), f"{J}[0].maxTimeSeconds") for n in (0, 599, 86_401)],
        (queue(**{J: [{**LIMIT, "state": "RUNNING"}]}), f"{J}[0].state"),
        (queue(**{J: [{**LIMIT, "action": "TERMINATE"}]}), f"{J}[0].action"),
        (queue(**{J: [{**LIMIT, "action": "WAIT"}]}), f"{J}[0].action"),
        (queue(**{J: [{**LIMIT, "reason": "x" * 513}]}), f"{J}[0].reason"),
    ],
)
def test_job_queues(document: dict[str, Any], field: str | None) -> None:
    problems = queue_problems(document, create=True)
    assert [problem.field for problem in problems] == ([] if field is None else [field])


@pytest.mark.parametrize(
    ("document", "field"),
    [
        (environment(), None),
        (environment(state="DISABLED", unmanagedvCpus=100, cluster="default", expression="attribute:a == b"), None),
        (environment(cluster="arn:shoal:ecs:local:000000000000:cluster/default", serviceRole="arn"), None),
        *[(environment(computeEnvironmentName=name), "computeEnvironmentName") for name in (None, *NAMES)],
        (environment(type=None), "type"),
        (environment(type="MANAGED"), "type"),
        (environment(type="unmanaged"), "type"),
        (environment(state="ON"), "state"),
        (environment(unmanagedvCpus=-1), "unmanagedvCpus"),
        (environment(cluster="a b"), "cluster"),
        (environment(expression="x" * 2001), "expression"),
        *[
            (environment(**{key: value}), key)
            for key, value in {
                "computeResources": {},
                "updatePolicy": {},
                "eksConfiguration": {},
                "context": "x",
                "ecsSettings": {},
            }.items()
        ],
    ],
)
def test_compute_environments(document: dict[str, Any], field: str | None) -> None:
    problems = environment_problems(document, create=True)
    assert [problem.field for problem in problems] == ([] if field is None else [field])


def test_an_update_says_only_what_changes() -> None:
    assert list(queue_problems({"jobQueue": "main", "state": "DISABLED"}, create=False)) == []
    assert list(environment_problems({"computeEnvironment": "hosts"}, create=False)) == []


@pytest.mark.parametrize(
    ("document", "field"),
    [
        (consumable(), None),
        (consumable(totalQuantity=0, resourceType="NON_REPLENISHABLE"), None),
        *[(consumable(consumableResourceName=name), "consumableResourceName") for name in (None, *NAMES)],
        (consumable(totalQuantity=-1), "totalQuantity"),
        (consumable(totalQuantity=2**60), "totalQuantity"),
        (consumable(resourceType="ENDLESS"), "resourceType"),
    ],
)
def test_consumable_resources(document: dict[str, Any], field: str | None) -> None:
    assert [problem.field for problem in consumable_problems(document)] == ([] if field is None else [field])


UPDATE = {"consumableResource": "licence", "operation": "SET", "quantity": 0}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({}, None),
        ({"operation": "add", "clientToken": "x" * 64}, None),
        ({"operation": "DOUBLE"}, "operation"),
        ({"operation": None}, "operation"),
        ({"quantity": None}, "quantity"),
        ({"quantity": -1}, "quantity"),
        ({"consumableResource": None}, "consumableResource"),
        ({"clientToken": "x" * 65}, "clientToken"),
        ({"clientToken": ""}, "clientToken"),
    ],
)
def test_updates_of_consumable_resources(change: dict[str, Any], field: str | None) -> None:
    problems = consumable_update_problems(kept({**UPDATE, **change}))
    assert [problem.field for problem in problems] == ([] if field is None else [field])


@pytest.mark.parametrize(
    ("tags", "fields"),
    [
        ({"team": "blue", "a b": ""}, []),
        ({"": "x"}, ["tags"]),
        ({"aws:x": "y"}, ['tags["aws:x"]']),
        ({"ok": "x", "team": "x" * 257}, ["tags.team"]),
        ({f"k{number}": "" for number in range(51)}, ["tags"]),
    ],
)
def test_tags_are_told_by_their_keys(tags: dict[str, str], fields: list[str]) -> None:
    found = [problem.field for problem in tag_map_problems(tags)]
    assert found == fields or (fields == ["tags"] and found == ['tags[""]'])
