"""Tasks that requests reach are out of the load balancer for a while before they are told to stop. Pure.

Asked to stop, a RUNNING task of a service with load balancers becomes DEACTIVATING (ECS's word for it). From then on it
is no target any more, and its agent still lets it run, so that what it was sent is answered. Once the longest delay of
its target groups is over it is STOPPING, and its agent is told. The time is counted from `stopping_at`, which is in the
record: whoever leads comes to the same end.
"""

from collections.abc import Callable

import msgspec

from shoal_scheduler.control.services.view import ServiceView
from shoal_scheduler.model.service import ServiceRevision
from shoal_scheduler.model.task import Task
from shoal_scheduler.model.traffic import TargetGroup
from shoal_scheduler.state.records import Records


def is_to_drain(task: Task) -> bool:
    """Whether requests may be under way to it, so that it is not to stop at once."""
    return task.last_status == "RUNNING" and task.launch.service is not None and task.launch.service.is_target


def is_draining(task: Task) -> bool:
    """It is to stop, and its agent is not told yet."""
    return task.last_status == "DEACTIVATING" and task.desired_status == "STOPPED" and task.launch.service is not None


def drained(seen: ServiceView) -> list[Task]:
    """Those whose time is over, as they are told to stop."""
    return [
        msgspec.structs.replace(task, last_status="STOPPING", version=task.version + 1)
        for task in seen.tasks
        if is_draining(task) and _ends_at(seen, task) <= seen.now
    ]


def due_at(seen: ServiceView) -> int | None:
    """When the next one's time is over, in milliseconds."""
    moments = (_ends_at(seen, task) for task in seen.tasks if is_draining(task))
    return min((moment for moment in moments if moment > seen.now), default=None)


def _ends_at(seen: ServiceView, task: Task) -> int:
    part = task.launch.service
    revision = seen.revisions.get(part.revision) if part is not None else None
    return task.stopping_at + _longest(revision, seen.target_groups.get) * 1000


def delay(records: Records, task: Task) -> int:
    """For how many seconds the task is drained."""
    part = task.launch.service
    if part is None:
        return 0
    cluster = task.launch.cluster
    revision = records.get(ServiceRevision, cluster, part.service, part.revision)
    return _longest(revision, lambda name: records.get(TargetGroup, cluster, name))


def _longest(revision: ServiceRevision | None, group: Callable[[str], TargetGroup | None]) -> int:
    balancers = revision.load_balancers if revision is not None else ()
    found = (group(each.target_group) for each in balancers)
    return max((each.deregistration_delay for each in found if each is not None), default=0)
