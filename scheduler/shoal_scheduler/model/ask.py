"""What a task wants of an instance: resources, ports, constraints, preferences."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import islice
from typing import Any, NamedTuple

from shoal.image_reference import listed_as
from shoal.quantity import cpu_units, memory_mib
from shoal.requirements import MILLI_PER_GPU, custom, effective, task_gpus

from shoal_scheduler.model.definition import Definition

# Definitions whose resources are remembered: as many as are in use at a time, however many there are.
_REMEMBERED = 1024

# Of any resource: what is more counts as this much, so that sums of two stay within 32 bits. No host has a pebibyte.
AMOUNT_MAX = 2**30

# The engine makes no container with less.
MEMORY_MIB_MIN = 6


class Port(NamedTuple):
    """Ports of an instance that a task takes: first to last, mostly one."""

    protocol: str
    first: int
    last: int


class Resources(NamedTuple):
    """What one task takes: reserved from the moment it is assigned until it is STOPPED."""

    cpu: int = 0
    memory_mib: int = 0
    gpus: int = 0

    # Thousandths of each of those GPUs: 1000 are a whole one, less is a share of a single one.
    gpu_milli: int = MILLI_PER_GPU
    ports: tuple[Port, ...] = ()

    # Of the cluster's own, by name.
    custom: tuple[tuple[str, int], ...] = ()


class Strategy(NamedTuple):
    """`random`, `spread` over a field, `binpack` on one, `fragmentation`, or `image`."""

    type: str
    field: str = ""


class Ask(NamedTuple):
    resources: Resources
    group: str = ""

    # memberOf expressions as written; every one must hold.
    expressions: tuple[str, ...] = ()
    distinct_instance: bool = False
    strategies: tuple[Strategy, ...] = ()

    # Attributes an instance must have with this value, from the runtime platform.
    required_attributes: tuple[tuple[str, str], ...] = ()

    # Of its containers, each once, as an engine that has it lists it.
    images: tuple[str, ...] = ()


class _Registered:
    """A definition's document as a key. Documents never change, so each is equal to itself alone, and to find one
    costs the same however big it is."""

    __slots__ = ("document",)

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document

    def __hash__(self) -> int:
        return id(self.document)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Registered) and self.document is other.document


def resources_of(definition: Definition, overrides: Mapping[str, Any]) -> Resources:
    """What placement subtracts (semantics of ECS): the task's own cpu and memory if given, else the sum over
    its containers of cpu and of memoryReservation, or memory where there is no reservation.

    Asked for every submission: what depends on the definition alone is worked out once.
    """
    if _resizes(overrides):
        return _resources(definition.document, overrides)
    return _registered_resources(_Registered(definition.document))


def images_of(definition: Definition) -> tuple[str, ...]:
    """As an engine lists them, each once."""
    return _registered_images(_Registered(definition.document))


def deal_gpus(definition: Definition, overrides: Mapping[str, Any], ids: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The chosen GPUs by container: whole ones in the order of containers; one that is shared to each that shares."""
    changed = {override.get("name"): override for override in overrides.get("containerOverrides", ())}
    left, dealt = iter(ids), {}
    for container in definition.containers:
        wanted = task_gpus([effective(container, changed.get(container["name"], {}))])
        if wanted.number:
            dealt[container["name"]] = tuple(ids) if wanted.is_share else tuple(islice(left, wanted.number))
    return dealt


_SIZES = ("cpu", "memory", "memoryReservation", "resourceRequirements")


def _resizes(overrides: Mapping[str, Any]) -> bool:
    if not overrides:
        return False
    return any(key in entry for entry in (overrides, *overrides.get("containerOverrides", ())) for key in _SIZES)


@lru_cache(_REMEMBERED)
def _registered_resources(registered: _Registered) -> Resources:
    return _resources(registered.document, {})


@lru_cache(_REMEMBERED)
def _registered_images(registered: _Registered) -> tuple[str, ...]:
    return tuple(sorted({listed_as(container["image"]) for container in registered.document["containerDefinitions"]}))


def _resources(document: Mapping[str, Any], overrides: Mapping[str, Any]) -> Resources:
    changed = {override.get("name"): override for override in overrides.get("containerOverrides", ())}
    pairs = [(container, changed.get(container["name"], {})) for container in document["containerDefinitions"]]
    requirements = [effective(container, override) for container, override in pairs]
    containers = [{**container, **override} for container, override in pairs]
    task_cpu = overrides.get("cpu") or document.get("cpu")
    task_memory = overrides.get("memory") or document.get("memory")
    gpus = task_gpus(requirements)
    return Resources(
        cpu=min(cpu_units(task_cpu) if task_cpu else sum(c.get("cpu", 0) for c in containers), AMOUNT_MAX),
        memory_mib=min(memory_mib(task_memory) if task_memory else sum(map(_memory, containers)), AMOUNT_MAX),
        gpus=gpus.number,
        gpu_milli=gpus.milli,
        ports=_host_ports(document, containers),
        custom=tuple((name, min(amount, AMOUNT_MAX)) for name, amount in custom(requirements)),
    )


def _memory(container: Mapping[str, Any]) -> int:
    return container.get("memoryReservation") or container.get("memory") or 0


def _host_ports(document: Mapping[str, Any], containers: Sequence[Mapping[str, Any]]) -> tuple[Port, ...]:
    """Only ports the instance itself gives away: fixed ones in bridge mode, all of them in host mode. A range gets
    dynamic ports in bridge mode. A task with a network of its own (awsvpc) or none reserves nothing on its instance.
    """
    mode = document.get("networkMode", "bridge")
    if mode in ("awsvpc", "none"):
        return ()
    ports = []
    for container in containers:
        if container.get("disableNetworking"):
            continue
        for mapping in container.get("portMappings", ()):
            first, last = _host_range(mapping, mode)
            if first:
                ports.append(Port(mapping.get("protocol", "tcp"), first, last))
    return tuple(ports)


def _host_range(mapping: Mapping[str, Any], mode: str) -> tuple[int, int]:
    """0 is no port."""
    if "containerPortRange" in mapping:
        first, _, last = mapping["containerPortRange"].partition("-")
        return (int(first), int(last)) if mode == "host" else (0, 0)
    port = mapping.get("hostPort") or (mapping.get("containerPort", 0) if mode == "host" else 0)
    return port, port


_ARCHITECTURES = {"X86_64": "x86_64", "ARM64": "arm64"}


def platform_of(document: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """The attributes a definition's runtimePlatform demands, matched exactly: a Windows container runs on the release
    of Windows it was made for, and an instance that does not say which it has is none."""
    platform = document.get("runtimePlatform", {})
    wanted = []
    if architecture := platform.get("cpuArchitecture"):
        wanted.append(("ecs.cpu-architecture", _ARCHITECTURES.get(architecture, architecture.lower())))
    if family := platform.get("operatingSystemFamily"):
        name = "ecs.os-type" if family == "LINUX" else "ecs.os-family"
        wanted.append((name, family.lower() if family == "LINUX" else family))
    return tuple(wanted)
