"""A job definition as a whole: what RegisterJobDefinition refuses, all of it at once, and what it warns of.

What its containers may ask for is what RegisterTaskDefinition says of the task definition derived from it, told with
the fields of the job definition. Of what can be registered there and not be run yet, all but a role is refused here.
"""

import json
from collections.abc import Iterator
from itertools import islice

from shoal.problems import Problem, quoted

from shoal_scheduler.api.batch.validate_jobs import (
    consumables_problems,
    environment_problems,
    name_problems,
    parameters_problems,
    priority_problems,
    retry_problems,
    size_problems,
    timeout_problems,
)
from shoal_scheduler.api.validate_runnable import runnable_problems
from shoal_scheduler.api.validate_task_definition import task_definition_problems, task_definition_warnings
from shoal_scheduler.api.validate_values import Document, Problems, one_of
from shoal_scheduler.api.validate_values import size_problems as bytes_problems
from shoal_scheduler.control.batch.task_definition import Derived, task_definition_of

DOCUMENT_BYTES_MAX = 24 * 1024
PLATFORMS = ("EC2", "FARGATE", "MANAGED_INSTANCES")
_PROBLEMS_MAX = 50
_KINDS = ("containerProperties", "ecsProperties")
_REFUSED = {
    "nodeProperties": "jobs over several instances are not there yet; use containerProperties or ecsProperties",
    "eksProperties": "there is no Kubernetes here; use containerProperties or ecsProperties",
}
_WITHOUT_EFFECT = {
    "networkConfiguration": "has no effect: a task's network is on the bridge of its instance",
    "fargatePlatformConfiguration": "has no effect: jobs run on this cluster's own instances",
    "platformVersion": "has no effect: jobs run on this cluster's own instances",
}


def job_definition_problems(document: Document) -> list[Problem]:
    """Everything that keeps the document from being registered (the first 50 of it)."""
    size_bytes = len(json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace"))
    if size_bytes > DOCUMENT_BYTES_MAX:
        return list(bytes_problems(size_bytes, DOCUMENT_BYTES_MAX))
    return list(islice(_problems(document), _PROBLEMS_MAX))


def job_definition_warnings(document: Document) -> list[Problem]:
    """Of a definition without problems: what is accepted but does not do here what it does in the cloud."""
    derived = task_definition_of(document)
    task = {"family": document["jobDefinitionName"], **derived.document}
    return [*_own_warnings(document), *_from(derived, task_definition_warnings(task))]


def _problems(document: Document) -> Problems:
    yield from name_problems("jobDefinitionName", document.get("jobDefinitionName"))
    yield from _kind_problems(document)
    yield from priority_problems("schedulingPriority", document.get("schedulingPriority"))
    yield from parameters_problems("parameters", document.get("parameters", {}))
    yield from retry_problems("retryStrategy", document.get("retryStrategy", {}))
    if "timeout" in document:
        yield from timeout_problems("timeout", document["timeout"])
    for index, word in enumerate(document.get("platformCapabilities", ())):
        yield from one_of(f"platformCapabilities[{index}]", word, PLATFORMS)
    yield from consumables_problems("consumableResourceProperties", document.get("consumableResourceProperties", {}))
    if sum(kind in document for kind in _KINDS) == 1 and _containers(document):
        own = list(_container_problems(document))
        yield from own
        told = {problem.field for problem in own}
        derived = task_definition_of(document)
        task = {"family": "job", **derived.document}
        cannot_run = [problem for problem in runnable_problems(task) if problem.field != "taskRoleArn"]
        for problem in _from(derived, task_definition_problems(task) or cannot_run):
            if problem.field not in told:
                yield problem


def _from(derived: Derived, problems: list[Problem]) -> Iterator[Problem]:
    """Problems of a task definition, told of where it comes from."""
    for problem in problems:
        yield Problem(derived.path(problem.field), problem.message)


def _kind_problems(document: Document) -> Problems:
    kind = document.get("type")
    refused = [key for key in _REFUSED if key in document]
    if kind is None:
        yield Problem("type", "is required: container")
    elif kind == "multinode":
        yield Problem("type", "multinode: jobs over several instances are not there yet; use container")
    else:
        yield from one_of("type", kind, ("container",))
    yield from (Problem(key, _REFUSED[key]) for key in refused)
    given = [key for key in _KINDS if key in document]
    if len(given) > 1:
        yield Problem("ecsProperties", "cannot stand beside containerProperties; keep one of them")
    elif not given and not refused:
        yield Problem("containerProperties", "is required, or ecsProperties for several containers")
    tasks = document.get("ecsProperties", {}).get("taskProperties", ())
    if "ecsProperties" in document and len(tasks) != 1:
        yield Problem("ecsProperties.taskProperties", f"has {len(tasks)} entries; a job is one task, so give one")
    elif tasks and not tasks[0].get("containers"):
        yield Problem("ecsProperties.taskProperties[0].containers", "is required: at least one container")


def _containers(document: Document) -> list[tuple[str, Document]]:
    """With their paths."""
    if "containerProperties" in document:
        return [("containerProperties", document["containerProperties"])]
    tasks = document["ecsProperties"].get("taskProperties", ())
    if len(tasks) != 1:
        return []
    path = "ecsProperties.taskProperties[0].containers"
    return [(f"{path}[{index}]", each) for index, each in enumerate(tasks[0].get("containers", ()))]


def _container_problems(document: Document) -> Problems:
    for path, container in _containers(document):
        yield from size_problems(path, container, complete=True)
        yield from environment_problems(f"{path}.environment", container.get("environment", ()))
        if "instanceType" in container:
            how = "instances are chosen by the expression of a compute environment; leave it out"
            yield Problem(f"{path}.instanceType", f"is for jobs over several instances: {how}")


def _own_warnings(document: Document) -> Problems:
    for index, word in enumerate(document.get("platformCapabilities", ())):
        if word != "EC2":
            yield Problem(f"platformCapabilities[{index}]", f"{word} runs on this cluster's own instances")
    root = "containerProperties" if "containerProperties" in document else "ecsProperties.taskProperties[0]"
    task = document.get("containerProperties") or document["ecsProperties"]["taskProperties"][0]
    for key, why in _WITHOUT_EFFECT.items():
        if key in task:
            yield Problem(f"{root}.{key}", why)
    commands = [(path, each.get("command", ())) for path, each in _containers(document)]
    for path, command in commands:
        if len(command) == 1 and " " in command[0]:
            message = f"is the one word {quoted(command[0])}; write each word by itself, as in a JSON array"
            yield Problem(f"{path}.command[0]", message)
