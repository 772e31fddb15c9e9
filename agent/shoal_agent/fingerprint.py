"""What this host offers: resources and attributes as ECS names them."""

import os
import platform
import shutil
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from shoal_agent.address import ADDRESS_ATTRIBUTE
from shoal_agent.configuration import RESERVED_PORTS, BadConfiguration, Configuration

CPU_UNITS_PER_CORE = 1024
_ARCHITECTURES = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """cpu in units (1024 a core), memory in MiB; what is reserved is taken off already."""

    cpu: int
    memory_mib: int
    ports: tuple[int, ...]
    ports_udp: tuple[int, ...]
    gpus: tuple[str, ...]
    attributes: Mapping[str, str]
    tags: Mapping[str, str]
    hostname: str
    custom: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Host:
    """The facts, as found."""

    cores: int
    memory_mib: int
    disk_mib: int
    gpus: tuple[str, ...]
    system: str
    machine: str
    hostname: str


def fingerprint(host: Host, rules: Configuration) -> Fingerprint:
    """Pure. What the operator sets wins over what was found. Raises BadConfiguration for another system's family."""
    machine = host.machine.lower()
    attributes = {
        "ecs.os-type": host.system.lower(),
        "ecs.cpu-architecture": _ARCHITECTURES.get(machine, machine),
        "shoal.disk-mib": str(host.disk_mib),
    }
    if family := _os_family(host.system, rules.os_family):
        attributes["ecs.os-family"] = family
    if rules.address:
        attributes[ADDRESS_ATTRIBUTE] = rules.address
    if rules.instance_type:
        attributes["ecs.instance-type"] = rules.instance_type
    if rules.availability_zone:
        attributes["ecs.availability-zone"] = rules.availability_zone
    return Fingerprint(
        cpu=max(0, host.cores * CPU_UNITS_PER_CORE - rules.reserved_cpu),
        memory_mib=max(0, host.memory_mib - rules.reserved_memory_mib),
        ports=tuple(sorted({*RESERVED_PORTS, *rules.reserved_ports})),
        ports_udp=tuple(sorted(rules.reserved_ports_udp)),
        gpus=rules.gpus if rules.gpus is not None else host.gpus,
        attributes=attributes | dict(rules.attributes),
        tags=dict(rules.tags),
        hostname=rules.hostname or host.hostname,
        custom=dict(rules.resources),
    )


def _os_family(system: str, said: str | None) -> str | None:
    """As task definitions ask for it; None if it is not known for sure. Python tells the release of a Windows, but
    not whether it is Core or Full, and a container of the other would not start there: only the operator knows."""
    if said is None:
        return "LINUX" if system == "Linux" else None
    if said.partition("_")[0] != system.upper():
        raise BadConfiguration("os_family", f"{said} cannot be: this host runs {system}")
    return said


def look(disk: Path) -> Host:
    """Reads /proc and the file system that `disk` lies on."""
    return Host(
        cores=os.cpu_count() or 1,
        memory_mib=_memory_mib(Path("/proc/meminfo").read_text()),
        disk_mib=shutil.disk_usage(disk).total // (1024 * 1024),
        gpus=_gpus(Path("/proc/driver/nvidia/gpus")),
        system=platform.system() or "Linux",
        machine=platform.machine(),
        hostname=socket.gethostname(),
    )


def _memory_mib(meminfo: str) -> int:
    for row in meminfo.splitlines():
        if row.startswith("MemTotal:"):
            return int(row.split()[1]) // 1024
    return 0


def _gpus(folder: Path) -> tuple[str, ...]:
    """UUIDs of the NVIDIA GPUs the driver knows: no program of the vendor needs to be there."""
    cards = sorted(folder.glob("*/information")) if folder.is_dir() else []
    rows = [row for card in cards for row in card.read_text().splitlines()]
    return tuple(row.partition(":")[2].strip() for row in rows if row.startswith("GPU UUID:"))
