"""The cluster query language: what it selects, and what it refuses and where."""

import json
import time
from datetime import datetime
from pathlib import Path

import pytest
from shoal_scheduler.placement.expression import ExpressionError, Facts, parse

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data" / "placement" / "expressions.json"

HOST = Facts(
    attributes={"ecs.instance-type": "g2.2xlarge", "stack": "prod", "rack": "r 1"},
    ec2_instance_id="i-a",
    agent_version="1.14.10",
    registered_at=1_518_422_400_000,  # 2018-02-12T08:00:00Z
    running_tasks_count=3,
    task_groups=frozenset({"service:web", "family:cache"}),
)


@pytest.mark.parametrize(
    ("expression", "holds"),
    [
        ("attribute:ecs.instance-type =~ g2.* and attribute:stack != test", True),
        ("attribute:ecs.instance-type matches g[23]\\..*", True),
        ("attribute:rack == 'r 1'", True),
        ("attribute:none exists", False),
        ("attribute:none !exists", True),
        ("attribute:stack in [dev, 'prod']", True),
        ("attribute:stack not_in [dev, prod]", False),
        ("agentVersion < 1.14.5", False),
        ("agentVersion >= 1.14.10", True),
        ("registeredAt < 2018-02-13", True),
        ("registeredAt >= 2018-02-12T08:00:01Z", False),
        ("runningTasksCount <= 3", True),
        ("ec2InstanceId in ['i-a','i-b']", True),
        ("task:group == service:web", True),
        ("not(task:group == service:db)", True),
        ("!(attribute:stack == prod) || runningTasksCount == 3", True),
        ("agentConnected == true and (attribute:stack == dev or attribute:stack == prod)", True),
    ],
)
def test_selects(expression: str, holds: bool) -> None:
    assert parse(expression)(HOST) is holds


@pytest.mark.parametrize(
    ("expression", "column"),
    [
        ("", 1),
        ("attribute:a ==", 15),
        ("attribute:a == b and", 21),
        ("foo == bar", 1),
        ("(attribute:a == b", 18),
        ("runningTasksCount =~ 3", 19),
        ("agentConnected > true", 16),
        ("registeredAt < yesterday", 16),
        ("agentVersion == one", 17),
        ("runningTasksCount == 1e3", 22),
        ("attribute:a =~ [", 16),
        ("a" * 100_000, 2001),
        ("(" * 1000, 51),
        ("__class__ == x", 1),
    ],
)
def test_refuses_with_the_column(expression: str, column: int) -> None:
    with pytest.raises(ExpressionError) as refused:
        parse(expression)
    assert refused.value.column == column


def test_no_pattern_takes_exponential_time() -> None:
    started = time.process_time()
    matches = parse("attribute:stack =~ '(a+)+$'")(HOST._replace(attributes={"stack": "a" * 5000 + "b"}))
    assert not matches
    assert time.process_time() - started < 1.0


@pytest.mark.skipif(not SHARED.exists(), reason="the shared placement data is not beside this checkout")
def test_published_cases() -> None:
    data = json.loads(SHARED.read_text())
    hosts = {
        each["ec2InstanceId"]: Facts(
            attributes=each["attributes"],
            ec2_instance_id=each["ec2InstanceId"],
            agent_connected=each["agentConnected"],
            agent_version=each["agentVersion"],
            registered_at=int(datetime.fromisoformat(each["registeredAt"]).timestamp() * 1000),
            running_tasks_count=each["runningTasksCount"],
            task_groups=frozenset(each["taskGroups"]),
        )
        for each in data["instances"]
    }
    for case in data["cases"]:
        test = parse(case["expression"])
        assert [name for name, facts in hosts.items() if test(facts)] == case["selects"], case["expression"]
    for text in data["refused"]:
        with pytest.raises(ExpressionError):
            parse(text)
