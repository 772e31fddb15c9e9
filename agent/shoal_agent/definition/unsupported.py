"""What no instance can give to a task yet. A task that runs without what it asked for would be worse than none. Pure.

The scheduler refuses these, too, before it places a task; one of another version may not.
"""

from collections.abc import Mapping
from typing import Any

from shoal_agent.definition.refusal import Refused

_OF_TASKS = ("taskRoleArn", "inferenceAccelerators", "trustedExecutionConfiguration")
_OF_CONTAINERS = ("secrets", "firelensConfiguration", "credentialSpecs", "repositoryCredentials")


def check_supported(document: Mapping[str, Any], *, of_task: bool = False) -> None:
    """Of a task definition or of one of its container definitions. Raises Refused."""
    for field in _OF_TASKS if of_task else _OF_CONTAINERS:
        if document.get(field):
            raise Refused(field, "not supported; the task would start without")
