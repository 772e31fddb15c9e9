"""Sees what becomes of services: in the records, and in what containers really did. Part of the witness."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from shoal_scheduler.model.rebalance import Rebalance
from shoal_scheduler.model.service import (
    DAEMON,
    OVER,
    Deployment,
    Service,
    ServiceRevision,
)
from shoal_scheduler.model.task import Task, TaskKey
from shoal_scheduler.state import changes as c
from shoal_scheduler.state.tables import Tables

from tests.simulation import service_checkers as checkers
from tests.simulation.containers import Box
from tests.simulation.plan import SERVICES, Plan
from tests.simulation.scaling_witness import ScalingWitness
from tests.simulation.service_step import Step, halted_by, moving
from tests.simulation.trace import Trace

# With these alone a leader goes on leading, and has a store that answers.
STEADY = (
    SERVICES,
    *("burst", "cancel race", "drain", "interruption", "interruption notice", "removed by hand", "foreign container"),
    *("agent crash", "agent pause", "double start", "disk full", "disk slow", "journal lost", "host dies", "reset"),
    *("reply lost", "start fails", "stop hangs", "engine restart", "engine hangs", "silent events", "image missing"),
)
START_SECONDS = 3.0

# With these alone an agent tells at once what it sees, and a host that dies is all that is silent.
CALM = (SERVICES, "burst", "cancel race", "drain", "host dies", "start fails", "image missing")
DEAD_SECONDS, LOST_SECONDS = 3.0, 20.0

Faults = Iterator[checkers.Fault]


class ServiceWitness:
    """`recorded`: every task by its id, as it was stored last; belongs to the witness."""

    def __init__(self, trace: Trace, recorded: Mapping[str, Task], plan: Plan) -> None:
        self.trace, self.recorded = trace, recorded
        self.services: dict[str, Service] = {}
        self.revisions: dict[str, ServiceRevision] = {}
        self.deployments: dict[str, Deployment] = {}
        self.live: dict[str, dict[str, Task]] = {}
        self.statuses: dict[str, str] = {}  # of instances
        self.moving: frozenset[str] = frozenset()  # tasks that leave for a rebalance
        self.going: set[str] = set()  # instances that are interrupted
        self.agent_knows: Callable[[str], bool] = lambda _instance: False  # that its host goes, before the scheduler
        self.targets: dict[TaskKey, dict[str, str]] = {}  # what is said of them, by target group
        self.tables: Tables | None = None
        self._revision = 0
        self.launches: set[str] = set()
        self.is_steady = set(plan.kinds) <= set(STEADY)
        self.is_calm = set(plan.kinds) <= set(CALM)

        self.scaling = ScalingWitness()

        # Of deployments that are over, how they ended and how long they took, in milliseconds.
        self.ends: dict[str, tuple[str, int]] = {}

        # By revision and container, what its tasks really ran, and the first of them.
        self._digests: dict[tuple[str, str], tuple[str, str]] = {}

        # By deployment, tasks that have failed since the count began anew; and since when they are too many.
        self.failed: dict[str, int] = {}
        self._tripped: dict[str, float] = {}

        # By deployment, starts in a row that failed, and when the last one did, in milliseconds.
        self.failures: dict[str, tuple[int, int]] = {}

        # Since when tasks of a service are missing, and since when a container is dead of which nobody has told.
        self._lacks: dict[str, tuple[float, int]] = {}
        self._dead: dict[str, tuple[float, float]] = {}

    # Engines.

    def started(self, box: Box) -> checkers.Fault:
        task = self.recorded.get(box.task)
        if task is None or task.launch.service is None or not box.digest:
            return None
        key = task.launch.service.revision, box.container
        digest, first = self._digests.setdefault(key, (box.digest, task.id))
        revision = self.revisions.get(key[0])
        if revision is not None and not revision.is_resolved and self.recorded[first].desired_status == "STOPPED":
            self._digests[key] = box.digest, task.id  # the first was to stop before it could tell
            return None
        return checkers.one_digest_per_revision(*key, box.digest, digest)

    def ended(self, box: Box, now: float) -> checkers.Fault:
        task = self.recorded.get(box.task)
        if task is None or task.launch.service is None:
            return None
        if box.ended_by == "agent":
            is_driven = self.statuses.get(task.instance) == "INACTIVE" or self.goes(task.instance)
            return None if is_driven else checkers.what_drains_runs_on(box.id, task)
        self._dead[task.id] = now, LOST_SECONDS if box.ended_by == "host" else DEAD_SECONDS
        return None

    # Schedulers.

    def leads(self, tables: Tables, now: float) -> checkers.Fault:
        """What a new leader has loaded: of some of it nobody was told."""
        self.tables, self.live, self._revision = tables, {}, max(self._revision, tables.revision)
        self.failed = {each.id: each.failed_tasks for each in tables.records.all(Deployment)}
        self._tripped = dict.fromkeys(self._tripped, now)
        self.failures.clear()  # it may have seen tasks that ran, of which nobody was told
        self._lacks = {name: (now, missing) for name, (_, missing) in self._lacks.items()}
        for deployment in tables.records.all(Deployment):
            fault = checkers.what_is_over_stays_so(deployment, self.deployments.get(deployment.id))
            if fault:
                return fault
        self.services = {each.name: each for each in tables.records.all(Service)}
        self.revisions = {each.id: each for each in tables.records.all(ServiceRevision)}
        self.deployments = {each.id: each for each in tables.records.all(Deployment)}
        known = tables.services.target_health
        self.targets = {key: {name: each.state for name, each in said.items()} for key, said in known.items()}
        self.scaling.leads(tables)
        self.going = {each.id for each in tables.instances.values() if each.interruption is not None}
        self.statuses = {each.id: each.status for each in tables.instances.values()}
        self.moving = frozenset().union(*map(moving, tables.records.all(Rebalance)))
        for task in tables.tasks():
            if task.launch.service is not None and not task.is_stopped:
                self.live.setdefault(task.launch.service.service, {})[task.id] = task
        self.launches |= set(tables.launches)
        return None

    def committed(self, tables: Tables, changes: Sequence[c.Change], wall: int, now: float) -> checkers.Fault:
        """`wall`: the step's own time, in milliseconds; `now` in seconds of the virtual clock."""
        if tables is not self.tables:  # the first step of a new leader, who has loaded more than was told
            return self.leads(tables, now) if tables.revision > self._revision else None
        self._revision = max(self._revision, tables.revision)
        before = dict(self.services)
        step = Step(self, tables, before, wall)
        step.halted |= set(filter(None, map(halted_by, changes)))
        for change in changes:
            fault = next(filter(None, step.saw(change)), None)
            if fault:
                return fault
        self._note_what_lacks(wall, now)
        return next(filter(None, step.ended()), None)

    def _note_what_lacks(self, wall: int, now: float) -> None:
        for name, service in self.services.items():
            if (missing := self.missing(service, wall)) <= 0:
                self._lacks.pop(name, None)
            else:
                self._lacks[name] = self._lacks.get(name, (now, 0))[0], missing
        tripped = [each.deployment for each in self.services.values() if self._is_given_up(each)]
        self._tripped = {name: self._tripped.get(name, now) for name in tripped}

    def _is_given_up(self, service: Service) -> bool:
        deployment = self.deployments.get(service.deployment)
        return service.status == "ACTIVE" and deployment is not None and checkers.is_given_up(service, deployment)

    def missing(self, service: Service, wall: int) -> int:
        """Tasks that are to be started now. Of a DAEMON nobody counts."""
        deployment = self.deployments.get(service.deployment)
        revision = self.revisions.get(service.revision)
        if (
            service.status != "ACTIVE"
            or service.scheduling_strategy == DAEMON
            or deployment is None
            or revision is None
        ):
            return 0
        if deployment.is_halted or wall <= deployment.retry_at:
            return 0
        wanted = self.wanted(service.name)
        places = checkers.maximum(service, service.desired_count) - len(wanted)
        if revision.is_resolved:
            return min(places, service.desired_count - len(wanted))
        return min(places, min(1, service.desired_count) - len(self.current(service)))

    def goes(self, instance: str) -> bool:
        return instance in self.going or self.agent_knows(instance)

    def wanted(self, name: str) -> list[Task]:
        return [task for task in self.live.get(name, {}).values() if checkers.is_wanted(task)]

    def current(self, service: Service) -> list[Task]:
        """Those of the revision that it is to run."""
        tasks = self.wanted(service.name)
        return [task for task in tasks if task.launch.service and task.launch.service.revision == service.revision]

    def under_way(self, name: str) -> list[str]:
        """Ids of deployments that are not over."""
        return [each.id for each in self.deployments.values() if each.service == name and each.status not in OVER]

    # While time goes by.

    @property
    def waits(self) -> bool:
        """Whether anything is to come in time."""
        return bool(((self._lacks or self._tripped) and self.is_steady) or (self._dead and self.is_calm))

    def late(self, now: float) -> Faults:
        for deployment, since in self._tripped.items() if self.is_steady else ():
            yield checkers.who_failed_too_often_is_given_up(deployment, now - since, START_SECONDS)
        for name, (since, missing) in self._lacks.items() if self.is_steady else ():
            yield checkers.what_is_missing_starts_in_time(name, missing, now - since, START_SECONDS)
        for task_id, (since, bound) in list(self._dead.items()) if self.is_calm else ():
            if not checkers.is_wanted(self.recorded[task_id]):
                del self._dead[task_id]
            else:
                yield checkers.what_is_dead_is_told(task_id, now - since, bound)
