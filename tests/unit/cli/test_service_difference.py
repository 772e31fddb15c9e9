"""What of a service a file changes."""

from typing import Any

import pytest
from shoal.cli.service_difference import Line, difference

AWS = "arn:aws:elasticloadbalancing:eu-west-1:123456789012"
THERE: dict[str, Any] = {
    "serviceName": "web",
    "taskDefinition": "arn:shoal:ecs:local:000000000000:task-definition/web:3",
    "schedulingStrategy": "REPLICA",
    "desiredCount": 2,
    "deploymentConfiguration": {
        "minimumHealthyPercent": 100,
        "maximumPercent": 200,
        "deploymentCircuitBreaker": {"enable": True, "rollback": True, "resetOnHealthyTask": True},
    },
    "placementConstraints": [{"type": "memberOf", "expression": "b"}, {"type": "distinctInstance"}],
    "placementStrategy": [{"type": "binpack", "field": "memory"}],
    "loadBalancers": [
        {"targetGroupArn": "arn:shoal:ecs:local:000000000000:targetgroup/default/web", "containerPort": 80}
    ],
    "tags": [{"key": "team", "value": "blue"}],
}


@pytest.mark.parametrize(
    "same",
    [
        {},
        {"taskDefinition": "web:3"},
        {"taskDefinition": "arn:aws:ecs:eu-west-1:123456789012:task-definition/web:3"},
        {"deploymentConfiguration": {"maximumPercent": 200}},
        {"deploymentConfiguration": {"deploymentCircuitBreaker": {"enable": True, "rollback": True}}},
        {"placementConstraints": [{"type": "distinctInstance"}, {"expression": "b", "type": "memberOf"}]},
        {"placementStrategy": [{"type": "binpack", "field": "MEMORY"}]},
        {"loadBalancers": [{"targetGroupArn": "web", "containerPort": 80}]},
        {"loadBalancers": [{"targetGroupArn": f"{AWS}:targetgroup/web/6d0ecf831eec9f09", "containerPort": 80}]},
        {"serviceRegistries": []},
        {"tags": [{"key": "team", "value": "blue"}]},
        THERE,
    ],
)
def test_what_means_the_same_changes_nothing(same: dict[str, Any]) -> None:
    found = difference(same, THERE)
    assert (found.update, found.tags, found.fixed, found.lines) == ({}, {}, (), ())


@pytest.mark.parametrize(
    ("wanted", "update", "lines", "begins"),
    [
        ({"desiredCount": 3}, {"desiredCount": 3}, [Line("desiredCount", 2, 3)], False),
        (
            {"taskDefinition": "web:4"},
            {"taskDefinition": "web:4"},
            [Line("taskDefinition", "web:3", "web:4")],
            True,
        ),
        (
            {"deploymentConfiguration": {"maximumPercent": 150, "minimumHealthyPercent": 100}},
            {"deploymentConfiguration": {"maximumPercent": 150, "minimumHealthyPercent": 100}},
            [Line("deploymentConfiguration.maximumPercent", 200, 150)],
            False,
        ),
        ({"onDisconnect": "stop"}, {"onDisconnect": "stop"}, [Line("onDisconnect", None, "stop")], False),
        (
            {"loadBalancers": []},
            {"remove": ["loadBalancers"]},
            [Line("loadBalancers", [{"targetGroupArn": "web", "containerPort": 80}], None)],
            True,
        ),
        (
            {"placementStrategy": []},
            {"remove": ["placementStrategy"]},
            [Line("placementStrategy", [{"type": "binpack", "field": "memory"}], None)],
            False,
        ),
    ],
)
def test_only_what_differs_is_changed(
    wanted: dict[str, Any], update: dict[str, Any], lines: list[Line], begins: bool
) -> None:
    found = difference(wanted, THERE)
    assert (found.update, list(found.lines), found.begins_deployment) == (update, lines, begins)


def test_tags_are_as_the_file_says() -> None:
    found = difference({"tags": [{"key": "floor", "value": "2"}]}, THERE)
    assert found.tags == {"floor": "2", "team": None}
    assert list(found.lines) == [Line("tags.floor", None, "2"), Line("tags.team", "blue", None)]
    assert difference({}, THERE).tags == {}
    assert difference({"tags": []}, THERE).tags == {"team": None}


def test_what_no_service_can_change_to_is_told() -> None:
    found = difference({"schedulingStrategy": "DAEMON", "launchType": "EC2"}, {**THERE, "launchType": "EC2"})
    assert found.fixed == (Line("schedulingStrategy", "REPLICA", "DAEMON"),)
