"""Users of services: what they create, deploy, scale and delete, and what befalls their images and containers."""

from collections.abc import Callable, Iterator, Sequence
from math import ceil, floor
from random import Random
from typing import Any

from shoal_scheduler.control import inputs as i
from shoal_scheduler.control.autoscaling import inputs as autoscaling
from shoal_scheduler.control.rebalance.inputs import StartRebalance, StopRebalance, Wanted
from shoal_scheduler.control.services import inputs as services
from shoal_scheduler.model.rebalance import EMPTY, SPREAD, Budget
from shoal_scheduler.model.service import (
    DAEMON,
    REPLICA,
    CircuitBreaker,
    DeploymentConfiguration,
    LoadBalancer,
    Service,
    ServiceRevision,
)

from tests.simulation.clock import Clock
from tests.simulation.containers import Box, ModelEngine
from tests.simulation.ingress import GROUP, Ingress
from tests.simulation.registry import REPOSITORY, Program, Registry
from tests.simulation.scaling import Scaling
from tests.simulation.service_witness import ServiceWitness
from tests.simulation.users import Users

CLUSTER = "default"
SETTLE_SECONDS = 1.0
SERVICES_MAX = 3
DESIRED_MAX = 10
DAEMON_SHARE = 0.2

# What images do; none is pushed of `gone`. `moving` means other bytes now and then, all of them good.
GOOD = ("good", "better", "moving")
PROGRAMS = {
    **dict.fromkeys(GOOD, Program()),
    "crash": Program(seconds=5.0),
    "sick": Program(is_healthy=False, health_after=6.0),
}
BAD = ("crash", "sick", "gone")
SCALED_SHARE = 0.4
SCALED_PERCENTS = ((100, 200), (0, 100), (0, 200))
PERCENTS = ((100, 200), (100, 200), (50, 100), (50, 150), (0, 100), (0, 200), (75, 125), (90, 110), (100, 150))
DAEMON_PERCENTS = ((0, 100), (0, 200), (100, 200))
CHECK = {"healthCheck": {"command": ["CMD-SHELL", "true"], "interval": 5, "retries": 2}}
CHECKED = "-checked"


def families() -> Iterator[dict[str, Any]]:
    for tag in (*GOOD, *BAD):
        for suffix, check in (("", {}), (CHECKED, CHECK)):
            container = {"name": "app", "image": f"{REPOSITORY}:{tag}", "cpu": 10, "memory": 16, "command": ["0"] * 3}
            container |= {"stopTimeout": 4, **check}
            yield {"family": f"{tag}{suffix}", "containerDefinitions": [container]}


def may_move(desired: int, minimum: int, maximum: int) -> bool:
    """Whether a deployment can ever replace a task: ECS leaves that to who chooses the percents."""
    return floor(desired * maximum / 100) > desired or ceil(desired * minimum / 100) < desired


class ServiceUsers:
    """`is_over()`: all is being mended, nothing new is asked for."""

    def __init__(
        self,
        users: Users,
        clock: Clock,
        rng: Random,
        registry: Registry,
        witness: ServiceWitness,
        is_over: Callable[[], bool],
    ) -> None:
        self.witness = witness
        self.users, self.clock, self.rng, self.registry, self.is_over = users, clock, rng, registry, is_over
        self.services: dict[str, Service] = {}
        self.tags: dict[str, str] = {}
        self.deleted: set[str] = set()
        self.engines: Sequence[ModelEngine] = ()
        self.ingress = Ingress(users, clock, rng, witness)
        self.scaling: Scaling
        self.scaled: set[str] = set()
        self._seconds, self._creations = 0.0, 0

    def begin(self, seconds: float) -> None:
        rng, self._seconds = self.rng, seconds
        self.ingress.begin()
        for tag, program in PROGRAMS.items():
            self.registry.push(tag, program)
        for document in families():
            request = i.RegisterTaskDefinition(document, {}, "test")
            self.clock.after(rng.uniform(0.0, SETTLE_SECONDS / 2), self.users.ask, request)
        for number in range(rng.randint(1, SERVICES_MAX)):
            at = SETTLE_SECONDS if not number else rng.uniform(SETTLE_SECONDS, seconds / 2)
            self.clock.after(at, self.create, f"web-{number}")
        for act, pause in self._acts():
            self._again(act, pause)

    def _again(self, act: Callable[[str], None], pause: float) -> None:
        """Now and then, to one of the services."""
        moment = self.clock.now + self.rng.expovariate(1 / pause)
        if moment < self._seconds:
            self.clock.at(moment, self._happen, act, pause)

    def _happen(self, act: Callable[[str], None], pause: float) -> None:
        known = list(self.services)
        if known and not self.is_over():
            name = self.rng.choice(known)
            (self.create if name in self.deleted else act)(name)
        self._again(act, pause)

    def _acts(self) -> list[tuple[Callable[[str], None], float]]:
        """With the mean pause between two, in seconds."""
        return [
            (self.deploy, 25.0),
            (self.scale, 20.0),
            (self.force, 60.0),
            (self.protect, 30.0),
            (self.stop_task, 25.0),
            (self.stop_deployment, 60.0),
            (self.delete, 150.0),
            (self.move_tag, 8.0),
            (self.lose_registry, 60.0),
            (self.end_container, 25.0),
            (self.sicken, 40.0),
            (self.silence, 60.0),
            (self.rebalance, 20.0),
            (self.stop_rebalance, 120.0),
        ]

    # What they ask for.

    def create(self, name: str) -> None:
        rng = self.rng
        self._creations += 1
        token = f"creation-{self._creations}"
        is_daemon = rng.random() < DAEMON_SHARE
        desired = 0 if is_daemon else rng.randint(1, DESIRED_MAX)
        revision = ServiceRevision(
            cluster=CLUSTER,
            service=name,
            id="",
            created_at=0,
            definition=self._family(name, bad=0.15),
            load_balancers=(LoadBalancer(GROUP, "app", 80),) if rng.random() < 0.4 else (),
        )
        is_scaled = not is_daemon and rng.random() < SCALED_SHARE
        (self.scaled.add if is_scaled else self.scaled.discard)(name)
        minimum, maximum = rng.choice(DAEMON_PERCENTS) if is_daemon else self._percents(desired)
        if is_scaled:
            minimum, maximum = rng.choice(SCALED_PERCENTS)
        breaker = self._breaker()
        service = Service(
            cluster=CLUSTER,
            name=name,
            created_at=0,
            scheduling_strategy=DAEMON if is_daemon else REPLICA,
            desired_count=desired,
            revision="",
            deployment="",
            grace_seconds=rng.choice((0, 0, 10)),
            configuration=DeploymentConfiguration(minimum, maximum, breaker, progress_minutes=rng.choice((2, 5))),
            client_token=token,
            request_digest=token,
        )
        self.users.ask(services.CreateService(service, revision))

    def _percents(self, desired: int) -> tuple[int, int]:
        return self.rng.choice([each for each in PERCENTS if may_move(desired, *each)])

    def _breaker(self) -> CircuitBreaker:
        rng = self.rng
        return CircuitBreaker(
            enable=rng.random() < 0.85,
            rollback=rng.random() < 0.8,
            threshold_type="COUNT",
            threshold_value=rng.choice((2, 3, 3, 5)),
            reset_on_healthy_task=rng.random() < 0.7,
        )

    def _family(self, name: str, bad: float) -> str:
        """A service's tasks have a health check, or have none."""
        rng = self.rng
        checked = self.tags.setdefault(name, rng.choice(("", CHECKED)))
        tag = rng.choice(BAD) if rng.random() < bad else rng.choice((*GOOD, "moving"))
        return f"{tag}{checked}"

    def _update(self, name: str, **changes: Any) -> None:
        self.users.ask(services.UpdateService(CLUSTER, name, **changes))

    def deploy(self, name: str) -> None:
        self._update(name, revision={"definition": self._family(name, bad=0.45)})

    def deploy_good(self, name: str) -> None:
        self._update(name, revision={"definition": self._family(name, bad=0.0)})

    def scale(self, name: str) -> None:
        if self.services[name].scheduling_strategy == DAEMON or name in self.scaled:
            return
        desired = self.rng.randint(1, DESIRED_MAX)
        minimum, maximum = self._percents(desired)
        configuration = {"minimum_healthy_percent": minimum, "maximum_percent": maximum}
        self._update(name, service={"desired_count": desired}, configuration=configuration)

    def rebalance(self, _name: str) -> None:
        """All services; while one is in progress, another is refused."""
        rng = self.rng
        kind = rng.choice((SPREAD, SPREAD, EMPTY))
        named = [engine.host for engine in self.engines] if kind == EMPTY and rng.random() < 0.7 else []
        wanted = Wanted(kind, tuple(rng.sample(named, min(1, len(named)))), budget=Budget(20, rng.choice((1, 3))))
        self.users.ask(StartRebalance(CLUSTER, wanted))

    def stop_rebalance(self, _name: str) -> None:
        self.users.ask(StopRebalance(CLUSTER, "", "by hand"))

    def force(self, name: str) -> None:
        self._update(name, is_forced=True)

    def protect(self, name: str) -> None:
        tasks = self._tasks(name)
        if tasks:
            chosen = tuple(self.rng.sample(tasks, self.rng.randint(1, len(tasks))))
            minutes = self.rng.choice((0, 1, 1, 2))
            self.users.ask(services.ProtectTasks(CLUSTER, chosen, minutes))

    def stop_task(self, name: str) -> None:
        tasks = self._tasks(name)
        if tasks:
            self.users.ask(i.StopTask(CLUSTER, self.rng.choice(tasks), "by hand"))

    def stop_deployment(self, name: str) -> None:
        under_way = self.witness.under_way(name)
        if under_way:
            kind = self.rng.choice(("ABORT", "ROLLBACK"))
            self.users.ask(services.StopServiceDeployment(CLUSTER, name, under_way[-1], kind))

    def delete(self, name: str) -> None:
        self.deleted.add(name)
        self.users.ask(services.DeleteService(CLUSTER, name, force=True))

    def _tasks(self, name: str) -> list[str]:
        return [task.id for task in self.witness.wanted(name)]

    # What befalls them.

    def move_tag(self, _name: str) -> None:
        self.registry.push("moving", PROGRAMS["moving"])

    def lose_registry(self, _name: str) -> None:
        self.registry.away = True
        seconds = self.rng.choice((2.0, 10.0, 30.0)) * self.rng.uniform(0.3, 1.0)
        self.clock.after(seconds, setattr, self.registry, "away", False)

    def end_container(self, name: str) -> None:
        for engine, box in self._box_of(name):
            engine.exit(box, 1, "itself", box.runs)

    def sicken(self, name: str) -> None:
        for engine, box in self._box_of(name):
            box.program = Program(is_healthy=False)
            if box.health == "HEALTHY":
                engine.set_health(box, "UNHEALTHY", box.runs)

    def silence(self, _name: str) -> None:
        self.ingress.fall_silent(self.rng.uniform(2.0, 20.0))

    def _box_of(self, name: str) -> list[tuple[ModelEngine, Box]]:
        """One of the service's containers that run."""
        tasks = set(self._tasks(name))
        boxes = [(engine, box) for engine in self.engines if engine.up for box in engine.boxes.values()]
        boxes = [(engine, box) for engine, box in boxes if box.task in tasks and box.state == "running"]
        return [self.rng.choice(boxes)] if boxes else []

    # Answers.

    def answered(self, request: Any, reply: Any) -> None:
        match request:
            case services.CreateService() | services.UpdateService():
                self.services[reply.name] = reply
                self.deleted.discard(reply.name)
                if isinstance(request, services.CreateService) and reply.name in self.scaled:
                    self.scaling.begin(reply.name)
            case autoscaling.RegisterScalableTarget():
                self.scaling.registered(request.service)

    def unanswered(self, request: Any) -> None:
        """Nobody knows whether it was stored: so it is asked for again, with its token."""
        if isinstance(request, services.CreateService | services.DeleteService):
            self.users.ask(request)

    # The end.

    def look_after(self) -> None:
        """Somebody sees that a service is at an end with its wisdom: its last deployment was stopped where it was, or
        its image will never do and nothing ends that or goes back."""
        for service in list(self.witness.services.values()):
            if service.status == "ACTIVE" and (self._is_halted(service) or self.is_bad(service)):
                self.deploy_good(service.name)

    def is_bad(self, service: Service) -> bool:
        revision = self.witness.revisions.get(service.revision)
        tag = revision.definition.partition(":")[0].removesuffix(CHECKED) if revision is not None else ""
        is_checked = revision is not None and (CHECKED in revision.definition or revision.load_balancers)
        return tag in BAD and (tag != "sick" or bool(is_checked)) and not self._will_end(service)

    def _is_halted(self, service: Service) -> bool:
        deployment = self.witness.deployments.get(service.deployment)
        return deployment is not None and deployment.is_halted

    def _will_end(self, service: Service) -> bool:
        """A deployment of which nobody needs to take care."""
        deployment = self.witness.deployments.get(service.deployment)
        breaker = service.configuration.circuit_breaker
        return deployment is not None and not deployment.is_over and breaker.enable
