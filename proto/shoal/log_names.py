"""How a container's output is called in CloudWatch's words, from what awslogs says of it. Pure.

Names are those of the ECS developer guide: a stream is `prefix/container/task-id`, and without a prefix the engine's
id of the container.
"""

from dataclasses import dataclass

from shoal.v1 import task_definition_pb2


@dataclass(frozen=True, slots=True)
class LogName:
    group: str
    region: str
    stream: str


def log_name(container: task_definition_pb2.ContainerDefinition, task_id: str, runtime_id: str = "") -> LogName | None:
    """None if the container's output goes to no group."""
    options = container.log_configuration.options
    if container.log_configuration.log_driver != "awslogs" or "awslogs-group" not in options:
        return None
    prefix = options.get("awslogs-stream-prefix", "")
    stream = f"{prefix}/{container.name}/{task_id}" if prefix else runtime_id or f"{container.name}/{task_id}"
    return LogName(options["awslogs-group"], options.get("awslogs-region", ""), stream)
