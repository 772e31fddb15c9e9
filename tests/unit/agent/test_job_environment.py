"""What the containers of a job's task are told of it."""

import pytest
from shoal_agent.configuration import Configuration
from shoal_agent.definition.labels import Owner
from shoal_agent.definition.specification import specification
from shoal_agent.task import Assignment, JobAttempt

PARTS = [
    (JobAttempt("j1", "pictures", "here", 1), {"ID": "j1", "ATTEMPT": "1"}),
    (
        JobAttempt("j1", "pictures", "here", 3, array_size=200, array_index=0),
        {"ID": "j1:0", "ATTEMPT": "3", "ARRAY_SIZE": "200", "ARRAY_INDEX": "0"},
    ),
]


@pytest.mark.parametrize(("job", "told"), PARTS, ids=("single", "child"))
def test_each_container_of_a_job_is_told_which_it_is(job: JobAttempt, told: dict[str, str]) -> None:
    """What a definition or an override says of the same names does not count."""
    forged = [{"name": "AWS_BATCH_JOB_ID", "value": "other"}, {"name": "AWS_BATCH_JOB_ATTEMPT", "value": "0"}]
    containers = [{"name": name, "image": "x", "environment": forged} for name in ("web", "side")]
    overrides = {"containerOverrides": [{"name": "side", "environment": forged}]}
    wanted = Assignment("t1", definition={"containerDefinitions": containers}, overrides=overrides, job=job)
    expected = {f"AWS_BATCH_JOB_{name}": value for name, value in told.items()}
    expected |= {"AWS_BATCH_JQ_NAME": "pictures", "AWS_BATCH_CE_NAME": "here", "TASK_FENCE": "0"}
    for name in ("web", "side"):
        environment = specification(wanted, name, Owner("default", "i1"), Configuration()).body["Env"]
        assert dict(entry.split("=", 1) for entry in environment) == expected
