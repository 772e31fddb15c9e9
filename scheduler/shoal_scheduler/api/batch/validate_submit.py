"""SubmitJob: what is refused before anything is stored, all of it at once, by the fields of the request.

Ranges and words: the AWS Batch API reference; what is ours says so.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import islice

from shoal import arn
from shoal.problems import Problem, quoted

from shoal_scheduler.api.batch.validate_jobs import (
    consumables_problems,
    environment_problems,
    name_problems,
    parameters_problems,
    priority_problems,
    retry_problems,
    size_problems,
    tag_map_problems,
    timeout_problems,
)
from shoal_scheduler.api.validate_requirements import requirement_problems
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
from shoal_scheduler.control.batch.overrides import command_length
from shoal_scheduler.control.batch.task_definition import CONTAINER, MEMORY, VCPU

REQUEST_BYTES_MAX = 30 * 1024

# AWS's arrays end at 10,000; the rest is ours.
ARRAY_MIN, ARRAY_MAX = 2, 1_000_000
DEPENDENCIES_MAX = 20

# Of a command, once its parameters are in: a short reference may stand for a long value, often.
COMMAND_CHARACTERS_MAX = 30 * 1024

DEPENDENCY_TYPES = ("N_TO_N", "SEQUENTIAL")
_JOB_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_CLIENT_TOKEN = re.compile(r"[!-~]{1,64}")
_PROBLEMS_MAX = 50
_REFUSED = {
    "nodeOverrides": "jobs over several instances are not there yet; leave it out",
    "eksPropertiesOverride": "there is no Kubernetes here; leave it out",
    "shareIdentifier": "queues have no scheduling policy yet: they are first in, first out; leave it out",
}


def submit_problems(document: Document, definition: Document | None) -> list[Problem]:
    """Of a SubmitJobRequest. With the job definition it names, what it overrides is held against that as well."""
    return list(islice(_problems(document, definition), _PROBLEMS_MAX))


def _problems(document: Document, definition: Document | None) -> Problems:
    yield from name_problems("jobName", document.get("jobName"))
    yield from required("", document, "jobQueue", "jobDefinition")
    yield from (Problem(key, why) for key, why in _REFUSED.items() if key in document)
    yield from priority_problems("schedulingPriorityOverride", document.get("schedulingPriorityOverride"))
    yield from _array_problems(document)
    yield from _dependency_problems(document)
    yield from parameters_problems("parameters", document.get("parameters", {}))
    yield from retry_problems("retryStrategy", document.get("retryStrategy", {}))
    if "timeout" in document:
        yield from timeout_problems("timeout", document["timeout"])
    path = "consumableResourcePropertiesOverride"
    yield from consumables_problems(path, document.get(path, {}))
    yield from tag_map_problems(document.get("tags", {}))
    token = document.get("clientToken")
    if token is not None and not _CLIENT_TOKEN.fullmatch(token):
        yield Problem("clientToken", f"{quoted(token)} is not allowed; use 1 to 64 visible ASCII characters")
    yield from _override_problems(document, definition)


def _array_problems(document: Document) -> Problems:
    array = document.get("arrayProperties")
    if array is None:
        return
    yield from required("arrayProperties", array, "size")
    if array.get("size") == 1:
        yield Problem("arrayProperties.size", "is 1; an array has 2 children or more: leave arrayProperties out")
    else:
        yield from between("arrayProperties.size", array.get("size"), ARRAY_MIN, ARRAY_MAX)
    yield from between("arrayProperties.maxConcurrent", array.get("maxConcurrent"), 0, ARRAY_MAX)


def _dependency_problems(document: Document) -> Problems:
    """Whether there are such jobs, and arrays of the same size, is looked at when it is carried out."""
    listed: Sequence[Document] = document.get("dependsOn", ())
    yield from at_most("dependsOn", listed, DEPENDENCIES_MAX)
    for index, each in enumerate(listed[:DEPENDENCIES_MAX]):
        yield from _one_dependency(f"dependsOn[{index}]", each, is_array="arrayProperties" in document)
    named = [
        (f"dependsOn[{index}].jobId", arn.short(each["jobId"]))
        for index, each in enumerate(listed[:DEPENDENCIES_MAX])
        if each.get("jobId")
    ]
    yield from unique(named, "{value} is also {first}; name each job once")


def _one_dependency(path: str, each: Document, *, is_array: bool) -> Problems:
    job, kind = each.get("jobId", ""), each.get("type")
    yield from one_of(f"{path}.type", kind, DEPENDENCY_TYPES)
    if kind in DEPENDENCY_TYPES and not is_array:
        yield Problem(f"{path}.type", f"{kind} is for arrays only; give arrayProperties, or leave type out")
    if kind == "SEQUENTIAL":
        if job:
            yield Problem(f"{path}.jobId", "SEQUENTIAL is between the children of this very job; leave jobId out")
    elif not job:
        yield Problem(f"{path}.jobId", "is required: the id that SubmitJob answered with")
    elif ":" in arn.short(job) and _JOB_ID.fullmatch(arn.short(job).partition(":")[0]):
        yield Problem(f"{path}.jobId", f"{quoted(job)} is a child of an array; name the array, perhaps with N_TO_N")
    elif not _JOB_ID.fullmatch(arn.short(job)):
        yield Problem(f"{path}.jobId", f"{quoted(job)} is not a job's id, which SubmitJob answers with")


def _override_problems(document: Document, definition: Document | None) -> Problems:
    several = definition is not None and "ecsProperties" in definition
    tasks: Sequence[Document] = document.get("ecsPropertiesOverride", {}).get("taskProperties", ())
    if "containerOverrides" in document and several:
        how = "ecsPropertiesOverride with the container's name"
        yield Problem("containerOverrides", f"is for definitions with containerProperties; this one has several: {how}")
    if "ecsPropertiesOverride" in document and definition is not None and not several:
        how = "use containerOverrides"
        yield Problem("ecsPropertiesOverride", f"is for definitions with ecsProperties; this one has none: {how}")
    yield from at_most("ecsPropertiesOverride.taskProperties", tasks, 1)
    overridden = dict(_overridden(document))
    for path, override in overridden.items():
        yield from _one_override(path, override)
    if tasks:
        names = [(f"{path}.name", override.get("name", "")) for path, override in overridden.items() if "[" in path]
        yield from _name_problems(names, definition)
    if definition is not None:
        yield from _command_problems(document, definition, overridden)


def _overridden(document: Document) -> Iterator[tuple[str, Document]]:
    """With their paths."""
    if "containerOverrides" in document:
        yield "containerOverrides", document["containerOverrides"]
    for number, task in enumerate(document.get("ecsPropertiesOverride", {}).get("taskProperties", ())):
        for index, each in enumerate(task.get("containers", ())):
            yield f"ecsPropertiesOverride.taskProperties[{number}].containers[{index}]", each


def _name_problems(names: Sequence[tuple[str, str]], definition: Document | None) -> Problems:
    known = {name for name, _ in _containers(definition)} if definition is not None else None
    for field, name in names:
        if not name:
            yield Problem(field, "is required: which container it is")
        elif known is not None and name not in known:
            listed = ", ".join(sorted(known))
            yield Problem(field, f"{quoted(name)} is no container of the job definition; it has {listed}")
    yield from unique([each for each in names if each[1]], "{value} is overridden twice, first by {first}; join them")


def _containers(definition: Document) -> Iterator[tuple[str, Document]]:
    if "containerProperties" in definition:
        yield CONTAINER, definition["containerProperties"]
    for task in definition.get("ecsProperties", {}).get("taskProperties", ()):
        for each in task.get("containers", ()):
            yield each.get("name", CONTAINER), each


def _one_override(path: str, override: Document) -> Problems:
    for index, word in enumerate(override.get("command", ())):
        yield from without_nul(f"{path}.command[{index}]", word)
    for index, variable in enumerate(override.get("environment", ())):
        yield from environment_name(f"{path}.environment[{index}].name", variable.get("name"))
        yield from without_nul(f"{path}.environment[{index}].value", variable.get("value"))
    yield from environment_problems(f"{path}.environment", override.get("environment", ()))
    yield from size_problems(path, override, complete=False)
    yield from _requirements_problems(f"{path}.resourceRequirements", override.get("resourceRequirements", ()))
    if "instanceType" in override:
        how = "instances are chosen by the expression of a compute environment; leave it out"
        yield Problem(f"{path}.instanceType", f"is for jobs over several instances: {how}")


def _requirements_problems(path: str, listed: Sequence[Document]) -> Problems:
    """Of what is no size: GPUs, and what the cluster has of its own."""
    others = {index: each for index, each in enumerate(listed) if each.get("type") not in (VCPU, MEMORY)}
    for index, each in others.items():
        for problem in requirement_problems("", {"resourceRequirements": [each]}, None):
            yield Problem(problem.field.replace(".resourceRequirements[0]", f"{path}[{index}]"), problem.message)
    types = [(f"{path}[{index}].type", each.get("type", "")) for index, each in others.items()]
    yield from unique(types, "{value} is also the type of {first}; join them")


def _command_problems(document: Document, definition: Document, overridden: Document) -> Problems:
    parameters = {**definition.get("parameters", {}), **document.get("parameters", {})}
    named = {override.get("name", CONTAINER): (path, override) for path, override in overridden.items()}
    for name, container in _containers(definition):
        path, override = named.get(name, ("parameters", {}))
        command = override.get("command") or container.get("command", ())
        length = command_length(command, parameters)
        if length > COMMAND_CHARACTERS_MAX:
            field = f"{path}.command" if override.get("command") else "parameters"
            said = f"make a command of {length} characters"
            yield Problem(field, f"{said}; at most {COMMAND_CHARACTERS_MAX} are allowed, parameters put in")
