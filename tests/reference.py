"""Placement in plain, obvious Python: what the fast one is held against. It asks every rule of every host."""

from collections import Counter
from dataclasses import dataclass, field

import msgspec
from shoal_scheduler.model.ask import Ask, Port, Strategy
from shoal_scheduler.model.candidate import Candidate, Used
from shoal_scheduler.model.held_image import HeldImage
from shoal_scheduler.model.instance import Instance
from shoal_scheduler.placement.expression import facts_of, parse


@dataclass
class Host:
    """gpus: thousandths free of each."""

    instance: Instance
    connected: bool = True
    cpu: int = 0
    memory: int = 0
    gpus: list[int] = field(default_factory=list)
    custom: Counter[str] = field(default_factory=Counter)
    ports: list[Port] = field(default_factory=list)
    groups: Counter[str] = field(default_factory=Counter)
    running: int = 0
    impaired: bool = False
    images: list[HeldImage] = field(default_factory=list)

    @classmethod
    def of(cls, instance: Instance, *, connected: bool = True) -> "Host":
        reserved = [Port("tcp", number, number) for number in instance.reserved_tcp]
        reserved += [Port("udp", number, number) for number in instance.reserved_udp]
        gpus = [1000] * len(instance.gpu_ids)
        custom = Counter(instance.custom)
        return cls(instance, connected, instance.cpu, instance.memory_mib, gpus, custom, reserved)

    def take(self, ask: Ask, gpus: tuple[int, ...]) -> None:
        wanted = ask.resources
        self.cpu -= wanted.cpu
        self.memory -= wanted.memory_mib
        for gpu in gpus:
            self.gpus[gpu] -= wanted.gpu_milli
        self.custom.subtract(dict(wanted.custom))
        self.ports += wanted.ports
        self.groups[ask.group] += 1


def _away(host: Host) -> str | None:
    if host.instance.status != "ACTIVE":
        return "INSTANCE:DRAINING"
    if not host.connected:
        return "AGENT"
    return "INSTANCE:IMPAIRED" if host.impaired else None


def refusal(ask: Ask, host: Host) -> str | None:
    """Why the host cannot take it."""
    wanted = ask.resources
    if away := _away(host):
        return away
    if any(host.instance.attributes.get(name) != value for name, value in ask.required_attributes):
        return "ATTRIBUTE"
    if not all(_holds(expression, host) for expression in ask.expressions):
        return "MEMBEROF"
    if ask.distinct_instance and host.groups[ask.group] > 0:
        return "DISTINCT_INSTANCE"
    if wanted.cpu > host.cpu:
        return "RESOURCE:CPU"
    if wanted.memory_mib > host.memory:
        return "RESOURCE:MEMORY"
    if sum(free >= wanted.gpu_milli for free in host.gpus) < wanted.gpus:
        return "RESOURCE:GPU"
    for name, amount in wanted.custom:
        if amount > host.custom[name]:
            return f"RESOURCE:{name}"
    if any(_overlap(port, taken) for port in wanted.ports for taken in host.ports):
        return "RESOURCE:PORTS"
    return None


def _holds(expression: str, host: Host) -> bool:
    used = Used(groups=+host.groups, running=host.running)
    return parse(expression).test(facts_of(Candidate(host.instance, used, host.connected)))


def _overlap(port: Port, taken: Port) -> bool:
    return port.protocol == taken.protocol and port.first <= taken.last and taken.first <= port.last


def best(ask: Ask, hosts: list[Host]) -> set[str]:
    """Ids of the hosts any of which may be chosen."""
    left = [host for host in hosts if refusal(ask, host) is None]
    is_asked = any(strategy.type in ("random", "image") for strategy in ask.strategies)
    for strategy in (*ask.strategies, *(() if is_asked else (Strategy("image"),))):
        ranks = _ranks(strategy, ask, left, hosts)
        left = [host for host, rank in zip(left, ranks, strict=True) if rank == min(ranks)]
    return {host.instance.id for host in left}


def _ranks(strategy: Strategy, ask: Ask, left: list[Host], hosts: list[Host]) -> list[int]:
    if strategy.type == "binpack":
        return [{"cpu": host.cpu, "memory": host.memory, "gpu": sum(host.gpus)}[strategy.field] for host in left]
    if strategy.type == "spread":
        tasks: Counter[str | None] = Counter()
        for host in hosts:
            tasks[_value(strategy, host)] += host.groups[ask.group]
        return [tasks[_value(strategy, host)] for host in left]
    if strategy.type == "image":
        layers = {name: layers_of(name, hosts) for name in ask.images}
        return [sum(missing_kib(name, layers[name], host) for name in ask.images) for host in left]
    return [0 for _ in left]


def layers_of(name: str, hosts: list[Host]) -> dict[int, int]:
    """Of the image that most hosts have by this name: the bytes of each."""
    known = Counter(image for host in hosts for image in host.images if name in image.names)
    if not known:
        return {}
    usual = max(known, key=lambda image: (known[image], msgspec.structs.astuple(image)))
    return dict(zip(usual.layers, usual.layer_bytes, strict=True))


def missing_kib(name: str, layers: dict[int, int], host: Host) -> int:
    """0 for who has it; else 1, and all layers that it has in no image."""
    if any(name in image.names for image in host.images):
        return 0
    own = {layer for image in host.images for layer in image.layers}
    return 1 + sum(-(-size // 1024) for layer, size in layers.items() if layer not in own)


def _value(strategy: Strategy, host: Host) -> str | None:
    if strategy.field in ("instanceId", "host"):
        return host.instance.id
    return host.instance.attributes.get(strategy.field.removeprefix("attribute:"))


def reasons(ask: Ask, hosts: list[Host]) -> Counter[str]:
    return Counter(found for host in hosts if (found := refusal(ask, host)) is not None)
