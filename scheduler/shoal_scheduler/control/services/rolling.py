"""Which tasks of a REPLICA service start and stop now. Pure.

What is *kept* is current, healthy or on its way, and stays where it is. What *goes* is of another revision, leaves its
instance, or is unhealthy: it is replaced. At every look:

    total     never more than floor(desired * maximum %) tasks are wanted because of what a look starts
    healthy   never fewer than ceil(desired * minimum %) are healthy because of what a look stops

Replacements come first wherever the maximum allows: what goes is stopped once as many tasks as are desired are healthy.
It is stopped before, down to the minimum, only where its place is needed: the maximum is reached, or a replacement
waits for room. Below the minimum only unhealthy tasks are stopped, one by one: each once the last replacement is
healthy.
"""

from collections.abc import Iterator, Sequence
from itertools import islice

from shoal_scheduler.control.services import scale_in
from shoal_scheduler.control.services.health import is_healthy, is_running, is_unhealthy, why_unhealthy
from shoal_scheduler.control.services.launching import is_outdated
from shoal_scheduler.control.services.plan import Plan, Stop
from shoal_scheduler.control.services.view import ServiceView
from shoal_scheduler.model.task import Task


def plan(seen: ServiceView, most: int | None = None) -> Plan:
    """`most`: no more than so many tasks may start now; None for no bound."""
    kept, going = _parted(seen)
    budget = _Budget(seen)
    for task in going:
        if not is_running(task):
            budget.stop(task)  # it serves nobody yet
    excess = len(kept) - seen.desired
    for task in islice(scale_in.order(seen, kept), excess) if excess > 0 else ():
        if budget.healthy_without(task) >= seen.minimum_healthy or not budget.is_healthy(task):
            budget.stop(task)
    missing = max(0, seen.desired - len(kept))
    missing = missing if most is None else min(missing, most)
    room = max(0, seen.maximum_total - budget.total)
    waiting = sum(not task.instance for task in kept)
    _make_way(seen, kept, going, budget, places=max(0, missing - room), waiting=waiting)
    start = min(missing, max(0, seen.maximum_total - budget.total))
    rests = not start and not budget.stops and all(map(is_running, seen.tasks))
    return Plan(
        start=start,
        stop=tuple(budget.stops),
        due_at=min(_protected_until(seen, going, kept), default=None),
        is_stuck=rests and missing > 0,
    )


def _parted(seen: ServiceView) -> tuple[list[Task], list[Task]]:
    kept: list[Task] = []
    going: list[Task] = []
    for task in seen.wanted:
        goes = is_outdated(seen, task) or seen.is_leaving(task) or is_unhealthy(seen, task)
        (going if goes else kept).append(task)
    return kept, going


class _Budget:
    """What is left of the service after the stops decided so far."""

    def __init__(self, seen: ServiceView) -> None:
        self._seen = seen
        self._healthy = {task.key for task in seen.wanted if is_healthy(seen, task)}
        self.total = len(seen.wanted)
        self.stops: list[Stop] = []

    @property
    def healthy(self) -> int:
        return len(self._healthy)

    def is_healthy(self, task: Task) -> bool:
        return task.key in self._healthy

    def healthy_without(self, task: Task) -> int:
        return len(self._healthy) - (task.key in self._healthy)

    def stop(self, task: Task) -> None:
        self._healthy.discard(task.key)
        self.total -= 1
        self.stops.append(Stop(task, _reason(self._seen, task)))


def _make_way(
    seen: ServiceView, kept: Sequence[Task], going: Sequence[Task], budget: _Budget, *, places: int, waiting: int
) -> None:
    """Stops of what runs and goes: as much as is replaced already, and more for as many `places` as are needed. What
    is `waiting` for room takes no place that a rebalance has a task leave: that stays as long as nothing replaces it.
    """
    enough, comes = max(seen.desired, seen.minimum_healthy), [task for task in kept if not budget.is_healthy(task)]
    running = [task for task in going if is_running(task)]
    for task in scale_in.order(seen, running, kept) if running else ():
        if budget.healthy < enough and not places and not waiting:
            break
        needed = places or (0 if task.id in seen.moving else waiting)
        left, is_bad = budget.healthy_without(task), is_unhealthy(seen, task)
        if left >= enough:
            budget.stop(task)
        elif needed and left >= seen.minimum_healthy:
            budget.stop(task)
            places, waiting = (places - 1, waiting) if places else (0, waiting - 1)
        elif needed and is_bad and not comes and not budget.stops:
            budget.stop(task)
            places = waiting = 0


def _reason(seen: ServiceView, task: Task) -> str:
    """ECS's words; but of rebalances it has none."""
    if task.id in seen.moving and not is_unhealthy(seen, task):
        return "Rebalanced: it goes on on another instance"
    return why_unhealthy(seen, task) or f"Scaling activity initiated by (deployment {seen.deployment.started_by})"


def _protected_until(seen: ServiceView, going: Sequence[Task], kept: Sequence[Task]) -> Iterator[int]:
    """Of tasks that would stop if they were not protected."""
    excess = kept if len(kept) > seen.desired else ()
    return (task.protected_until for task in (*going, *excess) if task.protected_until > seen.now)
