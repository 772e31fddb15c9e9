"""What the engine in memory makes of the body of a create call. Pure."""

import re
from collections.abc import Mapping
from typing import Any

NETWORKS = ("bridge", "default", "host", "none")
MEMORY_MIN = 6 << 20
_TRAP = re.compile(r"'exit (\d+)' TERM")


def host(body: Mapping[str, Any]) -> Mapping[str, Any]:
    return body.get("HostConfig") or {}


def volumes(body: Mapping[str, Any]) -> list[str]:
    return [mount["Source"] for mount in host(body).get("Mounts", ()) if mount["Type"] == "volume"]


def refusal(body: Mapping[str, Any]) -> str:
    """Why no container is made of this; empty if one is."""
    limits = host(body)
    memory, reserved = limits.get("Memory", 0), limits.get("MemoryReservation", 0)
    if not body.get("WorkingDir", "/").startswith("/"):
        return f"the working directory '{body['WorkingDir']}' is invalid, it needs to be an absolute path"
    if 0 < memory < MEMORY_MIN:
        return "Minimum memory limit allowed is 6MB"
    if conflict := _conflict(body):
        return f"conflicting options: {conflict}"
    if 0 < memory < reserved:
        return "Minimum memory limit can not be less than memory reservation limit, see usage"
    return ""


def joins(body: Mapping[str, Any]) -> str | None:
    """Of whose network it is."""
    mode = str(host(body).get("NetworkMode", ""))
    return mode.removeprefix("container:") if mode.startswith("container:") else None


def _conflict(body: Mapping[str, Any]) -> str:
    """What the engine does not let a container bring into another one's network."""
    if joins(body) is None:
        return ""
    if body.get("Hostname"):
        return "hostname and the network mode"
    if body.get("ExposedPorts"):
        return "port exposing and the container type network mode"
    return next((words for field, words in _NOT_INTO_ANOTHERS.items() if host(body).get(field)), "")


_NOT_INTO_ANOTHERS = {
    "Links": "container type network can't be used with links. This would result in undefined behavior",
    "Dns": "dns and the network mode",
    "ExtraHosts": "custom host-to-IP mapping and the network mode",
    "PortBindings": "port publishing and the container type network mode",
}


def command(body: Mapping[str, Any]) -> list[str]:
    return [*body.get("Entrypoint", ()), *body.get("Cmd", ())]


def cannot_start(body: Mapping[str, Any]) -> str:
    """What keeps a container from starting; empty if nothing does."""
    network, program = host(body).get("NetworkMode", "default"), command(body)[0]
    if network not in NETWORKS and not network.startswith("container:"):
        return f"network {network} not found"
    if program not in ("sleep", "sh", "/pause"):
        return f'exec: "{program}": executable file not found in $PATH'
    return ""


def trapped(words: str) -> int | None:
    found = _TRAP.fullmatch(words)
    return int(found.group(1)) if found else None
