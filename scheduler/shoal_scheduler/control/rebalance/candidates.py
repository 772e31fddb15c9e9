"""Which services have tasks that may move, and what their next task will ask for. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from shoal_scheduler.control.services.launching import OVER_ZONES, strategies_of
from shoal_scheduler.model.ask import Ask, images_of, platform_of, resources_of
from shoal_scheduler.model.definition import Definition
from shoal_scheduler.model.service import ACTIVE, Deployment, Service, ServiceRevision
from shoal_scheduler.model.task import Task
from shoal_scheduler.placement.expression import parse
from shoal_scheduler.placement.expression_tree import group_tests
from shoal_scheduler.placement.filters import is_volatile
from shoal_scheduler.state.overlay import Overlay


@dataclass(frozen=True, slots=True)
class Candidate:
    """A service; `fixed`: why none of its tasks moves, "" if they may."""

    service: Service
    ask: Ask
    fixed: str = ""


def candidates(view: Overlay, cluster: str) -> list[Candidate]:
    """All services of the cluster that have tasks, by name."""
    services = sorted(view.records.of(Service, cluster), key=lambda service: service.name)
    found = [(service, ask) for service in services if (ask := _ask(view, service)) is not None]
    looked_at = list(_looking_at_tasks(ask for _, ask in found))
    return [Candidate(service, ask, _fixed(view, service, ask, looked_at)) for service, ask in found]


def candidate_of(view: Overlay, service: Service) -> Candidate | None:
    """The same of one, whatever other services' constraints look at; None if it has nothing to run."""
    ask = _ask(view, service)
    return None if ask is None else Candidate(service, ask, _fixed(view, service, ask, ()))


def may_move(task: Task, now: int) -> bool:
    """It runs, nobody has asked it to stop, and it is not protected."""
    return task.last_status == "RUNNING" and task.desired_status == "RUNNING" and task.protected_until <= now


def is_steady(service: Service, tasks: Sequence[Task]) -> bool:
    """As many run as are desired, and nothing comes or goes. `tasks`: those that are not STOPPED."""
    return len(tasks) == service.desired_count and all(
        task.last_status == "RUNNING" and task.desired_status == "RUNNING" for task in tasks
    )


def newest_first(tasks: Sequence[Task]) -> list[Task]:
    """Those that ran longest are disturbed last."""
    return sorted(tasks, key=lambda task: (-task.started_at, task.id))


def is_over_zones(ask: Ask) -> bool:
    """Whether its zones come first, as ECS asks of a service whose zones are rebalanced."""
    return ask.strategies[:1] == (OVER_ZONES,)


def ask_of_service(service: Service, definition: Definition) -> Ask:
    """What its next task wants of an instance."""
    constraints = definition.document.get("placementConstraints", ())
    return Ask(
        resources=resources_of(definition, {}),
        group=service.group,
        expressions=(*service.expressions, *(constraint["expression"] for constraint in constraints)),
        distinct_instance=service.distinct_instance,
        strategies=strategies_of(service),
        required_attributes=platform_of(definition.document),
        images=images_of(definition),
    )


def _ask(view: Overlay, service: Service) -> Ask | None:
    if not service.desired_count and not service.is_daemon:
        return None
    revision = view.records.get(ServiceRevision, service.cluster, service.name, service.revision)
    if revision is None:
        return None
    family, _, number = revision.definition.rpartition(":")
    definition = view.definition(family, int(number))
    return None if definition is None else ask_of_service(service, definition)


def _fixed(view: Overlay, service: Service, ask: Ask, looked_at: Sequence[str]) -> str:
    if service.status != ACTIVE:
        return "it is being deleted"
    if service.is_daemon:
        return "a DAEMON service has one task on each instance"
    deployment = view.records.get(Deployment, service.cluster, service.name, service.deployment)
    if deployment is None or not deployment.is_over:
        return "a deployment of it is under way"
    configuration, desired = service.configuration, service.desired_count
    most = desired * configuration.maximum_percent // 100
    least = -(-desired * configuration.minimum_healthy_percent // 100)
    if most <= desired <= least:
        return "its percents let no task be replaced: raise maximumPercent, or lower minimumHealthyPercent"
    if is_volatile(ask):
        return "its constraints look at what other tasks run where"
    if any(_looks_at(expression, service.group) for expression in looked_at):
        return "constraints of another service look at where its tasks run"
    return ""


def _looking_at_tasks(asks: Iterator[Ask]) -> Iterator[str]:
    """Expressions that look at other tasks, each once."""
    return iter(dict.fromkeys(each for ask in asks for each in ask.expressions if parse(each).is_volatile))


def _looks_at(expression: str, group: str) -> bool:
    return any(passes(group) for passes in group_tests(parse(expression)))
