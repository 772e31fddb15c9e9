"""The ingress as the scheduler knows it: it checks the targets of services and reports what it found. Stands for
shoal.ingress; requests and Traefik are not modelled."""

from collections.abc import Iterator, Sequence
from random import Random

from shoal_scheduler.control.traffic import inputs as traffic
from shoal_scheduler.model.task import Task, TaskKey
from shoal_scheduler.model.traffic import HEALTHY, INITIAL, UNHEALTHY, TargetGroup, TargetHealth

from tests.simulation.clock import Clock
from tests.simulation.containers import Box, ModelEngine
from tests.simulation.service_witness import ServiceWitness
from tests.simulation.users import Users

CLUSTER, GROUP = "default", "web"
PERIOD_SECONDS = 2.0
FIRST_SECONDS = 0.5
NEW_MILLIS = 2_000


class Ingress:
    def __init__(self, users: Users, clock: Clock, rng: Random, witness: ServiceWitness) -> None:
        self.users, self.clock, self.rng, self.witness = users, clock, rng, witness
        self.engines: Sequence[ModelEngine] = ()
        self._silent_until = 0.0

    def begin(self) -> None:
        delay = self.rng.choice((0, 2, 10))
        group = TargetGroup(name=GROUP, cluster=CLUSTER, created_at=0, deregistration_delay=delay)
        self.users.ask(traffic.CreateTargetGroup(group))
        self.clock.after(FIRST_SECONDS, self._report)

    def fall_silent(self, seconds: float) -> None:
        self._silent_until = self.clock.now + seconds

    def _report(self) -> None:
        self.clock.after(PERIOD_SECONDS, self._report)
        if self.clock.now >= self._silent_until:
            health = dict(self._found())
            self.users.ask(traffic.ReportTargets(CLUSTER, health))

    def _found(self) -> Iterator[tuple[TaskKey, dict[str, TargetHealth]]]:
        boxes = {box.task: (engine, box) for engine in self.engines for box in engine.boxes.values()}
        for task in self._targets():
            if task.id in boxes:
                yield task.key, {GROUP: TargetHealth(_checked(*boxes[task.id]))}

    def _targets(self) -> Iterator[Task]:
        for tasks in self.witness.live.values():
            for task in tasks.values():
                part = task.launch.service
                if part is not None and part.is_target and task.last_status == "RUNNING":
                    yield task


def _checked(engine: ModelEngine, box: Box) -> str:
    if box.state != "running" or box.program is None or not box.program.is_healthy:
        return UNHEALTHY
    return INITIAL if engine.wall() - (box.started_at or 0) < NEW_MILLIS else HEALTHY
