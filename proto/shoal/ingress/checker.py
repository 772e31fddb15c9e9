"""Checks all targets, each by itself, for as long as it is one."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Self

import aiohttp

from shoal.ingress.checks import check
from shoal.ingress.health import Health, Key, after, pause_seconds
from shoal.v1 import traffic_pb2 as pb

Clock = Callable[[], int]


class Checker:
    def __init__(self, clock: Clock, changed: Callable[[], None]) -> None:
        """clock: milliseconds. changed: called when the state of a target is another one."""
        self._clock = clock
        self._changed = changed
        self._tasks: dict[Key, asyncio.Task[None]] = {}
        self._targets: dict[Key, tuple[pb.RoutedTarget, pb.TargetGroup]] = {}
        self.health: dict[Key, Health] = {}

        # Targets that were checked at least once.
        self._checked: set[Key] = set()
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, force_close=True))
        return self

    async def __aexit__(self, *_: object) -> None:
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert self._session is not None
        await self._session.close()

    def follow(self, groups: Sequence[pb.TargetGroup], targets: Sequence[pb.RoutedTarget]) -> None:
        """These are all. A target whose place has changed is a new one; a group's changed check is asked at once."""
        by_name = {group.target_group_name: group for group in groups}
        wanted = {
            Key(each.target_group, each.task_id): (each, by_name[each.target_group])
            for each in targets
            if each.target_group in by_name
        }
        for key, known in list(self._targets.items()):
            if wanted.get(key) != known:
                self._tasks.pop(key).cancel()
                del self._targets[key]
            if key not in wanted or wanted[key][0] != known[0]:
                self.health.pop(key, None)
                self._checked.discard(key)
        for key, (target, group) in wanted.items():
            if key not in self._targets:
                self._targets[key] = target, group
                self.health.setdefault(key, Health(self._clock()))
                self._tasks[key] = asyncio.create_task(self._keep_checking(key, target, group))

    @property
    def is_informed(self) -> bool:
        """Each target was checked once."""
        return len(self._checked) == len(self._targets)

    async def _keep_checking(self, key: Key, target: pb.RoutedTarget, group: pb.TargetGroup) -> None:
        assert self._session is not None
        while True:
            verdict = await check(self._session, group, target.host, target.port)
            before, is_first = self.health[key], key not in self._checked
            self.health[key] = after(before, verdict, group, self._clock())
            self._checked.add(key)
            if is_first or self.health[key].state != before.state:
                self._changed()
            await asyncio.sleep(pause_seconds(self.health[key], group))
