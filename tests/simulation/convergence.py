"""What is still to be done: nothing, some time after the last fault. Desired is actual, queues are drained, nothing is
left over."""

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from shoal_scheduler.control.batch import children
from shoal_scheduler.model.service import DAEMON, Deployment, Service
from shoal_scheduler.model.task import Task
from shoal_scheduler.placement.filters import NO_ROW, fitting
from shoal_scheduler.state.tables import Tables

from tests.simulation import checkers
from tests.simulation.agent import CLUSTER, Host
from tests.simulation.job_checkers import counts_are_those_of_the_children
from tests.simulation.plan import JOBS, SERVICES
from tests.simulation.service_checkers import still_to_do
from tests.simulation.witness import is_of

if TYPE_CHECKING:
    from tests.simulation.cluster import Cluster


def unsettled(cluster: "Cluster") -> list[str]:
    leaders = [scheduler for scheduler in cluster.schedulers if scheduler.leads]
    if len(leaders) != 1 or leaders[0].plane is None:
        return [f"{len(leaders)} schedulers lead"]
    plane = leaders[0].plane
    found = [f"{cluster.users.ledger.under_way} requests are not answered"] if cluster.users.ledger.under_way else []
    found += _of_tasks(plane.tables, {host.name: host for host in cluster.hosts})
    found += [f"job {state.job} is not over" for state in cluster.witness.jobs.open()]
    found += [*_of_services(cluster, plane.tables), *_of_drained_hosts(plane.tables)]
    for host in cluster.hosts:
        found += _of_host(plane.tables, host, clock_jumped=cluster.plan.has("clock jump"))
    if not found and cluster.members.last_step() != plane.engine.store._step_revision:  # type: ignore[attr-defined]
        found.append("a commit is under way")
    if not found:
        cluster.witness.compare(plane.tables)
        cluster.witness.demand(checkers.first(_acknowledged(cluster, plane.tables)))
        cluster.witness.demand(checkers.first(cluster.witness.jobs.unexplained()))
        cluster.witness.demand(checkers.first(_counted(plane.tables)))
    return found


def _counted(tables: Tables) -> Iterator[checkers.Fault]:
    for job_id, entry in tables.batch.jobs.items():
        each = Counter(children.status(tables.batch, job_id, child) for child in range(entry.job.size))
        yield counts_are_those_of_the_children(job_id, children.counts(tables.batch, job_id), each)


def _of_tasks(tables: Tables, hosts: dict[str, Host]) -> Iterator[str]:
    for task in tables.tasks():
        if task.is_stopped:
            continue
        if task.desired_status == "STOPPED":
            yield f"task {task.id} on {task.instance} is to stop and is {task.last_status}"
        elif task.last_status == "PROVISIONING":
            yield from _waits_in_vain(tables, task)
        elif task.last_status != "RUNNING":
            yield f"task {task.id} on {task.instance} is {task.last_status}"
        elif not any(
            box.task == task.id and box.state == "running" for box in hosts[task.instance].engine.boxes.values()
        ):
            yield f"task {task.id} is RUNNING and nothing of it runs on {task.instance}"


def _of_services(cluster: "Cluster", tables: Tables) -> Iterator[str]:
    """A service of which nobody will ever see a good task is not waited for."""
    known = {service.name: service for service in tables.records.all(Service)}
    for name, tasks in cluster.witness.services.live.items():
        if tasks and (name not in known or known[name].status != "ACTIVE"):
            yield f"service {name} was deleted, and has {len(tasks)} tasks"
    for service in known.values():
        if service.status == "ACTIVE":
            deployment = tables.records.get(Deployment, service.cluster, service.name, service.deployment)
            desired = _daemons(tables) if service.scheduling_strategy == DAEMON else service.desired_count
            wanted = cluster.witness.services.wanted(service.name)
            yield from filter(None, [still_to_do(service, deployment, wanted, desired)])
        elif service.status == "DRAINING":
            yield f"service {service.name} is still DRAINING"


def _of_drained_hosts(tables: Tables) -> Iterator[str]:
    for instance in tables.instances.values():
        left = [task for task in tables.tasks_on(instance.id) if task.launch.service is not None]
        if instance.status == "DRAINING" and left:
            yield f"{instance.id} is DRAINING, and still has {left[0].id} of a service"


def _daemons(tables: Tables) -> int:
    return sum(instance.status == "ACTIVE" for instance in tables.instances.values())


def _waits_in_vain(tables: Tables, task: Task) -> Iterator[str]:
    room, held = tables.room(CLUSTER), tables.held.get(CLUSTER)
    kept = NO_ROW if held is None or held.launch == task.launch.id else room.rows[held.instance]
    if (fitting(tables.launches[task.launch.id].ask, room, kept) == 0).any():
        yield f"task {task.id} waits, though there is room"


def _of_host(tables: Tables, host: Host, *, clock_jumped: bool) -> Iterator[str]:
    if host.name not in tables.sessions:
        yield f"{host.name} is not connected"
    wanted = {task.id for task in tables.tasks_on(host.name)}
    if host.name in tables.instances:
        yield from filter(None, [checkers.who_goes_is_empty(tables.instances[host.name], tables.tasks_on(host.name))])
    if clock_jumped:  # what is dead stays for a time of the wall clock's: longer, where that was set back
        wanted |= {box.task for box in host.engine.boxes.values() if box.state == "exited"}
    for box in host.engine.boxes.values():
        if is_of(host, box) and box.task not in wanted:
            yield f"{host.name} has {box.state} {box.id} of task {box.task}, which is not assigned to it"
    known = host.worker.task_ids if host.worker is not None else frozenset()
    if known != wanted and not (clock_jumped and known < wanted):
        yield f"the agent of {host.name} knows {sorted(known ^ wanted)[0]} more or less than it should"


def _acknowledged(cluster: "Cluster", tables: Tables) -> Iterator[checkers.Fault]:
    ids = {task.id: task for task in tables.tasks()}
    # What ended an hour ago is forgotten, also where a clock made an hour of a second; and the oldest of many.
    forgets = any(map(cluster.plan.has, ("clock jump", JOBS, SERVICES)))
    recorded = cluster.witness.recorded if forgets else {}
    ids |= {task.id: task for task in recorded.values() if task.is_stopped}
    for submission, tasks in cluster.users.ledger.launches.items():
        for task in tasks:
            yield checkers.acknowledged_is_stored(f"task {task} of {submission}", task in ids)
    for token, job in cluster.witness.jobs.told.items():
        yield checkers.acknowledged_is_stored(f"job {job} of {token}", job in tables.batch.jobs)
    for task in cluster.users.ledger.stopped:
        yield checkers.acknowledged_is_stored(f"the stop of {task}", ids[task].desired_status == "STOPPED")
