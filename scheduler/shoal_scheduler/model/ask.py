"""What a task wants of an instance: resources, ports, constraints, preferences."""

from typing import Any, NamedTuple

from shoal.quantity import cpu_units, memory_mib

from shoal_scheduler.model.definition import Definition


class Port(NamedTuple):
    """Ports of the host from `first` to `last`, both included; mostly one."""

    protocol: str
    first: int
    last: int


class Resources(NamedTuple):
    """What one task takes: reserved from the moment it is assigned until it is STOPPED."""

    cpu: int = 0
    memory_mib: int = 0
    gpus: int = 0

    # Thousandths of each of these GPUs; a whole one is 1000.
    gpu_milli: int = 1000
    ports: tuple[Port, ...] = ()

    # Whole things of other kinds, in the order of their names.
    custom: tuple[tuple[str, int], ...] = ()


class Strategy(NamedTuple):
    """`random`, `spread` over a field, or `binpack` on one."""

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


def resources_of(definition: Definition, overrides: dict[str, Any]) -> Resources:
    """What placement subtracts (semantics of ECS): the task's own cpu and memory if given, else the sum over
    its containers of cpu and of memoryReservation, or memory where there is no reservation."""
    document = definition.document
    changed = {override.get("name"): override for override in overrides.get("containerOverrides", ())}
    containers = [
        container | {key: value for key, value in changed.get(container["name"], {}).items() if key != "name"}
        for container in definition.containers
    ]
    task_cpu = overrides.get("cpu") or document.get("cpu")
    task_memory = overrides.get("memory") or document.get("memory")
    cpu = cpu_units(task_cpu) if task_cpu else sum(c.get("cpu", 0) for c in containers)
    memory = (
        memory_mib(task_memory)
        if task_memory
        else sum(c.get("memoryReservation") or c.get("memory") or 0 for c in containers)
    )
    return Resources(cpu, memory, _gpus(containers), ports=_host_ports(document, containers))


def _gpus(containers: list[dict[str, Any]]) -> int:
    return sum(
        int(requirement["value"])
        for container in containers
        for requirement in container.get("resourceRequirements", ())
        if requirement.get("type") == "GPU"
    )


def gpus_by_container(definition: Definition, overrides: dict[str, Any]) -> list[tuple[str, int]]:
    raise NotImplementedError


def _host_ports(document: dict[str, Any], containers: list[dict[str, Any]]) -> tuple[Port, ...]:
    """Only ports the instance itself gives away: fixed ones in bridge mode, all of them in host mode. A task
    with a network of its own (awsvpc) or none reserves nothing on its instance."""
    mode = document.get("networkMode", "bridge")
    if mode in ("awsvpc", "none"):
        return ()
    ports = []
    for container in containers:
        for mapping in container.get("portMappings", ()):
            number = mapping.get("hostPort") or (mapping.get("containerPort", 0) if mode == "host" else 0)
            if number:
                ports.append(Port(mapping.get("protocol", "tcp"), number, number))
    return tuple(ports)


_ARCHITECTURES = {"X86_64": "x86_64", "ARM64": "arm64"}


def platform_of(document: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    """The attributes a definition's runtimePlatform demands."""
    platform = document.get("runtimePlatform", {})
    wanted = []
    if architecture := platform.get("cpuArchitecture"):
        wanted.append(("ecs.cpu-architecture", _ARCHITECTURES.get(architecture, architecture.lower())))
    if family := platform.get("operatingSystemFamily"):
        name = "ecs.os-type" if family == "LINUX" else "ecs.os-family"
        wanted.append((name, family.lower() if family == "LINUX" else family))
    return tuple(wanted)
