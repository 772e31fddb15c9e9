"""What a registered task definition may ask for that this version cannot run.

Running such a task without what it asks for would be worse than not running it, so RunTask refuses it by name.
"""

from collections.abc import Sequence

from shoal import requirements
from shoal.problems import Problem

from shoal_scheduler.api.validate_logs import log_runnable_problems
from shoal_scheduler.api.validate_values import Document, Problems
from shoal_scheduler.api.validate_volumes import VOLUME_KINDS

_MANAGED_VOLUMES = tuple(kind for kind in VOLUME_KINDS if kind not in ("host", "dockerVolumeConfiguration"))
_NOT_YET = {
    "secrets": "secrets are not delivered yet",
    "firelensConfiguration": "log routers are not supported yet",
    "credentialSpecs": "credential specifications are not supported yet",
    "repositoryCredentials": "secrets are not there yet; agents read a registry_credentials_file",
}

_NOT_SUPPORTED = {
    "inferenceAccelerators": "are not supported",
    "trustedExecutionConfiguration": "instances have no trusted execution to offer",
}


def runnable_problems(document: Document) -> list[Problem]:
    """Why a task of this definition cannot be run now; [] if it can."""
    return list(_problems(document))


def _problems(document: Document) -> Problems:
    containers = document.get("containerDefinitions", [])
    if document.get("taskRoleArn"):
        yield Problem("taskRoleArn", "roles are not given to tasks yet; register it without")
    for key, why in _NOT_SUPPORTED.items():
        if document.get(key):
            yield Problem(key, f"{why}; register it without")
    for index, container in enumerate(containers):
        for key, why in _NOT_YET.items():
            if container.get(key):
                yield Problem(f"containerDefinitions[{index}].{key}", f"{why}; register it without")
        yield from unread_file_problems(f"containerDefinitions[{index}].environmentFiles", container)
        path = f"containerDefinitions[{index}].logConfiguration"
        yield from log_runnable_problems(path, container.get("logConfiguration", {}))
    yield from device_problems("containerDefinitions", containers)
    for index, volume in enumerate(document.get("volumes", ())):
        for kind in _MANAGED_VOLUMES:
            if kind in volume:
                yield Problem(f"volumes[{index}].{kind}", "cannot be mounted yet; use host or a Docker volume")
        if volume.get("configuredAtLaunch"):
            yield Problem(f"volumes[{index}].configuredAtLaunch", "cannot be made yet; use host or a Docker volume")


def unread_file_problems(path: str, container: Document) -> Problems:
    """Of a container or of an override of one: what there is nothing to fetch with."""
    for index, file in enumerate(container.get("environmentFiles", ())):
        if file.get("type") == "s3":
            how = 'keep the file on the instances and write {"type": "file", "value": "file:///srv/web.env"}'
            yield Problem(f"{path}[{index}].value", f"there is no object store to read it from yet; {how}")


def device_problems(path: str, containers: Sequence[Document]) -> Problems:
    """Devices of the containers at `path` that cannot be handed out, alone or together."""
    told = False
    for index, container in enumerate(containers):
        for number, requirement in enumerate(container.get("resourceRequirements", ())):
            at, kind = f"{path}[{index}].resourceRequirements[{number}]", requirement.get("type")
            if kind in requirements.ACCELERATORS:
                yield Problem(f"{at}.type", f"{kind} is not handed out; leave it out")
            elif kind == requirements.GPU and requirement.get("value") == "ALL":
                told = True
                yield Problem(f"{at}.value", "ALL is another number on each instance; write how many GPUs it needs")
    if not told:
        yield from gpu_problems(path, containers)


def gpu_problems(path: str, containers: Sequence[Document]) -> Problems:
    """What containers that are all right alone cannot have together."""
    try:
        requirements.task_gpus(container.get("resourceRequirements", ()) for container in containers)
    except ValueError as wrong:
        yield Problem(path, str(wrong))
