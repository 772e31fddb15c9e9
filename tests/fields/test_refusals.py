"""Fields that no instance can give yet: registered, and refused by name when such a task is to run, at both ends."""

from typing import Any

import pytest
from shoal_agent.configuration import Configuration
from shoal_agent.definition.refusal import Refused
from shoal_agent.definition.specification import specification
from shoal_agent.task import Assignment
from shoal_scheduler.api.validate_task_definition import (
    runnable_problems,
    task_definition_problems,
    task_definition_warnings,
)

from tests.fields.row import REFUSED
from tests.fields.running import OWNER, Document, container, definition
from tests.fields.table import GROUPS

ROLE = "arn:aws:iam::111122223333:role/x"
SECRET = "arn:aws:secretsmanager:eu-north-1:111122223333:secret:x"
# As generous as an operator can be: what is refused all the same, no configuration gives.
GENEROUS = Configuration(
    allow_privileged=True, allow_host_namespaces=True, host_mounts=("/",), environment_file_folders=("/",)
)


def mounting(**volume: Any) -> Document:
    app = container(mountPoints=[{"sourceVolume": "v", "containerPath": "/v"}])
    return definition(app, volumes=[{"name": "v", **volume}])


FSX = {"credentialsParameter": SECRET, "domain": "corp.example"}
EXAMPLES: dict[str, Document] = {
    "taskRoleArn": definition(container(), taskRoleArn=ROLE),
    "inferenceAccelerators[]": definition(
        container(), inferenceAccelerators=[{"deviceName": "d", "deviceType": "eia2.medium"}]
    ),
    "trustedExecutionConfiguration": definition(container(), trustedExecutionConfiguration={"isolationMode": "x"}),
    "volumes[].efsVolumeConfiguration": mounting(efsVolumeConfiguration={"fileSystemId": "fs-1"}),
    "volumes[].s3filesVolumeConfiguration": mounting(s3filesVolumeConfiguration={"fileSystemArn": "arn:aws:s3files:x"}),
    "volumes[].fsxWindowsFileServerVolumeConfiguration": mounting(
        fsxWindowsFileServerVolumeConfiguration={
            "fileSystemId": "fs-1",
            "rootDirectory": "x",
            "authorizationConfig": FSX,
        }
    ),
    "volumes[].configuredAtLaunch": mounting(configuredAtLaunch=True),
    "containerDefinitions[].repositoryCredentials": definition(
        container(repositoryCredentials={"credentialsParameter": SECRET})
    ),
    "containerDefinitions[].secrets[]": definition(container(secrets=[{"name": "A", "valueFrom": SECRET}])),
    "containerDefinitions[].logConfiguration.secretOptions[]": definition(
        container(logConfiguration={"logDriver": "splunk", "secretOptions": [{"name": "token", "valueFrom": SECRET}]})
    ),
    "containerDefinitions[].credentialSpecs[]": definition(container(credentialSpecs=["credentialspec:file://x.json"])),
    "containerDefinitions[].firelensConfiguration": definition(container(firelensConfiguration={"type": "fluentbit"})),
}


@pytest.mark.parametrize("path", [row.path for rows in GROUPS.values() for row in rows if row.verdict == REFUSED])
def test_what_is_refused_by_name(path: str) -> None:
    document, named = EXAMPLES[path], path.removesuffix("[]").replace("[]", "[0]")
    assert task_definition_problems(document) == []
    (problem,) = runnable_problems(document)
    assert problem.field == named and "; " in problem.message  # what is wrong; what to do
    assert named in [warning.field for warning in task_definition_warnings(document)]
    with pytest.raises(Refused) as refused:
        specification(Assignment("t1", definition=document), "app", OWNER, GENEROUS)
    assert refused.value.path == named
