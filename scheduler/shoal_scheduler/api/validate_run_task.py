"""RunTask and StartTask: what is refused before anything is placed. Limits: the ECS API model, except count."""

import json
import re
from collections.abc import Sequence

from shoal import requirements
from shoal.problems import Problem, quoted

from shoal_scheduler.api.validate_containers import environment_files_problems, resource_problems
from shoal_scheduler.api.validate_names import cluster_name_problems, tags_problems
from shoal_scheduler.api.validate_requirements import requirement_problems
from shoal_scheduler.api.validate_runnable import (
    device_problems,
    gpu_problems,
    runnable_problems,
    unread_file_problems,
)
from shoal_scheduler.api.validate_task_definition import (
    COMPATIBILITIES,
    CONSTRAINTS_MAX,
    constraint_problems,
    task_size_problems,
)
from shoal_scheduler.api.validate_values import (
    Document,
    Problems,
    at_most,
    between,
    environment_name,
    one_of,
    required,
    unique,
    without_nul,
)
from shoal_scheduler.control.host_loss import ON_DISCONNECT

__all__ = ["run_task_problems", "run_task_warnings", "runnable_problems", "start_task_problems"]

REQUEST_BYTES_MAX = 256 * 1024  # tags, constraints and overrides at their longest stay below
COUNT_MAX = 10_000
STRATEGIES_MAX = 5

# ECS has no fragmentation, no image, and no binpack on gpu.
STRATEGIES = ("random", "spread", "binpack", "fragmentation", "image")
BINPACK_FIELDS = ("cpu", "memory", "gpu")
INSTANCES_MAX = 10
OVERRIDES_CHARACTERS_MAX = 8192
_GROUP = re.compile(r"[A-Za-z0-9_.:/-]{1,255}")
_STARTED_BY = re.compile(r"[A-Za-z0-9_/-]{1,128}")
CLIENT_TOKEN = re.compile(r"[!-~]{1,64}")
_SPREAD_ATTRIBUTE = re.compile(r"attribute:[A-Za-z0-9_./\\-]{1,128}")
_PROBLEMS_MAX = 50

_NOT_YET = {
    "capacityProviderStrategy": "capacity providers are not there yet; leave it out",
    "volumeConfigurations": "volumes cannot be made at launch yet; leave it out",
}
_WITHOUT_EFFECT = {
    "networkConfiguration": "has no effect yet: a task's network is on the bridge of its instance",
    "enableECSManagedTags": "has no effect yet: tasks get the tags of the request",
    "platformVersion": "has no effect: tasks run on this cluster's own instances",
    "referenceId": "has no effect",
}


def run_task_problems(document: Document, definition: Document | None = None) -> list[Problem]:
    """Of a RunTaskRequest. With the task definition it names, its overrides are held against that as well."""
    return [*_request_problems(document, definition), *_placement_problems(document, definition)][:_PROBLEMS_MAX]


def start_task_problems(document: Document, definition: Document | None = None) -> list[Problem]:
    """Of a StartTaskRequest, which names its instances itself."""
    instances = document.get("containerInstances", ())
    return [
        *required("", document, "containerInstances"),
        *at_most("containerInstances", instances, INSTANCES_MAX),
        *unique(
            [(f"containerInstances[{index}]", name) for index, name in enumerate(instances)],
            "{value} is also {first}; name each instance once",
        ),
        *_request_problems(document, definition),
    ][:_PROBLEMS_MAX]


def run_task_warnings(document: Document) -> list[Problem]:
    """What a RunTaskRequest or StartTaskRequest asks for that does nothing here."""
    warnings = [Problem(key, why) for key, why in _WITHOUT_EFFECT.items() if document.get(key)]
    if document.get("launchType") in ("FARGATE", "MANAGED_INSTANCES"):
        warnings.append(Problem("launchType", f"{document['launchType']} runs on this cluster's own instances"))
    if "executionRoleArn" in document.get("overrides", {}):
        warnings.append(Problem("overrides.executionRoleArn", "has no effect: images and logs need no role here"))
    return warnings


def _request_problems(document: Document, definition: Document | None) -> Problems:
    yield from required("", document, "taskDefinition")
    cluster = document.get("cluster")
    if cluster is not None and not cluster.startswith("arn:"):
        yield from cluster_name_problems("cluster", cluster)
    yield from word_problems("group", document, _GROUP, "1 to 255 letters, digits and _ . : / -")
    yield from word_problems("startedBy", document, _STARTED_BY, "1 to 128 letters, digits and _ / -")
    yield from word_problems("clientToken", document, CLIENT_TOKEN, "1 to 64 visible ASCII characters")
    yield from one_of("launchType", document.get("launchType"), COMPATIBILITIES)
    yield from one_of("propagateTags", document.get("propagateTags"), ("TASK_DEFINITION", "NONE"))
    yield from tags_problems("tags", document.get("tags", ()))
    for key, why in _NOT_YET.items():
        if document.get(key):
            yield Problem(key, why)
    yield from _override_problems(document.get("overrides", {}), definition)


def word_problems(key: str, document: Document, rule: re.Pattern[str], how: str) -> Problems:
    text = document.get(key)
    if text is not None and not rule.fullmatch(text):
        yield Problem(key, f"{quoted(text)} is not allowed; use {how}")


def _placement_problems(document: Document, definition: Document | None) -> Problems:
    yield from between("count", document.get("count"), 1, COUNT_MAX)
    yield from one_of("onDisconnect", document.get("onDisconnect"), ON_DISCONNECT)
    yield from constraint_problems(document, ("distinctInstance", "memberOf"))
    own, given = len((definition or {}).get("placementConstraints", ())), len(document.get("placementConstraints", ()))
    if own and given <= CONSTRAINTS_MAX < own + given:
        yield Problem(
            "placementConstraints",
            f"has {given} entries and the task definition {own} more; at most {CONSTRAINTS_MAX} are allowed together",
        )
    yield from strategy_problems(document)


def strategy_problems(document: Document) -> Problems:
    """placementStrategy."""
    strategies = document.get("placementStrategy", ())
    yield from at_most("placementStrategy", strategies, STRATEGIES_MAX)
    for index, strategy in enumerate(strategies[:STRATEGIES_MAX]):
        yield from _one_strategy_problems(f"placementStrategy[{index}]", strategy)


def _one_strategy_problems(path: str, strategy: Document) -> Problems:
    kind, field = strategy.get("type"), strategy.get("field")
    yield from required(path, strategy, "type")
    yield from one_of(f"{path}.type", kind, STRATEGIES)
    if kind in ("random", "fragmentation", "image") and field:
        yield Problem(f"{path}.field", f"{kind} takes no field; take it out")
    # The services take CPU and MEMORY, too, and print them in lower case.
    if kind == "binpack" and (field or "").lower() not in BINPACK_FIELDS:
        yield Problem(f"{path}.field", f"must be cpu, memory or gpu for binpack, not {quoted(field)}")
    if kind == "spread" and field not in ("instanceId", "host") and not _SPREAD_ATTRIBUTE.fullmatch(field or ""):
        hint = f"; write attribute:{field}" if field and field.startswith("ecs.") else ""
        rule = "instanceId, host or attribute:<name>"
        yield Problem(f"{path}.field", f"must be {rule} for spread, not {quoted(field)}{hint}")


def _override_problems(overrides: Document, definition: Document | None) -> Problems:
    if not overrides:
        return
    characters = len(json.dumps(overrides, ensure_ascii=False, separators=(",", ":")))
    if characters > OVERRIDES_CHARACTERS_MAX:
        yield Problem("overrides", f"have {characters} characters; at most {OVERRIDES_CHARACTERS_MAX} are allowed")
        return
    yield from task_size_problems(overrides, "overrides")
    for key in ("taskRoleArn", "inferenceAcceleratorOverrides", "ephemeralStorage"):
        if overrides.get(key):
            yield Problem(f"overrides.{key}", "is not supported yet; leave it out")
    containers = overrides.get("containerOverrides", ())
    for index, override in enumerate(containers):
        yield from _container_override_problems(f"overrides.containerOverrides[{index}]", override, definition)
    names = [
        (f"overrides.containerOverrides[{index}].name", override["name"])
        for index, override in enumerate(containers)
        if "name" in override
    ]
    yield from unique(names, "{value} is overridden twice, first by {first}; join them")
    yield from _device_problems(containers, definition)


def _device_problems(overrides: Sequence[Document], definition: Document | None) -> Problems:
    """Whether the devices that the overrides ask for can be handed out, with those of the other containers."""
    path = "overrides.containerOverrides"
    if not any(override.get("resourceRequirements") for override in overrides):
        return
    problems = [
        problem
        for index, override in enumerate(overrides)
        for problem in requirement_problems(f"{path}[{index}]", override, None)
    ] or list(device_problems(path, overrides))
    if problems:
        yield from problems
    elif definition is not None:
        by_name = {override.get("name"): override for override in overrides}
        containers = [
            {"resourceRequirements": requirements.effective(each, by_name.get(each.get("name"), {}))}
            for each in definition.get("containerDefinitions", ())
        ]
        yield from gpu_problems(path, containers)


def _container_override_problems(path: str, override: Document, definition: Document | None) -> Problems:
    name = override.get("name")
    yield from required(path, override, "name")
    container: Document = {}
    if name and definition is not None:
        by_name = {each.get("name"): each for each in definition.get("containerDefinitions", ())}
        if name not in by_name:
            known = ", ".join(str(each) for each in by_name)
            yield Problem(f"{path}.name", f"{quoted(name)} is no container of the task definition; it has {known}")
        container = by_name.get(name, {})
    sizes = {key: container[key] for key in ("memory", "memoryReservation") if key in container}
    yield from resource_problems(path, {**sizes, **override})
    for index, argument in enumerate(override.get("command", ())):
        yield from without_nul(f"{path}.command[{index}]", argument)
    for index, variable in enumerate(override.get("environment", ())):
        yield from environment_name(f"{path}.environment[{index}].name", variable.get("name"))
        yield from without_nul(f"{path}.environment[{index}].value", variable.get("value"))
    yield from environment_files_problems(f"{path}.environmentFiles", override.get("environmentFiles", ()))
    yield from unread_file_problems(f"{path}.environmentFiles", override)
