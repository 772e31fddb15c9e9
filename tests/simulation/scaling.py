"""What measures services and has the step decide, in the leader; and users who say how their services are to be scaled.
Stands for shoal_scheduler/autoscaling.py and the metrics it reads: the load is drawn, with gaps in which nothing is
known."""

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from random import Random

from shoal_scheduler.control.autoscaling import inputs as autoscaling
from shoal_scheduler.control.autoscaling.votes import Datapoint, Readings
from shoal_scheduler.model.scaling import MetricQuery, MetricStat, ScalingPolicy, TargetTracking

from tests.simulation.clock import Clock
from tests.simulation.scheduler import Scheduler
from tests.simulation.service_witness import ServiceWitness
from tests.simulation.users import Users

CLUSTER, POLICY = "default", "load"
PERIOD_SECONDS = 1
POINTS = 15
TARGET = 10.0
LOAD_MAX = 120.0


class Scaling:
    """`is_over()`: all is being mended, and the load stays as it is."""

    def __init__(
        self,
        users: Users,
        clock: Clock,
        rng: Random,
        schedulers: Sequence[Scheduler],
        witness: ServiceWitness,
        is_over: Callable[[], bool],
    ) -> None:
        self.users, self.clock, self.rng = users, clock, rng
        self.schedulers, self.witness, self.is_over = schedulers, witness, is_over
        self.points: dict[str, deque[Datapoint | None]] = {}
        self._load: dict[str, float] = {}
        self._gap_until: dict[str, float] = {}
        self._asked_at: dict[str, float] = {}

    def begin(self, service: str) -> None:
        """From now on it is scaled."""
        rng = self.rng
        bounds = rng.randint(0, 2), rng.randint(3, 10)
        self.users.ask(autoscaling.RegisterScalableTarget(CLUSTER, service, *bounds))

    def registered(self, service: str) -> None:
        rng = self.rng
        queue = MetricQuery("load", MetricStat("Custom", "Load", (("service", service),), "Average"))
        cooldowns = rng.choice((0, 4, 10)), rng.choice((4, 10))
        tracking = TargetTracking(
            target=TARGET,
            queries=(queue,),
            out_cooldown=cooldowns[0],
            in_cooldown=cooldowns[1],
            period=PERIOD_SECONDS,
        )
        policy = ScalingPolicy(cluster=CLUSTER, service=service, name=POLICY, created_at=0, tracking=tracking)
        self.users.ask(autoscaling.PutScalingPolicy(policy))
        if service not in self.points:
            self.points[service] = deque([None] * POINTS, POINTS)
            self._load[service] = rng.uniform(0.0, LOAD_MAX)
            self.clock.after(rng.uniform(0.0, PERIOD_SECONDS), self._measure, service)

    def _measure(self, service: str) -> None:
        if self.is_over():
            return
        self.clock.after(PERIOD_SECONDS, self._measure, service)
        rng, now = self.rng, self.clock.now
        if rng.random() < 0.05:
            self._load[service] = rng.choice((0.0, rng.uniform(0.0, LOAD_MAX)))
        if rng.random() < 0.03:
            self._gap_until[service] = now + rng.uniform(2.0, 30.0)
        running = sum(task.last_status == "RUNNING" for task in self.witness.wanted(service))
        is_known = now >= self._gap_until.get(service, 0.0)
        value = self._load[service] / max(1, running)
        self.points[service].append(Datapoint(value, float(running)) if is_known else None)
        self._evaluate(service)

    def _evaluate(self, service: str) -> None:
        """One after another: the next once this one is answered, or who was asked leads no more."""
        leader = next((each for each in self.schedulers if each.leads), None)
        waits = self.clock.now - self._asked_at.get(service, -100.0) < 20.0
        if leader is not None and not waits:
            points = tuple(self.points[service])
            self._asked_at[service] = self.clock.now
            self.witness.scaling.points[service] = points
            request = autoscaling.EvaluateScaling(CLUSTER, service, Readings(points={POLICY: points}))
            leader.ask(request, partial(self._answered, service))

    def _answered(self, service: str, _reply: object, _error: Exception | None) -> None:
        self._asked_at.pop(service, None)
