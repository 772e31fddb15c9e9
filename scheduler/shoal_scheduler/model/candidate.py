"""An instance as people and expressions see it: what its tasks take, and what is left."""

from collections.abc import Mapping
from typing import NamedTuple

from shoal_scheduler.model.ask import Port
from shoal_scheduler.model.instance import Health, Instance


class Used(NamedTuple):
    """What the tasks of an instance take together: derived from the tasks that are not STOPPED, never stored.

    gpus: thousandths by GPU id; groups: tasks by task group; running and pending: tasks.
    """

    cpu: int = 0
    memory_mib: int = 0
    gpus: Mapping[str, int] = {}
    ports: tuple[Port, ...] = ()
    custom: Mapping[str, int] = {}
    groups: Mapping[str, int] = {}
    running: int = 0
    pending: int = 0


class Candidate(NamedTuple):
    """An instance with what is used of it, whether its agent is connected, and what that says of the engine, if it
    is."""

    instance: Instance
    used: Used
    connected: bool
    health: Health | None = None

    @property
    def free_cpu(self) -> int:
        return self.instance.cpu - self.used.cpu

    @property
    def free_memory_mib(self) -> int:
        return self.instance.memory_mib - self.used.memory_mib

    def free_custom(self, name: str) -> int:
        return self.instance.custom.get(name, 0) - self.used.custom.get(name, 0)

    @property
    def free_gpus(self) -> tuple[str, ...]:
        """Those that nobody uses."""
        return tuple(gpu for gpu in self.instance.gpu_ids if not self.used.gpus.get(gpu))
