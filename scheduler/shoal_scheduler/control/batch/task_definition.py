"""The task definition that runs a job definition's jobs: derived from it, with where each field comes from.

containerProperties              one container, called default, that is essential
ecsProperties.taskProperties[0]  its containers as they are
VCPU, MEMORY                     cpu in units of 1/1024 vCPU, and the memory limit in MiB, of the container
"""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from shoal.quantity import CPU_UNITS_PER_VCPU

Document = Mapping[str, Any]

# What a container of a job that has but one is called, as in AWS Batch.
CONTAINER = "default"

VCPU, MEMORY = "VCPU", "MEMORY"
_VCPUS = re.compile(r"[0-9]{1,6}(?:\.[0-9]{1,9})?|\.[0-9]{1,9}")
_MIB = re.compile(r"[0-9]{1,9}")

# Alike in both.
_OF_CONTAINERS = (
    *("name", "image", "command", "essential", "dependsOn", "startTimeout", "stopTimeout", "user", "environment"),
    *("mountPoints", "readonlyRootFilesystem", "privileged", "ulimits", "linuxParameters", "logConfiguration"),
    *("secrets", "repositoryCredentials", "firelensConfiguration"),
)
_OF_TASKS = (
    *("volumes", "runtimePlatform", "ephemeralStorage", "executionRoleArn", "taskRoleArn"),
    *("ipcMode", "pidMode", "networkMode"),
)


class Derived(NamedTuple):
    """`document`: of RegisterTaskDefinition, without its family. `paths`: fields of it, and of the job definition."""

    document: dict[str, Any]
    paths: Mapping[str, str]

    def path(self, field: str) -> str:
        """Where a field of the task definition comes from."""
        head, tail = field, ""
        while head and head not in self.paths:
            cut = max(head.rfind("."), head.rfind("["))
            head, tail = head[: max(cut, 0)], field[max(cut, 0) :]
        return self.paths[head] + tail if head else field


def task_definition_of(job_definition: Document) -> Derived:
    """Amounts that are none are left out; what is wrong with them, validation says."""
    if "ecsProperties" in job_definition:
        root = "ecsProperties.taskProperties[0]"
        task: Document = next(iter(job_definition["ecsProperties"].get("taskProperties", ())), {})
        containers = [(f"{root}.containers[{index}]", each) for index, each in enumerate(task.get("containers", ()))]
        paths = {"containerDefinitions": f"{root}.containers"}
    else:
        root = "containerProperties"
        task = job_definition.get(root, {})
        task = {**task, "taskRoleArn": task["jobRoleArn"]} if "jobRoleArn" in task else task
        containers = [(root, {**task, "essential": True})]
        paths = {"containerDefinitions": root, "taskRoleArn": f"{root}.jobRoleArn"}
    paths = {**{key: f"{root}.{key}" for key in _OF_TASKS}, **paths}
    definitions = []
    for index, (path, container) in enumerate(containers):
        definition, more = _container(f"containerDefinitions[{index}]", path, container, alone=len(containers) == 1)
        definitions.append(definition)
        paths |= more
    document = {key: task[key] for key in _OF_TASKS if key in task}
    return Derived({**document, "containerDefinitions": definitions}, paths)


def _container(at: str, path: str, container: Document, *, alone: bool) -> tuple[dict[str, Any], dict[str, str]]:
    definition = {key: container[key] for key in _OF_CONTAINERS if key in container}
    if alone:
        definition.setdefault("name", CONTAINER)
    paths = {at: path}
    for ours, legacy in (("cpu", "vcpus"), ("memory", "memory")):
        paths[f"{at}.{ours}"] = f"{path}.{legacy if legacy in container else 'resourceRequirements'}"
    sizes = {"cpu": container.get("vcpus", 0) * CPU_UNITS_PER_VCPU, "memory": container.get("memory", 0)}
    others: list[Document] = []
    for index, requirement in enumerate(container.get("resourceRequirements", ())):
        kind, value = requirement.get("type"), requirement.get("value", "")
        field = f"{path}.resourceRequirements[{index}]"
        if kind == VCPU:
            sizes["cpu"], paths[f"{at}.cpu"] = cpu_units_of(value), f"{field}.value"
        elif kind == MEMORY:
            sizes["memory"], paths[f"{at}.memory"] = memory_mib_of(value), f"{field}.value"
        else:
            paths[f"{at}.resourceRequirements[{len(others)}]"] = field
            others.append(requirement)
    if others:
        definition["resourceRequirements"] = others
    return definition | {key: size for key, size in sizes.items() if size}, paths


def cpu_units_of(vcpus: str) -> int:
    """Of a VCPU requirement, as "1" or "0.25"; 0 for what is none."""
    return int(Decimal(vcpus) * CPU_UNITS_PER_VCPU) if _VCPUS.fullmatch(vcpus) else 0


def memory_mib_of(memory: str) -> int:
    """Of a MEMORY requirement, as "2048"; 0 for what is none."""
    return int(memory) if _MIB.fullmatch(memory) else 0
