"""What the ingress is to route: which tasks are targets of which groups, where each is, and by which names it is found.
Pure.

A target is a task of a service whose revision names the group, RUNNING and not to stop: one that drains is out. It is
where its instance is, at the host port that its container's port was published on; on a host's own network that is the
container's port, and a task with a network of its own (awsvpc) has its ports published on the host as well.
"""

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from shoal_scheduler.model.instance import Instance
from shoal_scheduler.model.service import INACTIVE, Service, ServiceRevision
from shoal_scheduler.model.task import Task
from shoal_scheduler.model.traffic import HEALTHY, UNHEALTHY
from shoal_scheduler.state.tables import Tables

ZONE = "shoal.internal"

# As agents say it; an agent that says nothing may be found by its host's name.
ADDRESS = "shoal.address"


class Place(NamedTuple):
    """`port`: 0 if the service names none."""

    host: str
    port: int


class Target(NamedTuple):
    target_group: str
    task: Task
    place: Place


class Endpoint(NamedTuple):
    """Of a name."""

    task: Task
    place: Place


class Routes(NamedTuple):
    """Of a service, in an order that is the same each time. `names`: by name, without a dot at its end."""

    targets: list[Target]
    names: dict[str, list[Endpoint]]


def routed_services(tables: Tables, cluster: str) -> list[Service]:
    found = [each for each in tables.records.of(Service, cluster) if each.status != INACTIVE]
    return sorted(found, key=lambda each: each.name)


def routes_of(tables: Tables, service: Service) -> Routes:
    """Of a name only those that may answer to it."""
    targets = [target for task in running(tables, service) for target in targets_of(tables, task)]
    names = endpoints_of(tables, service)
    return Routes(targets, {name: answering(tables, found) for name, found in names.items()})


def endpoints_of(tables: Tables, service: Service) -> dict[str, list[Endpoint]]:
    """By name, healthy or not. The name of a service is there also while it has no task."""
    names: dict[str, list[Endpoint]] = {full_name(service.name, service.cluster): []}
    for task in running(tables, service):
        for name, endpoint in _named(tables, service, task):
            names.setdefault(name, []).append(endpoint)
    return names


def targets_by_group(tables: Tables, service: Service) -> Counter[str]:
    """How many of its tasks are targets of each group, by what their revisions say."""
    revisions = (revision_of(tables, task) for task in running(tables, service))
    return Counter(each.target_group for revision in revisions if revision for each in revision.load_balancers)


def running(tables: Tables, service: Service) -> list[Task]:
    """Those that may be sent requests."""
    keys = tables.services.live.get((service.cluster, service.name), {})
    found = (tables.task(key) for key in sorted(keys))
    return [task for task in found if task is not None and is_routed(task)]


def is_routed(task: Task) -> bool:
    return task.last_status == "RUNNING" and task.desired_status == "RUNNING"


def targets_of(tables: Tables, task: Task) -> Iterator[Target]:
    """In whatever state it is, if its place is known."""
    revision = revision_of(tables, task)
    instance = tables.instances.get(task.instance)
    if revision is None or instance is None:
        return
    for each in revision.load_balancers:
        port = published_port(task, each.container, each.port)
        if port:
            yield Target(each.target_group, task, Place(address_of(instance), port))


def revision_of(tables: Tables, task: Task) -> ServiceRevision | None:
    part = task.launch.service
    if part is None:
        return None
    return tables.records.get(ServiceRevision, task.launch.cluster, part.service, part.revision)


def published_port(task: Task, container: str, port: int) -> int:
    """Of the host; 0 if it is not known, or not published."""
    for state in task.containers:
        for binding in state.bindings if state.name == container else ():
            if binding.container_port == port and binding.protocol == "tcp":
                return binding.host_port
    return 0


def address_of(instance: Instance) -> str:
    """Where it is reached: an address, or the name of its host if its agent says nothing else."""
    return instance.attribute(ADDRESS) or instance.hostname


def _named(tables: Tables, service: Service, task: Task) -> Iterator[tuple[str, Endpoint]]:
    """By the service's name, and by those of its registries."""
    revision, instance = revision_of(tables, task), tables.instances.get(task.instance)
    if revision is None or instance is None:
        return
    host = address_of(instance)
    ports = [published_port(task, each.container, each.port) for each in revision.load_balancers]
    found = {full_name(service.name, service.cluster): next(filter(None, ports), 0)}
    for registry in revision.registries:
        name = full_name(registry.name, service.cluster)
        found[name] = published_port(task, registry.container, registry.port) or found.get(name, 0)
    for name, port in found.items():
        yield name, Endpoint(task, Place(host, port))


def full_name(name: str, cluster: str) -> str:
    """
    >>> full_name("Web", "default"), full_name("db.other.shoal.internal", "default")
    ('web.default.shoal.internal', 'db.other.shoal.internal')
    """
    whole = name if name.endswith(f".{ZONE}") else f"{name}.{cluster}.{ZONE}"
    return whole.lower()


def answering(tables: Tables, found: list[Endpoint]) -> list[Endpoint]:
    """Those that are not known to be ill; all, if all are."""
    well = [each for each in found if health_of(tables, each.task) != UNHEALTHY]
    return well or found


def health_of(tables: Tables, task: Task) -> str:
    """What its containers' checks and the load balancer say of it: healthy, unhealthy, or "" for nothing."""
    said = {state.health_status for state in task.containers}
    said |= {health.state for health in tables.services.target_health.get(task.key, {}).values()}
    if "UNHEALTHY" in said or UNHEALTHY in said:
        return UNHEALTHY
    return HEALTHY if "HEALTHY" in said or HEALTHY in said else ""
