"""What a container says about itself, so that an agent that lost everything else knows what it finds.

shoal.cluster shoal.instance    whose it is; an agent touches nothing that does not carry both of its own
shoal.task shoal.container      which
shoal.containers                all containers of the task, essential ones with "!": "web!,side"
shoal.volumes                   volumes that go with the task
shoal.definition shoal.epoch shoal.spec    what it was made from, under which leader, a hash of the body
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shoal_agent.task import ContainerPlan

PREFIX = "shoal."
CLUSTER, INSTANCE = "shoal.cluster", "shoal.instance"
TASK, CONTAINER = "shoal.task", "shoal.container"
CONTAINERS, VOLUMES = "shoal.containers", "shoal.volumes"
DEFINITION, EPOCH, SPEC = "shoal.definition", "shoal.epoch", "shoal.spec"


@dataclass(frozen=True, slots=True)
class Owner:
    """The instance a container belongs to, and the leader's epoch it was made under."""

    cluster: str
    instance: str
    epoch: int = 0

    @property
    def labels(self) -> dict[str, str]:
        return {CLUSTER: self.cluster, INSTANCE: self.instance}

    def owns(self, labels: Mapping[str, str]) -> bool:
        return all(labels.get(name) == value for name, value in self.labels.items())


@dataclass(frozen=True, slots=True)
class Tag:
    """What the labels of one of our containers tell."""

    task_id: str
    container: str
    containers: tuple[ContainerPlan, ...]
    volumes: tuple[str, ...]
    epoch: int


def read(labels: Mapping[str, str]) -> Tag | None:
    """None for labels that do not name a task and a container."""
    task_id, container = labels.get(TASK), labels.get(CONTAINER)
    if not task_id or not container:
        return None
    plans = parse_listed(labels.get(CONTAINERS, f"{container}!"))
    if container not in [plan.name for plan in plans]:
        plans = (*plans, ContainerPlan(container))
    epoch = labels.get(EPOCH, "")
    volumes = tuple(word for word in labels.get(VOLUMES, "").split(",") if word)
    return Tag(task_id, container, plans, volumes, int(epoch) if epoch.isdigit() else 0)


def listed(plans: Sequence[ContainerPlan]) -> str:
    return ",".join(f"{plan.name}!" if plan.essential else plan.name for plan in plans)


def parse_listed(text: str) -> tuple[ContainerPlan, ...]:
    return tuple(_plan(word) for word in text.split(",") if word)


def _plan(word: str) -> ContainerPlan:
    return ContainerPlan(word.removesuffix("!"), word.endswith("!"))


def container_name(cluster: str, task_id: str, container: str) -> str:
    """The engine lets a name be taken once: that makes it a lock against running a task twice on a host."""
    return f"{cluster}.{task_id}.{container}"


def volume_name(cluster: str, task_id: str, volume: str) -> str:
    return f"shoal.{cluster}.{task_id}.{volume}"
