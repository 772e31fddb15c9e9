"""How many tasks of a service there are."""

from collections.abc import Iterable
from dataclasses import dataclass

from shoal_scheduler.model.service import Service
from shoal_scheduler.model.task import Task
from shoal_scheduler.state.tables import Tables


@dataclass(frozen=True, slots=True)
class Counts:
    """Of tasks that nobody has asked to stop."""

    running: int
    pending: int

    @property
    def wanted(self) -> int:
        return self.running + self.pending


def counts_of(tasks: Iterable[Task]) -> Counts:
    found = [task.last_status == "RUNNING" for task in tasks if task.desired_status == "RUNNING"]
    return Counts(sum(found), len(found) - sum(found))


def live_tasks(tables: Tables, service: Service) -> dict[str, list[Task]]:
    """By revision, those that are not STOPPED."""
    by_revision: dict[str, list[Task]] = {}
    for key in tables.services.live.get((service.cluster, service.name), ()):
        task = tables.task(key)
        if task is not None and task.launch.service is not None:
            by_revision.setdefault(task.launch.service.revision, []).append(task)
    return by_revision
