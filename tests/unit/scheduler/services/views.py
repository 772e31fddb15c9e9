"""What a look at a service sees, made by hand."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from shoal_scheduler.control.services.view import ServiceView
from shoal_scheduler.model.alarm import Alarm
from shoal_scheduler.model.definition import Definition
from shoal_scheduler.model.service import (
    IN_PROGRESS,
    CircuitBreaker,
    Deployment,
    DeploymentAlarms,
    DeploymentConfiguration,
    Service,
    ServicePart,
    ServiceRevision,
)
from shoal_scheduler.model.task import ContainerState, Launch, Task

NOW = 10_000_000
OLD, NEW = "old", "new"
BREAKER = CircuitBreaker(enable=True, rollback=True)
NO_BREAKER, NO_ALARMS = CircuitBreaker(), DeploymentAlarms()

DEFINITION = Definition(
    family="web",
    revision=1,
    registered_at=1,
    document={"containerDefinitions": [{"name": "app", "image": "web:7", "cpu": 256, "memory": 512}]},
)


def task(number: int, revision: str = NEW, deployment: str = "d2", **more: Any) -> Task:
    """RUNNING and healthy at NOW unless told otherwise; each of its own launch."""
    launch = Launch(
        id=f"{number:024x}",
        cluster="default",
        definition="web:1",
        created_at=more.pop("created_at", NOW - 100_000),
        count=1,
        group="service:web",
        service=ServicePart("web", revision, deployment),
    )
    fields = {
        "instance": "a",
        "last_status": "RUNNING",
        "started_at": NOW - 90_000,
        "containers": (ContainerState("app", "RUNNING", "id", image_digest="sha256:11"),),
    }
    return Task(launch=launch, index=0, **{**fields, **more})


def tasks(count: int, revision: str = NEW, first: int = 0, **more: Any) -> list[Task]:
    deployment = "d2" if revision == NEW else "d1"
    return [task(first + number, revision, deployment, **more) for number in range(count)]


def revision(name: str, *, is_resolved: bool = True) -> ServiceRevision:
    return ServiceRevision(
        cluster="default", service="web", id=name, created_at=1, definition="web:1", is_resolved=is_resolved
    )


def deployment(name: str = "d2", to: str = NEW, status: str = IN_PROGRESS, **more: Any) -> Deployment:
    created_at = more.pop("created_at", int(name.removeprefix("d")) * 1000)
    return Deployment(
        cluster="default", service="web", id=name, revision=to, status=status, created_at=created_at, **more
    )


def under_way(**more: Any) -> Deployment:
    return deployment(**{"started_at": NOW - 100_000, "progressed_at": NOW - 100_000, "fewest_left": 4, **more})


def seen(
    running: Sequence[Task] = (),
    now_at: Deployment | None = None,
    *,
    earlier: Iterable[Deployment] = (),
    desired: int = 4,
    breaker: CircuitBreaker = NO_BREAKER,
    alarms: DeploymentAlarms = NO_ALARMS,
    known_alarms: Mapping[str, Alarm] | None = None,
    is_resolved: bool = True,
    now: int = NOW,
    definition: Definition = DEFINITION,
    **configuration: Any,
) -> ServiceView:
    """Of service `web`, which moves from revision `old` to `new` unless told otherwise."""
    latest = now_at or under_way()
    revisions = {OLD: revision(OLD), NEW: revision(NEW, is_resolved=is_resolved)}
    service = Service(
        cluster="default",
        name="web",
        created_at=1,
        desired_count=desired,
        revision=latest.rollback_revision or latest.revision,
        deployment=latest.id,
        configuration=DeploymentConfiguration(circuit_breaker=breaker, alarms=alarms, **configuration),
    )
    return ServiceView(
        service=service,
        revision=revisions[service.revision],
        revisions=revisions,
        deployment=latest,
        tasks=list(running),
        instances={},
        target_health={},
        target_groups={},
        now=now,
        definitions={"web:1": definition},
        deployments=[*earlier, latest],
        alarms=known_alarms or {},
    )


def with_containers(*containers: dict[str, Any]) -> Definition:
    return msgspec.structs.replace(DEFINITION, document={"containerDefinitions": list(containers)})
