"""The cpu and memory of a task as hard limits over all its containers together: one cgroup for each such task, the
parent of theirs, made before the first of them and removed after the last.

With the engine's cgroupfs driver it is a folder of version 1 or 2 of cgroups; with its systemd driver a slice, of which
systemd is told the limits beforehand: it makes the cgroup when the first container needs it.
"""

import os
import shutil
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shoal import cgroups
from shoal.cgroups import Systemd
from shoal.quantity import cpu_units, memory_mib

from shoal_agent.engine.port import EngineFacts

Document = Mapping[str, Any]

CPU_PERIOD_MICROS = 100_000
_CPU_QUOTA_MICROS_MIN = 1000
_CPU_SHARES_MIN, _CPU_SHARES_MAX = 2, 262_144
_MIB = 1024 * 1024

UNASKED = "the engine has not been asked yet"

# Linux's number for the first cgroup namespace: PROC_CGROUP_INIT_INO.
_HOST_NAMESPACE = 0xEFFFFFFB


@dataclass(frozen=True, slots=True)
class Limits:
    """cpu in units (1024 a core), memory in MiB, and how much may be swapped out beyond it; None is no limit."""

    cpu: int | None = None
    memory_mib: int | None = None
    swap_mib: int = 0


@dataclass(frozen=True, slots=True)
class Setting:
    """`optional` ones are left out on a kernel that does not have them."""

    controller: str
    file: str
    value: str
    optional: bool = False


def limits(definition: Document, overrides: Document) -> Limits | None:
    """Of a task, if its definition or RunTask gives it any. Raises ValueError for amounts that are none."""
    cpu = overrides.get("cpu") or definition.get("cpu")
    memory = overrides.get("memory") or definition.get("memory")
    if not cpu and not memory:
        return None
    containers = definition.get("containerDefinitions", ())
    return Limits(
        cpu=cpu_units(cpu) if cpu else None,
        memory_mib=memory_mib(memory) if memory else None,
        swap_mib=sum(container.get("linuxParameters", {}).get("maxSwap", 0) for container in containers),
    )


def settings(version: int, wanted: Limits) -> list[Setting]:
    """What is written into the cgroup, in this order. Pure."""
    return [*_memory_settings(version, wanted), *_cpu_settings(version, wanted)]


def _memory_settings(version: int, wanted: Limits) -> Iterator[Setting]:
    if wanted.memory_mib is None:
        return
    memory, swap = wanted.memory_mib * _MIB, wanted.swap_mib * _MIB
    if version == 1:
        yield Setting("memory", "memory.use_hierarchy", "1", optional=True)
        yield Setting("memory", "memory.limit_in_bytes", str(memory))
        yield Setting("memory", "memory.memsw.limit_in_bytes", str(memory + swap), optional=True)
    else:
        yield Setting("memory", "memory.max", str(memory))
        yield Setting("memory", "memory.swap.max", str(swap), optional=True)


def _cpu_settings(version: int, wanted: Limits) -> Iterator[Setting]:
    if wanted.cpu is None:
        return
    quota = max(_CPU_QUOTA_MICROS_MIN, wanted.cpu * CPU_PERIOD_MICROS // 1024)
    shares = _shares(wanted.cpu)
    if version == 1:
        yield Setting("cpu", "cpu.cfs_period_us", str(CPU_PERIOD_MICROS))
        yield Setting("cpu", "cpu.cfs_quota_us", str(quota))
        yield Setting("cpu", "cpu.shares", str(shares))
    else:
        yield Setting("cpu", "cpu.max", f"{quota} {CPU_PERIOD_MICROS}")
        yield Setting("cpu", "cpu.weight", str(_weight(shares)))


def _shares(cpu: int) -> int:
    return min(max(_CPU_SHARES_MIN, cpu), _CPU_SHARES_MAX)


def _weight(shares: int) -> int:
    """As the engine turns the shares of a container into a weight."""
    return 1 + (shares - _CPU_SHARES_MIN) * 9999 // (_CPU_SHARES_MAX - _CPU_SHARES_MIN)


def properties(version: int, wanted: Limits) -> list[str]:
    """What systemd is told of a slice. Pure. It reads hundredths of a percent."""
    told = []
    if wanted.memory_mib is not None:
        told += [f"MemoryMax={wanted.memory_mib * _MIB}", f"MemorySwapMax={wanted.swap_mib * _MIB}"]
    if wanted.cpu is not None:
        hundredths = -(-wanted.cpu * 10_000 // 1024)
        shares = _shares(wanted.cpu)
        told.append(f"CPUQuota={hundredths // 100}.{hundredths % 100:02d}%")
        told.append(f"CPUShares={shares}" if version == 1 else f"CPUWeight={_weight(shares)}")
    return told


@dataclass(frozen=True, slots=True)
class Cgroups:
    """Those of one instance's tasks. `version` 0: none are made, for the reason given. `systemd`: it makes them."""

    instance: str
    version: int = 0
    reason: str = UNASKED
    systemd: Systemd | None = None
    root: Path = cgroups.ROOT

    @property
    def attributes(self) -> dict[str, str]:
        """What the instance says of itself: whether limits of a task hold for all its containers together."""
        if self.reason == UNASKED:
            return {}
        return {"shoal.task-limits": "task" if self.version else "container"}

    def parent(self, task_id: str) -> str:
        """As the engine takes it for a container's CgroupParent."""
        if self.systemd is not None:
            return cgroups.slice_of(self.instance, task_id)
        return f"/{cgroups.PARENT}/{cgroups.name_of(self.instance, task_id)}"

    def make(self, task_id: str, wanted: Limits) -> str:
        """Returns the parent for the task's containers. What is there already is made to fit. Raises OSError."""
        if self.systemd is not None:
            told = properties(self.version, wanted)
            self.systemd.ask("set-property", "--runtime", self.parent(task_id), *told)
            return self.parent(task_id)
        wanted_settings = settings(self.version, wanted)
        if self.version == 2:
            self._hand_down({setting.controller for setting in wanted_settings})
        for setting in wanted_settings:
            folder = self._folder(setting.controller, task_id)
            folder.mkdir(parents=True, exist_ok=True)
            file = folder / setting.file
            if setting.optional and (not file.exists() or file.read_text().strip() == setting.value):
                continue
            file.write_text(setting.value)
        return self.parent(task_id)

    def _hand_down(self, controllers: set[str]) -> None:
        """In version 2 a cgroup has only the controllers that all above it hand down."""
        (self.root / cgroups.PARENT).mkdir(exist_ok=True)
        words = " ".join(f"+{controller}" for controller in sorted(controllers))
        for folder in (self.root, self.root / cgroups.PARENT):
            (folder / "cgroup.subtree_control").write_text(words)

    def _folder(self, controller: str, task_id: str) -> Path:
        hierarchy = self.root / controller if self.version == 1 else self.root
        return hierarchy / self.parent(task_id).removeprefix("/")

    def keep_only(self, task_ids: Collection[str]) -> None:
        """Removes those of other tasks: an agent may be killed before it does."""
        if self.version:
            cgroups.keep_only(self.instance, task_ids, self.root, self.systemd)

    def remove(self, task_id: str) -> None:
        if self.version:
            cgroups.remove(self.instance, task_id, self.root, self.systemd)


def found(facts: EngineFacts, instance: str, local: bool, root: Path = cgroups.ROOT) -> Cgroups:
    """Those that can be made for the containers of an engine. `local`: it runs on this host."""
    reason = _refusal(facts, local, root)
    if reason:
        return Cgroups(instance, reason=reason, root=root)
    systemd = Systemd() if facts.cgroup_driver == "systemd" else None
    return Cgroups(instance, int(facts.cgroup_version), reason="", systemd=systemd, root=root)


def _refusal(facts: EngineFacts, local: bool, root: Path) -> str:
    if not local:
        return "the engine may be on another host; give the agent its unix socket"
    if facts.cgroup_driver not in ("cgroupfs", "systemd") or facts.cgroup_version not in ("1", "2"):
        driver, version = facts.cgroup_driver or "no", facts.cgroup_version or "unknown"
        return f"the engine has {driver} cgroup driver, version {version}; it takes cgroupfs or systemd, version 1 or 2"
    if _namespace() != _HOST_NAMESPACE:
        return "the agent is in a cgroup namespace of its own; run it in the host's"
    if facts.cgroup_driver == "systemd":
        works = os.geteuid() == 0 and shutil.which("systemctl") is not None
        return "" if works else "the agent may not ask systemd for slices; run it as root, with systemctl in its PATH"
    folders = [root] if facts.cgroup_version == "2" else [root / "cpu", root / "memory"]
    closed = [str(folder) for folder in folders if not os.access(folder, os.W_OK)]
    return f"the agent may not write {' and '.join(closed)}; run it as root" if closed else ""


def _namespace() -> int | None:
    try:
        return Path("/proc/self/ns/cgroup").stat().st_ino
    except OSError:
        return None
