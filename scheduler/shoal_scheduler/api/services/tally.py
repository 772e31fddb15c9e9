"""How many tasks of a service there are, of which revision, and how many are to be there."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from shoal_scheduler.control.services.health import is_healthy
from shoal_scheduler.control.services.view import view_at
from shoal_scheduler.model.service import Service
from shoal_scheduler.state.overlay import Overlay
from shoal_scheduler.state.tables import Tables


@dataclass(frozen=True, slots=True)
class Counts:
    """Of tasks that nobody has asked to stop."""

    running: int = 0
    pending: int = 0
    healthy: int = 0

    @property
    def wanted(self) -> int:
        return self.running + self.pending

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(self.running + other.running, self.pending + other.pending, self.healthy + other.healthy)


@dataclass(frozen=True, slots=True)
class Tally:
    """`desired`: how many tasks are to run; of a DAEMON, on so many instances. `by_revision`: of those that have tasks
    which are not STOPPED, those that are to stop included."""

    desired: int = 0
    by_revision: Mapping[str, Counts] = field(default_factory=dict)

    def of(self, revision: str) -> Counts:
        return self.by_revision.get(revision, Counts())

    @property
    def all(self) -> Counts:
        return sum(self.by_revision.values(), Counts())


def tally_of(tables: Tables, service: Service, now: int) -> Tally:
    seen = view_at(Overlay(tables), (service.cluster, service.name), now)
    if seen is None:
        return Tally()
    counts: dict[str, Counts] = {}
    for task in seen.tasks:
        part = task.launch.service
        if part is None:
            continue
        is_wanted, is_running = task.desired_status == "RUNNING", task.last_status == "RUNNING"
        one = Counts(
            running=int(is_wanted and is_running),
            pending=int(is_wanted and not is_running),
            healthy=int(is_healthy(seen, task)),
        )
        counts[part.revision] = counts.get(part.revision, Counts()) + one
    return Tally(seen.desired, counts)
