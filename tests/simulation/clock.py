"""A virtual clock and the queue of all that is to happen: in order of time, and of asking for the same time."""

import heapq
from collections.abc import Callable
from typing import Any

Act = Callable[..., Any]


class Timer:
    """One thing that is to happen. `cancel` takes it back."""

    __slots__ = ("act", "args", "at")

    def __init__(self, at: float, act: Act, args: tuple[Any, ...]) -> None:
        self.at = at
        self.act: Act | None = act
        self.args = args

    def cancel(self) -> None:
        self.act = None
        self.args = ()


class Clock:
    """`now` in seconds since the run began. Nothing but `run` moves it."""

    def __init__(self) -> None:
        self.now = 0.0
        self.events = 0
        self.lives: list[Any] = []  # of the processes that ever were
        self._queue: list[tuple[float, int, Timer]] = []
        self.asked = 0

    def time(self) -> float:
        return self.now

    def at(self, moment: float, act: Act, *args: Any) -> Timer:
        timer = Timer(max(moment, self.now), act, args)
        self.asked += 1
        heapq.heappush(self._queue, (timer.at, self.asked, timer))
        return timer

    def after(self, seconds: float, act: Act, *args: Any) -> Timer:
        return self.at(self.now + seconds, act, *args)

    def run(self, until: float, after_each: Callable[[], None]) -> None:
        """All that happens up to `until`."""
        queue = self._queue
        while queue and queue[0][0] <= until:
            moment, _, timer = heapq.heappop(queue)
            act = timer.act
            if act is None:
                continue
            self.now = moment
            self.events += 1
            act(*timer.args)
            after_each()
        self.now = until
