"""An instance as placement sees it: what its tasks take, and what is left."""

from collections.abc import Mapping
from typing import NamedTuple

from shoal_scheduler.model.ask import Port, Resources
from shoal_scheduler.model.instance import Instance


class Used(NamedTuple):
    """What the tasks of an instance take together: derived from the tasks that are not STOPPED, never stored.
    `groups` counts them by task group."""

    cpu: int = 0
    memory_mib: int = 0
    gpus: int = 0
    ports: frozenset[Port] = frozenset()
    groups: Mapping[str, int] = {}
    running: int = 0
    pending: int = 0

    def plus(self, resources: Resources, group: str, *, running: bool = False) -> "Used":
        return self._replace(
            cpu=self.cpu + resources.cpu,
            memory_mib=self.memory_mib + resources.memory_mib,
            gpus=self.gpus + resources.gpus,
            ports=self.ports.union(resources.ports) if resources.ports else self.ports,
            groups={**self.groups, group: self.groups.get(group, 0) + 1},
            running=self.running + running,
            pending=self.pending + (not running),
        )

    def minus(self, resources: Resources, group: str, *, running: bool = False) -> "Used":
        left = self.groups.get(group, 0) - 1
        groups = {name: count for name, count in self.groups.items() if name != group}
        return self._replace(
            cpu=self.cpu - resources.cpu,
            memory_mib=self.memory_mib - resources.memory_mib,
            gpus=self.gpus - resources.gpus,
            ports=self.ports.difference(resources.ports) if resources.ports else self.ports,
            groups=groups | {group: left} if left > 0 else groups,
            running=self.running - running,
            pending=self.pending - (not running),
        )


class Candidate(NamedTuple):
    """An instance with what is used of it and whether its agent is connected."""

    instance: Instance
    used: Used
    connected: bool

    @property
    def free_cpu(self) -> int:
        return self.instance.cpu - self.used.cpu

    @property
    def free_memory_mib(self) -> int:
        return self.instance.memory_mib - self.used.memory_mib

    @property
    def free_gpus(self) -> int:
        return len(self.instance.gpu_ids) - self.used.gpus

    def port_is_taken(self, port: Port) -> bool:
        reserved = self.instance.reserved_udp if port.protocol == "udp" else self.instance.reserved_tcp
        taken = (other for other in self.used.ports if other.protocol == port.protocol)
        return any(port.first <= number <= port.last for number in reserved) or any(
            port.first <= other.last and other.first <= port.last for other in taken
        )
