"""Fields that are accepted and do something else here, or nothing: registering says so, by the field's path."""

import pytest
from shoal_scheduler.api.validate_task_definition import (
    runnable_problems,
    task_definition_problems,
    task_definition_warnings,
)

from tests.fields.row import NOTED
from tests.fields.running import Document, container, definition
from tests.fields.table import GROUPS

PORT = {"containerPort": 80}
CONTAINER: dict[str, Document] = {
    "portMappings[].name": {"portMappings": [{**PORT, "name": "web"}]},
    "portMappings[].appProtocol": {"portMappings": [{**PORT, "appProtocol": "http"}]},
}
EXAMPLES: dict[str, Document] = {
    "executionRoleArn": definition(container(), executionRoleArn="arn:aws:iam::111122223333:role/x"),
    "proxyConfiguration": definition(
        container(), proxyConfiguration={"type": "APPMESH", "containerName": "app", "properties": []}
    ),
    "ephemeralStorage": definition(container(), ephemeralStorage={"sizeInGiB": 30}),
    "enableFaultInjection": definition(container(), enableFaultInjection=True),
    **{f"containerDefinitions[].{path}": definition(container(**fields)) for path, fields in CONTAINER.items()},
}


@pytest.mark.parametrize("path", [row.path for rows in GROUPS.values() for row in rows if row.verdict == NOTED])
def test_what_is_noted(path: str) -> None:
    """A row whose field is noted no longer has to say what it does now."""
    document = EXAMPLES[path]
    assert task_definition_problems(document) == []
    assert runnable_problems(document) == []
    warned = {warning.field: warning.message for warning in task_definition_warnings(document)}
    assert [message for field, message in warned.items() if told_of(field, path)]


def told_of(field: str, path: str) -> bool:
    """Is the warning's field, with its numbers, the one of the path, or in it?"""
    plain = field.replace("[0]", "[]")
    return plain == path.removesuffix("[]") or plain.startswith(path)


def test_an_s3_environment_file_is_noted_at_registration() -> None:
    document = definition(container(environmentFiles=[{"type": "s3", "value": "arn:aws:s3:::bucket/web.env"}]))
    (warning,) = task_definition_warnings(document)
    assert warning.field == "containerDefinitions[0].environmentFiles[0].value"
    assert "object store" in warning.message and '"type": "file"' in warning.message
