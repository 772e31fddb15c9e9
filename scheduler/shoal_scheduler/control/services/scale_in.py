"""In which order tasks of a service are given up. Pure.

First those that are missed least: what waits for room, what has not started, what is unhealthy, what is to leave its
instance, what is not healthy yet. Then the mirror of the placement strategies, rule by rule:

    spread    from where most tasks of the service are: of an availability zone, of an instance
    binpack   from the instance that has the most left afterwards, which may so become empty
    random    none is preferred

and at last those that were started last. A protected task is not given up, unless it is unhealthy or its service was
deleted.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from shoal_scheduler.control.services.health import is_healthy, is_running, is_unhealthy
from shoal_scheduler.control.services.launching import strategies_of
from shoal_scheduler.control.services.view import ServiceView
from shoal_scheduler.model.ask import Strategy, resources_of
from shoal_scheduler.model.service import ACTIVE
from shoal_scheduler.model.task import Task

# The lower, the sooner it is given up.
Weight = tuple[int, ...]

_BY_INSTANCE = ("instanceId", "host")


def order(seen: ServiceView, tasks: Sequence[Task], beside: Sequence[Task] = ()) -> Iterator[Task]:
    """Those that may be given up, one after another: each as if those before it were gone. `tasks`: the oldest first.
    `beside`: those that count as well where the service is to stay balanced."""
    alike: dict[_Kind, list[tuple[int, Task]]] = {}
    for number, task in enumerate(tasks):
        if not is_protected(seen, task):
            alike.setdefault(_Kind(_rank(seen, task), task.instance), []).append((number, task))
    left = _Left(seen, alike, [*tasks, *beside])
    while alike:
        kind = left.first()
        _, task = alike[kind].pop()
        yield task
        if not alike[kind]:
            del alike[kind]
        left.take(kind, task)


def is_protected(seen: ServiceView, task: Task) -> bool:
    """From scale-in and deployments: not from the end of its service."""
    is_deleted = seen.service.status != ACTIVE
    return task.protected_until > seen.now and not is_deleted and not is_unhealthy(seen, task)


class _Kind(NamedTuple):
    """Tasks of which the last that started is given up first."""

    rank: int
    instance: str


class _Left:
    """What is left of the service after the tasks that were taken."""

    def __init__(
        self, seen: ServiceView, alike: Mapping[_Kind, Sequence[tuple[int, Task]]], counted: Sequence[Task]
    ) -> None:
        self._seen = seen
        self._alike = alike
        self._strategies = strategies_of(seen.service)
        values = {name: self._values(name) for name in dict.fromkeys(task.instance for task in counted)}
        self._values_of = values
        self._counts = [
            Counter(values[task.instance][level] for task in counted) for level in range(len(self._strategies))
        ]
        self._freed: Counter[tuple[str, str]] = Counter()
        self._sharing: dict[tuple[int, str], list[_Kind]] = {}
        for kind in alike:
            for shared in enumerate(values[kind.instance]):
                self._sharing.setdefault(shared, []).append(kind)
        self._weights = {kind: self._weight(kind) for kind in alike}

    def first(self) -> _Kind:
        return min(self._weights, key=self._weights.__getitem__)

    def take(self, kind: _Kind, task: Task) -> None:
        shared = list(enumerate(self._values_of[kind.instance]))
        for level, value in shared:
            self._counts[level][value] -= 1
        for field in ("cpu", "memory"):
            self._freed[kind.instance, field] += self._size(task, field)
        for other in dict.fromkeys([kind, *(each for level in shared for each in self._sharing[level])]):
            if other in self._alike:
                self._weights[other] = self._weight(other)
            else:
                self._weights.pop(other, None)

    def _weight(self, kind: _Kind) -> Weight:
        number, task = self._alike[kind][-1]
        levels = enumerate(self._strategies)
        return (kind.rank, *(-self._amount(level, strategy, task) for level, strategy in levels), -number)

    def _amount(self, level: int, strategy: Strategy, task: Task) -> int:
        """The more, the sooner a task there is given up."""
        if strategy.type == "spread":
            return self._counts[level][self._values_of[task.instance][level]]
        if strategy.type == "binpack":
            field = strategy.field
            free = self._seen.free.get(task.instance, {}).get(field, 0)
            return free + self._freed[task.instance, field] + self._size(task, field)
        return 0

    def _values(self, instance_id: str) -> tuple[str, ...]:
        """What each strategy looks at, of a task there."""
        instance = self._seen.instances.get(instance_id)
        return tuple(
            (instance.attribute(each.field.removeprefix("attribute:")) or "")
            if each.type == "spread" and each.field not in _BY_INSTANCE and instance is not None
            else instance_id
            for each in self._strategies
        )

    def _size(self, task: Task, field: str) -> int:
        definition = self._seen.definitions.get(task.launch.definition)
        if definition is None:
            return 0
        resources = resources_of(definition, task.launch.overrides)
        return {"cpu": resources.cpu, "memory": resources.memory_mib}.get(field, 0)


def _rank(seen: ServiceView, task: Task) -> int:
    if not task.instance:
        return 0
    if not is_running(task):
        return 1
    if is_unhealthy(seen, task):
        return 2
    if seen.is_leaving(task):
        return 3
    return 5 if is_healthy(seen, task) else 4
