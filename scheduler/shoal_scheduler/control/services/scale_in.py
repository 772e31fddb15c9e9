"""In which order tasks of a service are given up. Pure.

First those that are missed least: what waits for room, what has not started, what is unhealthy, what is to leave its
instance, what is not healthy yet. Then the mirror of the placement strategies, rule by rule:

    spread    from where most tasks of the service are: of an availability zone, of an instance
    binpack   from the instance that has the most left afterwards, which may so become empty
    random    none is preferred

and at last those that were started last. A protected task is not given up, unless it is unhealthy.
"""

import heapq
from collections import Counter
from collections.abc import Iterator, Sequence

from shoal_scheduler.control.services.health import is_healthy, is_running, is_unhealthy
from shoal_scheduler.control.services.launching import strategies_of
from shoal_scheduler.control.services.view import ServiceView
from shoal_scheduler.model.ask import Strategy, resources_of
from shoal_scheduler.model.task import Task

# The lower, the sooner it is given up.
Weight = tuple[int, ...]

_BY_INSTANCE = ("instanceId", "host")


def order(seen: ServiceView, tasks: Sequence[Task]) -> Iterator[Task]:
    """Those that may be given up, one after another: each as if those before it were gone."""
    left = _Left(seen)
    candidates = [task for task in reversed(tasks) if not is_protected(seen, task)]
    by_instance: dict[str, list[int]] = {}
    for number, task in enumerate(candidates):
        by_instance.setdefault(task.instance, []).append(number)
    heap = [(left.weight(task), number) for number, task in enumerate(candidates)]
    heapq.heapify(heap)
    given_up = set[int]()
    while heap:
        weight, number = heapq.heappop(heap)
        task = candidates[number]
        now = left.weight(task)
        if number in given_up:
            continue
        if now > weight:  # tasks before it have changed where most are
            heapq.heappush(heap, (now, number))
            continue
        given_up.add(number)
        yield task
        left.take(task)
        if left.gets_emptier:
            for other in by_instance[task.instance]:
                heapq.heappush(heap, (left.weight(candidates[other]), other))


def is_protected(seen: ServiceView, task: Task) -> bool:
    return task.protected_until > seen.now and not is_unhealthy(seen, task)


class _Left:
    """What is left of the service after the tasks that were taken."""

    def __init__(self, seen: ServiceView) -> None:
        self._seen = seen
        self._strategies = strategies_of(seen.service)
        self._counts = [Counter(self._value(each, task) for task in seen.wanted) for each in self._strategies]
        self._freed: Counter[tuple[str, str]] = Counter()

        # What is taken makes others on its instance more likely to follow, not less.
        self.gets_emptier = any(each.type == "binpack" for each in self._strategies)

    def weight(self, task: Task) -> Weight:
        ranks = zip(self._strategies, self._counts, strict=True)
        return (_rank(self._seen, task), *(-self._amount(each, counts, task) for each, counts in ranks))

    def take(self, task: Task) -> None:
        for strategy, counts in zip(self._strategies, self._counts, strict=True):
            counts[self._value(strategy, task)] -= 1
        for field in ("cpu", "memory"):
            self._freed[task.instance, field] += self._size(task, field)

    def _amount(self, strategy: Strategy, counts: Counter[str], task: Task) -> int:
        """The more, the sooner a task there is given up."""
        if strategy.type == "spread":
            return counts[self._value(strategy, task)]
        if strategy.type == "binpack":
            field = strategy.field
            free = self._seen.free.get(task.instance, {}).get(field, 0)
            return free + self._freed[task.instance, field] + self._size(task, field)
        return 0

    def _value(self, strategy: Strategy, task: Task) -> str:
        if strategy.field in _BY_INSTANCE:
            return task.instance
        instance = self._seen.instances.get(task.instance)
        found = instance.attribute(strategy.field.removeprefix("attribute:")) if instance is not None else None
        return found or ""

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
