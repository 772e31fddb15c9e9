"""Volumes of a task definition as mounts of a container. Pure but for resolving links in paths of the host.

A path of the host is given only below a path the operator has listed. Links are resolved on both sides first and
the resolved path is what is mounted, so that a link cannot lead out of the list, neither now nor when it is
changed later.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from shoal_agent.configuration import Configuration
from shoal_agent.definition.permissions import PRIVILEGED
from shoal_agent.definition.refusal import Refused

Document = Mapping[str, Any]

_ELSEWHERE = (
    "efsVolumeConfiguration",
    "s3filesVolumeConfiguration",
    "fsxWindowsFileServerVolumeConfiguration",
    "configuredAtLaunch",
)


def mounts(container: Document, volumes: Sequence[Document], name_of: Any, rules: Configuration) -> list[Document]:
    """The engine's Mounts. `name_of(volume)` names a volume that lives as long as the task. Raises Refused."""
    by_name = {volume.get("name"): (position, volume) for position, volume in enumerate(volumes)}
    result: list[Document] = []
    for position, point in enumerate(container.get("mountPoints", ())):
        path = f"mountPoints[{position}]"
        if point.get("sourceVolume") not in by_name:
            raise Refused(f"{path}.sourceVolume", f"no volume is named {point.get('sourceVolume')!r}")
        number, volume = by_name[point["sourceVolume"]]
        target = point.get("containerPath") or ""
        if not PurePosixPath(target).is_absolute():
            raise Refused(f"{path}.containerPath", "must be an absolute path")
        source = _source(f"volumes[{number}]", volume, name_of, rules)
        result.append({**source, "Target": target, "ReadOnly": bool(point.get("readOnly"))})
    return result


def as_binds(mounts: Sequence[Document]) -> tuple[list[str], list[Document]]:
    """Folders of the host as the engine's Binds, and the other mounts.

    Of a bind the engine makes the folder if it is not there, as in ECS; of a mount it does not. Paths with a colon
    cannot be written as binds.
    """
    binds, others = [], []
    for mount in mounts:
        if mount["Type"] == "bind" and ":" not in mount["Source"] + mount["Target"]:
            binds.append(f"{mount['Source']}:{mount['Target']}" + (":ro" if mount["ReadOnly"] else ""))
        else:
            others.append(mount)
    return binds, others


def task_volumes(volumes: Sequence[Document]) -> list[str]:
    """Names of those that are made for the task and go with it."""
    return [volume["name"] for volume in volumes if _lives_with_task(volume)]


def _lives_with_task(volume: Document) -> bool:
    docker = volume.get("dockerVolumeConfiguration")
    if docker is not None:
        return bool((docker.get("scope") or "task") == "task")
    return not volume.get("host", {}).get("sourcePath") and not _elsewhere(volume)


def _elsewhere(volume: Document) -> str | None:
    return next((kind for kind in _ELSEWHERE if volume.get(kind)), None)


def _source(path: str, volume: Document, name_of: Any, rules: Configuration) -> Document:
    elsewhere = _elsewhere(volume)
    if elsewhere is not None:
        raise Refused(f"{path}.{elsewhere}", "this instance has host and docker volumes only")
    docker = volume.get("dockerVolumeConfiguration")
    if docker is not None:
        return _docker_volume(f"{path}.dockerVolumeConfiguration", volume, docker, name_of, rules)
    wanted = volume.get("host", {}).get("sourcePath")
    if not wanted:
        return {"Type": "volume", "Source": name_of(volume["name"])}
    return {"Type": "bind", "Source": path_below(f"{path}.host.sourcePath", wanted, rules.host_mounts, "host_mounts")}


def _docker_volume(path: str, volume: Document, docker: Document, name_of: Any, rules: Configuration) -> Document:
    options, driver = dict(docker.get("driverOpts", {})), docker.get("driver") or "local"
    if not (rules.allow_privileged or (driver == "local" and _harmless(options, rules.nfs_servers))):
        # The local driver's options can mount any device or folder of the host.
        where = f"{path}.driverOpts" if options else f"{path}.driver"
        raise Refused(where, f"not allowed on this instance; {PRIVILEGED}, or list its NFS server in nfs_servers")
    name = name_of(volume["name"]) if _lives_with_task(volume) else volume["name"]
    if not _lives_with_task(volume) and name.startswith("shoal."):
        raise Refused(f"{path}", "the name of a shared volume may not begin with 'shoal.'")
    labels = docker.get("labels", {})
    if forged := [key for key in labels if key.lower().startswith("shoal.")]:
        raise Refused(f"{path}.labels.{forged[0]}", "labels that begin with shoal. are the agent's; rename it")
    details = {"Labels": labels, "DriverConfig": {"Name": driver, "Options": options}}
    return {"Type": "volume", "Source": name, "VolumeOptions": details}


def _harmless(options: Document, nfs_servers: Sequence[str]) -> bool:
    """None, or a mount of a listed NFS server: {"type": "nfs", "o": "addr=10.0.0.5,rw", "device": ":/exports/data"}."""
    if not options:
        return True
    named = [word.removeprefix("addr=") for word in options.get("o", "").split(",") if word.startswith("addr=")]
    is_nfs = options.get("type") in ("nfs", "nfs4") and options.get("device", "").startswith(":/")
    return is_nfs and options.keys() <= {"type", "o", "device"} and len(named) == 1 and named[0] in nfs_servers


def must_exist(container: Document, volumes: Sequence[Document]) -> tuple[tuple[str, str], ...]:
    """Shared volumes that nobody makes for the container: where they are declared, and their names."""
    mounted = {point.get("sourceVolume") for point in container.get("mountPoints", ())}
    return tuple(
        (f"volumes[{position}].dockerVolumeConfiguration.autoprovision", volume["name"])
        for position, volume in enumerate(volumes)
        if volume.get("name") in mounted
        and (docker := volume.get("dockerVolumeConfiguration")) is not None
        and docker.get("scope") == "shared"
        and not docker.get("autoprovision")
    )


def path_below(path: str, wanted: str, allowed: Sequence[str], key: str) -> str:
    """`wanted` with its links resolved, if that lies at or below one of `allowed`, which `key` of the agent's
    configuration lists. Raises Refused."""
    if not PurePosixPath(wanted).is_absolute() or "\0" in wanted:
        raise Refused(path, f"{wanted!r} is not an absolute path")
    real = os.path.realpath(wanted)
    for permitted in map(os.path.realpath, allowed):
        if real == permitted or real.startswith(permitted.rstrip("/") + "/"):
            return real
    shown = wanted if real == wanted else f"{wanted} (really {real})"
    raise Refused(path, f"{shown} is not below any path that {key} in the agent's configuration lists")
