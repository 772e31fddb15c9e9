"""A task definition as a whole: what RegisterTaskDefinition refuses, all of it at once.

    document --task_definition_problems--> [] or what must be mended before it can be registered
    document --task_definition_warnings--> what is accepted but does not do here what it does in the cloud
    document --runnable_problems---------> [] or why RunTask cannot run it yet

What an instance's own configuration may allow (privileged, mounts of the instance's folders, devices, host
namespaces) is accepted with a warning; the agent decides. What nothing could ever run is refused here.
"""

import json
from itertools import islice

from shoal.attributes import OPERATING_SYSTEMS
from shoal.problems import Problem, member, quoted
from shoal.quantity import cpu_units, memory_mib

from shoal_scheduler.api.validate_containers import (
    CPU_UNITS_MAX,
    MEMORY_MIB_MAX,
    container_problems,
)
from shoal_scheduler.api.validate_dependencies import dependency_problems
from shoal_scheduler.api.validate_names import name_problems, tags_problems
from shoal_scheduler.api.validate_network import NETWORK_MODES, host_port_problems
from shoal_scheduler.api.validate_runnable import runnable_problems
from shoal_scheduler.api.validate_values import (
    Document,
    Problems,
    at_most,
    between,
    is_windows,
    no_longer_than,
    one_of,
    required,
    size_problems,
    unique,
)
from shoal_scheduler.api.validate_volumes import volumes_problems
from shoal_scheduler.api.validate_warnings import task_definition_warnings
from shoal_scheduler.model.ask import MEMORY_MIB_MIN

__all__ = ["runnable_problems", "task_definition_problems", "task_definition_warnings"]

DOCUMENT_BYTES_MAX = 64 * 1024
CONTAINERS_MAX = 10
CONSTRAINTS_MAX = 10
EXPRESSION_CHARACTERS_MAX = 2000
CPU_UNITS_MIN = 128
COMPATIBILITIES = ("EC2", "FARGATE", "EXTERNAL", "MANAGED_INSTANCES")
_PROBLEMS_MAX = 50


def task_definition_problems(document: Document) -> list[Problem]:
    """Everything that keeps the document from being registered (the first 50 of it)."""
    size_bytes = len(json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace"))
    if size_bytes > DOCUMENT_BYTES_MAX:
        return list(size_problems(size_bytes, DOCUMENT_BYTES_MAX))
    return list(islice(_problems(document), _PROBLEMS_MAX))


def _problems(document: Document) -> Problems:
    containers = document.get("containerDefinitions", [])
    yield from name_problems("family", document.get("family"))
    yield from one_of("networkMode", document.get("networkMode"), NETWORK_MODES)
    yield from one_of("pidMode", document.get("pidMode"), ("host", "task"))
    yield from one_of("ipcMode", document.get("ipcMode"), ("host", "task", "none"))
    for index, word in enumerate(document.get("requiresCompatibilities", ())):
        yield from one_of(f"requiresCompatibilities[{index}]", word, COMPATIBILITIES)
    yield from _platform_problems(document.get("runtimePlatform", {}))
    yield from task_size_problems(document)
    yield from _container_list_problems(document, containers)
    yield from _fit_problems(document, containers)
    yield from volumes_problems("volumes", document.get("volumes", ()), windows=is_windows(document))
    yield from constraint_problems(document, ("memberOf",))
    yield from tags_problems("tags", document.get("tags", ()))
    yield from _other_problems(document, containers)
    if "FARGATE" in document.get("requiresCompatibilities", ()):
        yield from _fargate_problems(document, containers)


def task_size_problems(document: Document, path: str = "") -> Problems:
    """Task-level cpu and memory, of a definition or of overrides."""
    sizes = (
        ("cpu", cpu_units, CPU_UNITS_MIN, CPU_UNITS_MAX, "cpu units"),
        ("memory", memory_mib, MEMORY_MIB_MIN, MEMORY_MIB_MAX, "MiB"),
    )
    for key, parse, low, high, unit in sizes:
        text = document.get(key)
        try:
            amount = None if text is None else parse(text)
        except ValueError as error:
            yield Problem(member(path, key), f"{quoted(text)} is {error}")
        else:
            yield from between(member(path, key), amount, low, high, unit)


def constraint_problems(document: Document, types: tuple[str, ...]) -> Problems:
    """placementConstraints. Whether an expression can be parsed is placement's to say."""
    constraints = document.get("placementConstraints", ())
    yield from at_most("placementConstraints", constraints, CONSTRAINTS_MAX)
    for index, constraint in enumerate(constraints[:CONSTRAINTS_MAX]):
        at, kind = f"placementConstraints[{index}]", constraint.get("type")
        expression = constraint.get("expression")
        yield from required(at, constraint, "type")
        yield from one_of(f"{at}.type", kind, types)
        yield from no_longer_than(f"{at}.expression", expression, EXPRESSION_CHARACTERS_MAX)
        if kind == "memberOf" and not expression:
            yield Problem(f"{at}.expression", "is required, as attribute:ecs.availability-zone == rack-1")
        if kind == "distinctInstance" and expression:
            yield Problem(f"{at}.expression", "distinctInstance takes no expression; take it out")


def _platform_problems(platform: Document) -> Problems:
    yield from one_of("runtimePlatform.cpuArchitecture", platform.get("cpuArchitecture"), ("X86_64", "ARM64"))
    family = platform.get("operatingSystemFamily")
    yield from one_of("runtimePlatform.operatingSystemFamily", family, OPERATING_SYSTEMS)


def _container_list_problems(document: Document, containers: list[Document]) -> Problems:
    if not containers:
        yield Problem("containerDefinitions", "is required: at least one container")
        return
    yield from at_most("containerDefinitions", containers, CONTAINERS_MAX)
    if len(containers) > CONTAINERS_MAX:
        return
    for index, container in enumerate(containers):
        yield from container_problems(f"containerDefinitions[{index}]", container, document)
    names = [
        (f"containerDefinitions[{index}].name", container["name"])
        for index, container in enumerate(containers)
        if "name" in container
    ]
    yield from unique(names, "{value} is also the name of {first}; rename one of them")
    if not any(container.get("essential", True) for container in containers):
        yield Problem("containerDefinitions", "none is essential; the task would end at once: set essential on one")
    yield from host_port_problems(containers, document.get("networkMode", "bridge"))
    yield from dependency_problems(containers)


def _fit_problems(document: Document, containers: list[Document]) -> Problems:
    """Each container, or the task, has a size; and the containers fit into the task."""
    if any(task_size_problems(document)):
        return  # told already
    task_memory = memory_mib(document["memory"]) if "memory" in document else None
    for index, container in enumerate(containers):
        memory = container.get("memory")
        field = f"containerDefinitions[{index}].memory"
        if memory is None and container.get("memoryReservation") is None and task_memory is None:
            yield Problem(field, "is required: give memory, memoryReservation, or memory for the whole task")
        if task_memory is not None and memory is not None and memory > task_memory:
            yield Problem(field, f"{memory} MiB are more than the whole task's {task_memory} MiB; lower it")
    reserved = sum(container.get("memoryReservation") or container.get("memory") or 0 for container in containers)
    if task_memory is not None and reserved > task_memory:
        yield Problem("memory", f"{task_memory} MiB are less than the containers reserve, {reserved} MiB; raise it")
    shares = sum(container.get("cpu", 0) for container in containers)
    if "cpu" in document and shares > cpu_units(document["cpu"]):
        yield Problem("cpu", f"is less than the {shares} units that the containers reserve; raise it")


def _other_problems(document: Document, containers: list[Document]) -> Problems:
    names = [container.get("name") for container in containers]
    proxy = document.get("proxyConfiguration")
    if proxy is not None:
        yield from required("proxyConfiguration", proxy, "containerName")
        yield from one_of("proxyConfiguration.type", proxy.get("type"), ("APPMESH",))
        if proxy.get("containerName") and proxy["containerName"] not in names:
            yield Problem("proxyConfiguration.containerName", f"{quoted(proxy['containerName'])} is no container")
    for index, device in enumerate(document.get("inferenceAccelerators", ())):
        yield from required(f"inferenceAccelerators[{index}]", device, "deviceName", "deviceType")
    storage = document.get("ephemeralStorage")
    if storage is not None:
        yield from required("ephemeralStorage", storage, "sizeInGiB")
        yield from between("ephemeralStorage.sizeInGiB", storage.get("sizeInGiB"), 21, 200, "GiB")


def _fargate_problems(document: Document, containers: list[Document]) -> Problems:
    """What the cloud refuses of a definition that says it is made for FARGATE."""
    for key in ("cpu", "memory"):
        if key not in document:
            yield Problem(key, "is required at the level of the task when requiresCompatibilities has FARGATE")
    if document.get("networkMode") != "awsvpc":
        yield Problem("networkMode", "must be awsvpc when requiresCompatibilities has FARGATE")
    if document.get("placementConstraints"):
        yield Problem("placementConstraints", "are not for FARGATE; take them or FARGATE out")
    if document.get("pidMode") == "host":
        yield Problem("pidMode", "host is not for FARGATE; take it or FARGATE out")
    for index, container in enumerate(containers):
        if container.get("privileged"):
            yield Problem(f"containerDefinitions[{index}].privileged", "is not for FARGATE; take it or FARGATE out")
