"""Linux parameters, limits, kernel parameters and security options of one container."""

import re
from collections.abc import Sequence

from shoal.problems import Problem, quoted

from shoal_scheduler.api.validate_values import (
    Document,
    Problems,
    absolute_path,
    between,
    one_of,
    outside_the_system,
    required,
    unique,
)

_UNLIMITED = -1
# Of these the kernel has no "unlimited".
_LIMITED_ULIMITS = ("nice", "nofile", "rtprio")
ULIMITS = (
    *("core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc"),
    *("rss", "rtprio", "rttime", "sigpending", "stack"),
)
CAPABILITIES = (
    *("ALL", "AUDIT_CONTROL", "AUDIT_READ", "AUDIT_WRITE", "BLOCK_SUSPEND", "BPF", "CHECKPOINT_RESTORE", "CHOWN"),
    *("DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "IPC_LOCK", "IPC_OWNER", "KILL", "LEASE"),
    *("LINUX_IMMUTABLE", "MAC_ADMIN", "MAC_OVERRIDE", "MKNOD", "NET_ADMIN", "NET_BIND_SERVICE", "NET_BROADCAST"),
    *("NET_RAW", "PERFMON", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_ADMIN", "SYS_BOOT", "SYS_CHROOT"),
    *("SYS_MODULE", "SYS_NICE", "SYS_PACCT", "SYS_PTRACE", "SYS_RAWIO", "SYS_RESOURCE", "SYS_TIME"),
    *("SYS_TTY_CONFIG", "SYSLOG", "WAKE_ALARM"),
)
_TMPFS_OPTIONS = re.compile(
    r"(defaults|r[ow]|(no)?(suid|dev|exec)|a?sync|dirsync|remount|(no)?mand|(no)?(dir)?atime|r?bind|r?unbindable"
    r"|r?private|r?shared|r?slave|(no)?(rel|strict)atime|(mode|uid|gid|nr_inodes|nr_blocks|mpol)(=[\w:%.-]+)?)"
)
_IPC_PARAMETERS = re.compile(r"kernel\.(msg(max|mnb|mni)|sem|shm(all|max|mni|_rmid_forced))|fs\.mqueue\..+")
_SECURITY_PREFIXES = ("no-new-privileges", "apparmor:", "label:", "seccomp:", "credentialspec")


def linux_problems(path: str, container: Document, definition: Document) -> Problems:
    parameters = container.get("linuxParameters", {})
    yield from _parameter_problems(f"{path}.linuxParameters", parameters)
    yield from _capability_problems(f"{path}.linuxParameters.capabilities", parameters.get("capabilities", {}))
    yield from _device_problems(f"{path}.linuxParameters.devices", parameters.get("devices", ()))
    yield from _tmpfs_problems(f"{path}.linuxParameters.tmpfs", parameters.get("tmpfs", ()))
    yield from _ulimit_problems(f"{path}.ulimits", container.get("ulimits", ()))
    yield from _kernel_problems(f"{path}.systemControls", container.get("systemControls", ()), definition)
    for index, option in enumerate(container.get("dockerSecurityOptions", ())):
        if not option.startswith(_SECURITY_PREFIXES) or not option.isprintable():
            yield Problem(
                f"{path}.dockerSecurityOptions[{index}]",
                f"{quoted(option)} is unknown; use no-new-privileges, apparmor:PROFILE or label:VALUE",
            )


def _parameter_problems(path: str, parameters: Document) -> Problems:
    yield from between(f"{path}.sharedMemorySize", parameters.get("sharedMemorySize"), 1, 2**31 - 1, "MiB")
    yield from between(f"{path}.maxSwap", parameters.get("maxSwap"), 0, 2**31 - 1, "MiB")
    yield from between(f"{path}.swappiness", parameters.get("swappiness"), 0, 100)


def _capability_problems(path: str, capabilities: Document) -> Problems:
    for key in ("add", "drop"):
        for index, name in enumerate(capabilities.get(key, ())):
            field = f"{path}.{key}[{index}]"
            if name.startswith("CAP_") and name.removeprefix("CAP_") in CAPABILITIES:
                yield Problem(field, f"write {name.removeprefix('CAP_')}, without CAP_")
            elif name not in CAPABILITIES:
                yield Problem(field, f"{quoted(name)} is no capability; write one such as NET_ADMIN, or ALL")


def _device_problems(path: str, devices: Sequence[Document]) -> Problems:
    for index, device in enumerate(devices):
        at = f"{path}[{index}]"
        yield from absolute_path(f"{at}.hostPath", device.get("hostPath"))
        if device.get("containerPath") is not None:
            yield from absolute_path(f"{at}.containerPath", device["containerPath"])
        for number, permission in enumerate(device.get("permissions", ())):
            yield from one_of(f"{at}.permissions[{number}]", permission, ("read", "write", "mknod"))


def _tmpfs_problems(path: str, mounts: Sequence[Document]) -> Problems:
    for index, mount in enumerate(mounts):
        at = f"{path}[{index}]"
        yield from absolute_path(f"{at}.containerPath", mount.get("containerPath"))
        yield from outside_the_system(f"{at}.containerPath", mount.get("containerPath", ""))
        if "size" not in mount:
            yield Problem(f"{at}.size", "is required: the size in MiB")
        yield from between(f"{at}.size", mount.get("size"), 1, 2**31 - 1, "MiB")
        for number, option in enumerate(mount.get("mountOptions", ())):
            if not _TMPFS_OPTIONS.fullmatch(option):
                yield Problem(f"{at}.mountOptions[{number}]", f"{quoted(option)} is no option of a tmpfs mount")


def _ulimit_problems(path: str, ulimits: Sequence[Document]) -> Problems:
    for index, ulimit in enumerate(ulimits):
        at, name = f"{path}[{index}]", ulimit.get("name")
        yield from required(at, ulimit, "name", "softLimit", "hardLimit")
        yield from one_of(f"{at}.name", name, ULIMITS)
        soft, hard = ulimit.get("softLimit", 0), ulimit.get("hardLimit", _UNLIMITED)
        lowest = 0 if name in _LIMITED_ULIMITS else _UNLIMITED
        meaning = f"; {name} cannot be unlimited" if lowest == 0 else "; -1 means unlimited"
        for key in ("softLimit", "hardLimit"):
            if ulimit.get(key, 0) < lowest:
                yield Problem(f"{at}.{key}", f"must be {lowest} or more, not {ulimit[key]}{meaning}")
        if hard != _UNLIMITED and (soft == _UNLIMITED or soft > hard):
            yield Problem(f"{at}.softLimit", f"must not be above the hardLimit of {hard}; lower it")
    names = [(f"{path}[{index}].name", ulimit["name"]) for index, ulimit in enumerate(ulimits) if "name" in ulimit]
    yield from unique(names, "{value} is set twice, first by {first}; keep one of them")


def _kernel_problems(path: str, controls: Sequence[Document], definition: Document) -> Problems:
    for index, control in enumerate(controls):
        at, name = f"{path}[{index}]", control.get("namespace", "")
        field = f"{at}.namespace"
        yield from required(at, control, "namespace", "value")
        is_ipc = _IPC_PARAMETERS.fullmatch(name) is not None
        if name and not is_ipc and not name.startswith("net."):
            rule = "only net.*, fs.mqueue.* and the kernel.msg*, kernel.sem and kernel.shm* of a container"
            yield Problem(field, f"{quoted(name)} is the whole instance's; {rule} can be set")
        if is_ipc and definition.get("ipcMode") == "host":
            yield Problem(field, f"{quoted(name)} cannot be set with ipcMode host: it is the instance's own")
        if name.startswith("net.") and definition.get("networkMode") == "host":
            yield Problem(field, f"{quoted(name)} cannot be set with networkMode host: it is the instance's own")
