"""One container definition: what it is, what it takes, how it is started and stopped, and what it is told.

Ranges and words: the ECS API model. Ports, storage and Linux parameters have files of their own.
"""

import re
from collections.abc import Sequence

from shoal.problems import Problem, member, quoted

from shoal_scheduler.api.validate_image import image_problems
from shoal_scheduler.api.validate_linux import linux_problems
from shoal_scheduler.api.validate_names import name_problems
from shoal_scheduler.api.validate_network import network_problems
from shoal_scheduler.api.validate_requirements import requirement_problems
from shoal_scheduler.api.validate_values import (
    Document,
    Problems,
    absolute_path,
    at_most,
    between,
    environment_name,
    is_windows,
    one_of,
    required,
    unique,
    without_nul,
)
from shoal_scheduler.api.validate_volumes import mount_problems
from shoal_scheduler.model.ask import MEMORY_MIB_MIN

LOG_DRIVERS = ("json-file", "syslog", "journald", "gelf", "fluentd", "awslogs", "splunk", "awsfirelens")
CPU_UNITS_MAX = 196_608
MEMORY_MIB_MAX = 64 * 1024 * 1024
TIMEOUT_SECONDS_MAX = 86_400
ENVIRONMENT_FILES_MAX = 10

# Labels by which agents find their containers again; a forged one would be taken for another task's.
RESERVED_LABEL_PREFIX = "shoal."

_USER = re.compile(r"[^\s:\x00-\x1f-][^\s:\x00-\x1f]*(?::[^\s:\x00-\x1f-][^\s:\x00-\x1f]*)?")


def container_problems(path: str, container: Document, definition: Document) -> Problems:
    yield from name_problems(f"{path}.name", container.get("name"))
    yield from image_problems(f"{path}.image", container.get("image"))
    yield from resource_problems(path, container)
    yield from _process_problems(path, container, definition)
    yield from _environment_problems(path, container)
    yield from _label_problems(f"{path}.dockerLabels", container)
    yield from network_problems(path, container, definition)
    yield from mount_problems(path, container, definition)
    yield from linux_problems(path, container, definition)
    yield from _health_problems(f"{path}.healthCheck", container.get("healthCheck"))
    yield from _restart_problems(f"{path}.restartPolicy", container.get("restartPolicy"))
    yield from _log_problems(f"{path}.logConfiguration", container.get("logConfiguration"))
    accelerators = [device.get("deviceName") for device in definition.get("inferenceAccelerators", ())]
    yield from requirement_problems(path, container, accelerators)
    yield from _word_problems(path, container)


def resource_problems(path: str, container: Document) -> Problems:
    """cpu and memory, of a container or of an override of one."""
    memory, reservation = container.get("memory"), container.get("memoryReservation")
    yield from between(member(path, "cpu"), container.get("cpu"), 0, CPU_UNITS_MAX)
    yield from between(member(path, "memory"), memory, MEMORY_MIB_MIN, MEMORY_MIB_MAX, "MiB")
    yield from between(member(path, "memoryReservation"), reservation, MEMORY_MIB_MIN, MEMORY_MIB_MAX, "MiB")
    if memory is not None and reservation is not None and memory < reservation:
        yield Problem(
            member(path, "memory"),
            f"the limit of {memory} MiB is below the memoryReservation of {reservation} MiB; raise it or drop one",
        )


def _process_problems(path: str, container: Document, definition: Document) -> Problems:
    windows = is_windows(definition)
    for key in ("entryPoint", "command"):
        for index, argument in enumerate(container.get(key, ())):
            yield from without_nul(f"{path}.{key}[{index}]", argument)
    user = container.get("user")
    if user and not windows and not _USER.fullmatch(user):
        yield Problem(f"{path}.user", f"must be user, uid, user:group or uid:gid, not {quoted(user)}")
    if container.get("workingDirectory"):
        yield from absolute_path(f"{path}.workingDirectory", container["workingDirectory"], windows=windows)
    fargate = "FARGATE" in definition.get("requiresCompatibilities", ())
    most, unit = (120, "seconds on FARGATE") if fargate else (TIMEOUT_SECONDS_MAX, "seconds")
    for key in ("startTimeout", "stopTimeout"):
        yield from between(f"{path}.{key}", container.get(key), 0, most, unit)


def _environment_problems(path: str, container: Document) -> Problems:
    for index, variable in enumerate(container.get("environment", ())):
        yield from environment_name(f"{path}.environment[{index}].name", variable.get("name"))
        yield from without_nul(f"{path}.environment[{index}].value", variable.get("value"))
    for index, secret in enumerate(container.get("secrets", ())):
        yield from environment_name(f"{path}.secrets[{index}].name", secret.get("name"))
        yield from required(f"{path}.secrets[{index}]", secret, "valueFrom")
    names = [
        (f"{path}.secrets[{index}].name", secret.get("name", ""))
        for index, secret in enumerate(container.get("secrets", ()))
    ]
    plain = {variable.get("name") for variable in container.get("environment", ())}
    yield from unique(names, "{value} is also the name of {first}; keep one of them")
    for field, name in names:
        if name in plain:
            yield Problem(field, f"{quoted(name)} is also set in environment; keep one of them")
    yield from environment_files_problems(f"{path}.environmentFiles", container.get("environmentFiles", ()))


def environment_files_problems(path: str, files: Sequence[Document]) -> Problems:
    """Of a container or of an override of one. Type s3 is ECS's; file, a file of the instance, is ours."""
    yield from at_most(path, files, ENVIRONMENT_FILES_MAX)
    for index, file in enumerate(files[:ENVIRONMENT_FILES_MAX]):
        yield from required(f"{path}[{index}]", file, "value", "type")
        yield from one_of(f"{path}[{index}].type", file.get("type"), ("s3", "file"))
        value = file.get("value", "")
        if value and file.get("type") == "file":
            if value.startswith("file:///"):
                yield from absolute_path(f"{path}[{index}].value", value.removeprefix("file://"))
            else:
                yield Problem(f"{path}[{index}].value", f"must be as file:///srv/web.env, not {quoted(value)}")


def _label_problems(path: str, container: Document) -> Problems:
    for key, value in container.get("dockerLabels", {}).items():
        if not key:
            yield Problem(path, "has a label without a name; name it")
        elif key.lower().startswith(RESERVED_LABEL_PREFIX):
            yield Problem(
                member(path, key), f"labels that begin with {RESERVED_LABEL_PREFIX} are the agent's; rename it"
            )
        yield from without_nul(member(path, key), key, value)


def _health_problems(path: str, check: Document | None) -> Problems:
    if check is None:
        return
    command = check.get("command", [])
    if not command or command[0] not in ("CMD", "CMD-SHELL"):
        yield Problem(f"{path}.command", 'must begin with CMD or CMD-SHELL, as ["CMD-SHELL", "exit 0"]')
    elif len(command) < 2:
        yield Problem(f"{path}.command", f'has nothing to run after {command[0]}; write ["{command[0]}", "..."]')
    yield from between(f"{path}.interval", check.get("interval"), 5, 300, "seconds")
    yield from between(f"{path}.timeout", check.get("timeout"), 2, 60, "seconds")
    yield from between(f"{path}.retries", check.get("retries"), 1, 10)
    yield from between(f"{path}.startPeriod", check.get("startPeriod"), 0, 300, "seconds")


def _restart_problems(path: str, policy: Document | None) -> Problems:
    if policy is None:
        return
    yield from required(path, policy, "enabled")
    yield from at_most(f"{path}.ignoredExitCodes", policy.get("ignoredExitCodes", ()), 50)
    yield from between(f"{path}.restartAttemptPeriod", policy.get("restartAttemptPeriod"), 60, 1800, "seconds")


def _log_problems(path: str, log: Document | None) -> Problems:
    if log is None:
        return
    yield from required(path, log, "logDriver")
    yield from one_of(f"{path}.logDriver", log.get("logDriver"), LOG_DRIVERS)
    for index, secret in enumerate(log.get("secretOptions", ())):
        yield from required(f"{path}.secretOptions[{index}]", secret, "name", "valueFrom")


def _word_problems(path: str, container: Document) -> Problems:
    yield from one_of(f"{path}.versionConsistency", container.get("versionConsistency"), ("enabled", "disabled"))
    credentials = container.get("repositoryCredentials")
    if credentials is not None:
        yield from required(f"{path}.repositoryCredentials", credentials, "credentialsParameter")
    router = container.get("firelensConfiguration")
    if router is not None:
        yield from required(f"{path}.firelensConfiguration", router, "type")
        yield from one_of(f"{path}.firelensConfiguration.type", router.get("type"), ("fluentd", "fluentbit"))
