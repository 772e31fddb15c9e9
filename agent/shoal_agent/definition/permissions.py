"""What a task may have of its host beyond cpu and memory: only what the agent's configuration allows. Pure."""

import os
from collections.abc import Mapping
from typing import Any

from shoal_agent.configuration import Configuration
from shoal_agent.definition.refusal import Refused

Document = Mapping[str, Any]

# With one of these a container can take its host.
_POWERFUL = frozenset(
    {
        *("ALL", "BPF", "CHECKPOINT_RESTORE", "DAC_READ_SEARCH", "MAC_ADMIN", "MAC_OVERRIDE", "PERFMON"),
        *("SYS_ADMIN", "SYS_BOOT", "SYS_MODULE", "SYS_PTRACE", "SYS_RAWIO", "SYS_TIME"),
    }
)
PRIVILEGED = "the agent's configuration must say allow_privileged = true"
_NAMESPACES = "the agent's configuration must say allow_host_namespaces = true"


def check_task(definition: Document, rules: Configuration) -> None:
    """Raises Refused for a namespace of the host that is not allowed."""
    for field in ("pidMode", "ipcMode"):
        if definition.get(field) == "host" and not rules.allow_host_namespaces:
            raise Refused(field, f"the host's namespace is not allowed on this instance; {_NAMESPACES}")


def privileges(container: Document, rules: Configuration) -> dict[str, Any]:
    """The engine's Privileged, CapAdd, CapDrop, SecurityOpt and Devices. Raises Refused."""
    if container.get("privileged") and not rules.allow_privileged:
        raise Refused("privileged", f"not allowed on this instance; {PRIVILEGED}")
    linux = container.get("linuxParameters", {})
    capabilities = linux.get("capabilities", {})
    for position, name in enumerate(capabilities.get("add", ())):
        if name.upper().removeprefix("CAP_") in _POWERFUL and not rules.allow_privileged:
            where = f"linuxParameters.capabilities.add[{position}]"
            raise Refused(where, f"{name} is not allowed on this instance; {PRIVILEGED}")
    return {
        "Privileged": bool(container.get("privileged")),
        "CapAdd": list(capabilities.get("add", ())),
        "CapDrop": list(capabilities.get("drop", ())),
        "SecurityOpt": _security_options(container, rules),
        "Devices": [_device(position, device, rules) for position, device in enumerate(linux.get("devices", ()))],
    }


def _security_options(container: Document, rules: Configuration) -> list[str]:
    options = list(container.get("dockerSecurityOptions", ()))
    for position, option in enumerate(options):
        if not option.startswith("no-new-privileges") and not rules.allow_privileged:
            where = f"dockerSecurityOptions[{position}]"
            raise Refused(where, f"{option} is not allowed on this instance; {PRIVILEGED}")
    return options


def _device(position: int, device: Document, rules: Configuration) -> Document:
    where = f"linuxParameters.devices[{position}].hostPath"
    wanted = device.get("hostPath") or ""
    real = os.path.realpath(wanted)
    if real not in {os.path.realpath(path) for path in rules.devices}:
        raise Refused(where, f"{wanted} is not among the devices that the agent's configuration lists")
    letters = {"read": "r", "write": "w", "mknod": "m"}
    permissions = "".join(letters.get(word, "") for word in device.get("permissions", ())) or "rwm"
    return {
        "PathOnHost": real,
        "PathInContainer": device.get("containerPath") or wanted,
        "CgroupPermissions": permissions,
    }
