"""Attempts of jobs on real containers: numbered from 1, each made once, whatever happens to the scheduler."""

import json
from functools import partial
from pathlib import Path
from typing import Any

from tests.ground.cluster import Cluster
from tests.ground.images import BUSYBOX
from tests.ground.waiting import block_until

ATTEMPTS, CHILDREN = 3, 3
SECONDS = 60.0

# Says which attempt it is, runs long enough for a scheduler to die meanwhile, and fails.
FAILS = "echo attempt $AWS_BATCH_JOB_ATTEMPT of $AWS_BATCH_JOB_ID; sleep 1; exit 3"


def definition(name: str) -> dict[str, Any]:
    sizes = [{"type": "VCPU", "value": "0.05"}, {"type": "MEMORY", "value": "16"}]
    container = {"image": BUSYBOX, "command": ["sh", "-c", FAILS], "resourceRequirements": sizes}
    return {"jobDefinitionName": name, "type": "container", "containerProperties": container}


def described(cluster: Cluster, *jobs: str) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = json.loads(cluster.shoal("job", "describe", *jobs, "-o", "json").stdout)["jobs"]
    return listed


def test_attempts_are_counted_over_changes_of_leader(cluster: Cluster, tmp_path: Path) -> None:
    file = tmp_path / "definition.json"
    file.write_text(json.dumps(definition("fails")))
    for command in (
        ("ce", "create", "attempts"),
        ("queue", "create", "attempts", "--environment", "attempts"),
        ("job-definition", "register", str(file)),
    ):
        cluster.shoal(*command)
    submit = ("job", "submit", "--queue", "attempts", "--definition", "fails", "--name", "fails", "-o", "name")
    job = cluster.shoal(*submit, "--array", str(CHILDREN), "--attempts", str(ATTEMPTS)).stdout.strip()
    children = [f"{job}:{index}" for index in range(CHILDREN)]
    for number in (1, 2):
        block_until(partial(_has_run, cluster, children, number), SECONDS, f"attempt {number} is over")
        cluster.kill("scheduler")
    cluster.shoal("job", "wait", job, check=False, timeout_seconds=SECONDS)
    for child in described(cluster, *children):
        assert child["status"] == "FAILED"
        assert [each["attempt"] for each in child["attempts"]] == [1, 2, 3]
        assert [each["container"]["exitCode"] for each in child["attempts"]] == [3, 3, 3]
        assert len({each["container"]["taskArn"] for each in child["attempts"]}) == ATTEMPTS
    for number in range(1, ATTEMPTS + 1):
        said = cluster.shoal("job", "logs", children[1], "--attempt", str(number)).stdout
        assert said == f"attempt {number} of {children[1]}\n"


def _has_run(cluster: Cluster, children: list[str], number: int) -> bool:
    """Whether one of them has had so many attempts."""
    return any(len(child.get("attempts", ())) >= number for child in described(cluster, *children))
