"""Which tasks of a DAEMON service start and stop now: one on each ACTIVE instance that meets its constraints. Pure.

On an instance that is to have one, a task that goes (of another revision, unhealthy, moved away) is replaced within the
percents of all those instances, as control.services.rolling says: the new one first where the maximum allows, else in
its place, down to the minimum. Elsewhere nothing is replaced: what an instance does not match any more is stopped, and
on one that is drained the daemon goes last, after whatever it may serve.
"""

from collections.abc import Sequence

from shoal_scheduler.control.services.health import is_healthy, is_running, is_unhealthy, why_unhealthy
from shoal_scheduler.control.services.launching import instance_of, is_outdated
from shoal_scheduler.control.services.plan import Plan, Stop
from shoal_scheduler.control.services.scale_in import is_protected
from shoal_scheduler.control.services.view import ServiceView
from shoal_scheduler.model.task import Task

# Nothing tells when the last other task of a drained instance has ended.
DRAINED_AGAIN_MILLIS = 2_000


def plan(seen: ServiceView, most: int | None = None) -> Plan:
    """`most`: no more than so many tasks may start now; None for no bound."""
    places = {name: _Place(seen) for name in seen.daemon_on}
    elsewhere = []
    for task in seen.wanted:
        place = places.get(instance_of(task))
        if place is None:
            elsewhere.append(task)
        else:
            place.put(task)
    stops = [Stop(task, _reason(seen, task)) for task in elsewhere if task.instance not in seen.draining_others]
    rolling = _Rolling(seen, places, len(places) if most is None else most)
    for name, place in places.items():
        rolling.look_at(name, place)
    rests = not rolling.start_on and not rolling.stops and all(map(is_running, seen.tasks))
    return Plan(
        start_on=tuple(rolling.start_on),
        stop=(*stops, *rolling.stops),
        due_at=_due_at(seen, places, elsewhere),
        is_stuck=rests and rolling.is_held_up,
    )


class _Place:
    """The tasks of one instance: those that stay, the healthiest first, and those that go."""

    def __init__(self, seen: ServiceView) -> None:
        self._seen = seen
        self.stay: list[Task] = []
        self.go: list[Task] = []

    def put(self, task: Task) -> None:
        goes = is_outdated(self._seen, task) or task.id in self._seen.moving or is_unhealthy(self._seen, task)
        (self.go if goes else self.stay).append(task)
        self.stay.sort(key=lambda each: not is_healthy(self._seen, each))


class _Rolling:
    def __init__(self, seen: ServiceView, places: dict[str, _Place], most: int) -> None:
        self._seen = seen
        tasks = [task for place in places.values() for task in (*place.stay, *place.go)]
        self._healthy = {task.key for task in tasks if is_healthy(seen, task)}
        self._total = len(tasks)
        self._most = most
        self._comes = any(not is_healthy(seen, task) for place in places.values() for task in place.stay)
        self.start_on: list[str] = []
        self.stops: list[Stop] = []
        self.is_held_up = False

    def look_at(self, name: str, place: _Place) -> None:
        seen = self._seen
        for task in (*place.stay[1:], *(task for task in place.go if not is_running(task))):
            self._stop(task)
        go = [task for task in place.go if is_running(task) and not is_protected(seen, task)]
        if place.stay:
            for task in go if is_healthy(seen, place.stay[0]) else ():
                if self._is_minimum_left(task) or is_unhealthy(seen, task):
                    self._stop(task)
            return
        if len(self.start_on) >= self._most:
            return
        for task in go:
            if self._total >= seen.maximum_total and self._may_stop(task):
                self._stop(task)
        if self._total < seen.maximum_total:
            self._start(name)
        else:
            self.is_held_up = True

    def _may_stop(self, task: Task) -> bool:
        return self._is_minimum_left(task) or (is_unhealthy(self._seen, task) and not self._comes)

    def _is_minimum_left(self, without: Task) -> bool:
        return len(self._healthy - {without.key}) >= self._seen.minimum_healthy

    def _start(self, name: str) -> None:
        self.start_on.append(name)
        self._total += 1
        self._comes = True

    def _stop(self, task: Task) -> None:
        self.stops.append(Stop(task, _reason(self._seen, task)))
        self._healthy.discard(task.key)
        self._total -= 1


def _reason(seen: ServiceView, task: Task) -> str:
    return why_unhealthy(seen, task) or f"Scaling activity initiated by (deployment {seen.deployment.started_by})"


def _due_at(seen: ServiceView, places: dict[str, _Place], elsewhere: Sequence[Task]) -> int | None:
    moments = [task.protected_until for place in places.values() for task in place.go]
    if any(task.instance in seen.draining_others for task in elsewhere):
        moments.append(seen.now + DRAINED_AGAIN_MILLIS)
    return min((moment for moment in moments if moment > seen.now), default=None)
