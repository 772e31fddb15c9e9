"""Volumes of a task definition, and what a container mounts of them."""

from collections.abc import Sequence

from shoal.problems import Problem, member, quoted

from shoal_scheduler.api.validate_names import name_problems
from shoal_scheduler.api.validate_values import (
    Document,
    Problems,
    absolute_path,
    is_windows,
    one_of,
    outside_the_system,
    required,
    unique,
    without_nul,
)

VOLUME_KINDS = (
    "host",
    "dockerVolumeConfiguration",
    "efsVolumeConfiguration",
    "s3filesVolumeConfiguration",
    "fsxWindowsFileServerVolumeConfiguration",
)


def volumes_problems(path: str, volumes: Sequence[Document], *, windows: bool) -> Problems:
    for index, volume in enumerate(volumes):
        yield from _volume_problems(f"{path}[{index}]", volume, windows=windows)
    names = [(f"{path}[{index}].name", volume["name"]) for index, volume in enumerate(volumes) if "name" in volume]
    yield from unique(names, "{value} is also the name of {first}; rename one of them")
    at_launch = [index for index, volume in enumerate(volumes) if volume.get("configuredAtLaunch")]
    for index in at_launch[1:]:
        yield Problem(f"{path}[{index}].configuredAtLaunch", "only one volume can be configured at launch")


def mount_problems(path: str, container: Document, definition: Document) -> Problems:
    """mountPoints and volumesFrom of one container."""
    windows = is_windows(definition)
    declared = {volume.get("name") for volume in definition.get("volumes", ())}
    mounts = container.get("mountPoints", ())
    for index, mount in enumerate(mounts):
        at, source = f"{path}.mountPoints[{index}]", mount.get("sourceVolume")
        yield from absolute_path(f"{at}.containerPath", mount.get("containerPath"), windows=windows)
        yield from outside_the_system(f"{at}.containerPath", mount.get("containerPath", ""))
        if not source:
            yield Problem(f"{at}.sourceVolume", "is required: the name of a volume in volumes")
        elif source not in declared:
            yield Problem(f"{at}.sourceVolume", f"{quoted(source)} is not declared; add it to volumes")
    targets = [
        (f"{path}.mountPoints[{index}].containerPath", mount["containerPath"].rstrip("/"))
        for index, mount in enumerate(mounts)
        if mount.get("containerPath")
    ]
    yield from unique(targets, "{value} is mounted twice, first by {first}; keep one of them")
    yield from _volumes_from_problems(f"{path}.volumesFrom", container, definition)


def _volume_problems(path: str, volume: Document, *, windows: bool) -> Problems:
    yield from name_problems(f"{path}.name", volume.get("name"))
    kinds = [kind for kind in VOLUME_KINDS if kind in volume]
    if len(kinds) > 1:
        yield Problem(path, f"is of several kinds at once: {', '.join(kinds)}; keep one of them")
    if volume.get("configuredAtLaunch") and kinds:
        yield Problem(f"{path}.configuredAtLaunch", f"cannot stand beside {kinds[0]}; keep one of them")
    source = volume.get("host", {}).get("sourcePath")
    if source:
        yield from absolute_path(f"{path}.host.sourcePath", source, windows=windows)
    if "dockerVolumeConfiguration" in volume:
        yield from _docker_problems(f"{path}.dockerVolumeConfiguration", volume["dockerVolumeConfiguration"])
    for kind, names in _REQUIRED.items():
        if kind in volume:
            yield from required(f"{path}.{kind}", volume[kind], *names)
    efs = volume.get("efsVolumeConfiguration", {})
    switch = ("ENABLED", "DISABLED")
    yield from one_of(f"{path}.efsVolumeConfiguration.transitEncryption", efs.get("transitEncryption"), switch)


_REQUIRED = {
    "efsVolumeConfiguration": ("fileSystemId",),
    "s3filesVolumeConfiguration": ("fileSystemArn",),
    "fsxWindowsFileServerVolumeConfiguration": ("fileSystemId", "rootDirectory", "authorizationConfig"),
}


def _docker_problems(path: str, docker: Document) -> Problems:
    scope = docker.get("scope", "task")
    yield from one_of(f"{path}.scope", scope, ("task", "shared"))
    if docker.get("autoprovision") and scope == "task":
        yield Problem(f"{path}.autoprovision", "needs scope shared; a volume of scope task is always made anew")
    for key in ("driverOpts", "labels"):
        for name, value in docker.get(key, {}).items():
            yield from without_nul(member(f"{path}.{key}", name), name, value)
            if key == "labels" and name.lower().startswith("shoal."):
                yield Problem(member(f"{path}.{key}", name), "labels that begin with shoal. are the agent's")


def _volumes_from_problems(path: str, container: Document, definition: Document) -> Problems:
    names = {other.get("name") for other in definition.get("containerDefinitions", ())}
    for index, source in enumerate(container.get("volumesFrom", ())):
        name = source.get("sourceContainer")
        if not name:
            yield Problem(f"{path}[{index}].sourceContainer", "is required: another container's name")
        elif name not in names or name == container.get("name"):
            yield Problem(
                f"{path}[{index}].sourceContainer",
                f"{quoted(name)} is no other container of this task definition",
            )
