"""How the containers of a task live beside each other: from the definition, and through text."""

from typing import Any

import pytest
from shoal_agent.definition.plan import listed, parse_listed, plans
from shoal_agent.task import HEALTHY, START, SUCCESS, ContainerPlan, Dependency, RestartPolicy


def plan(**fields: Any) -> ContainerPlan:
    (only,) = plans({"containerDefinitions": [{"name": "web", **fields}]})
    return only


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, ContainerPlan("web")),
        ({"essential": False}, ContainerPlan("web", essential=False)),
        ({"healthCheck": {"command": ["CMD", "true"]}}, ContainerPlan("web", has_health_check=True)),
        ({"startTimeout": 5}, ContainerPlan("web", start_timeout_seconds=5)),
        (
            {"dependsOn": [{"containerName": "db", "condition": "HEALTHY"}], "links": ["db:d", "cache"]},
            ContainerPlan("web", depends_on=(Dependency("db", HEALTHY), Dependency("cache", START))),
        ),
        (
            {"volumesFrom": [{"sourceContainer": "data"}], "links": ["data"]},
            ContainerPlan("web", depends_on=(Dependency("data", START),)),
        ),
        ({"restartPolicy": {"enabled": False, "restartAttemptPeriod": 60}}, ContainerPlan("web")),
        ({"restartPolicy": {"enabled": True}}, ContainerPlan("web", restart=RestartPolicy((), 300))),
        (
            {"restartPolicy": {"enabled": True, "ignoredExitCodes": [0, 3], "restartAttemptPeriod": 60}},
            ContainerPlan("web", restart=RestartPolicy((0, 3), 60)),
        ),
    ],
)
def test_a_definition_says_how_a_container_lives(fields: dict[str, Any], expected: ContainerPlan) -> None:
    assert plan(**fields) == expected


def test_text_carries_all_of_it() -> None:
    containers = (
        ContainerPlan("init", essential=False, start_timeout_seconds=7),
        ContainerPlan("web", depends_on=(Dependency("init", SUCCESS),), has_health_check=True),
        ContainerPlan("side", False, (Dependency("web", HEALTHY),), restart=RestartPolicy((1, 2), 60)),
        ContainerPlan("~internal~ecs~pause", essential=False, internal=True),
    )
    assert parse_listed(listed(containers)) == containers


@pytest.mark.parametrize(
    "text", ["", "{}", "[1]", "nonsense", '[{"essential":true}]', '[{"name":"a","restart":["x"]}]']
)
def test_a_text_that_is_not_ours_is_none(text: str) -> None:
    assert parse_listed(text) == ()
