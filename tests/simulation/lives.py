"""Lives of processes on the virtual clock, and the tasks that are at work in them.

`Life` is one run of one process: it can be ended between any two of its steps, or paused, so that its timers ring
late. What it is to asyncio's loop, `Future` and `Task` are to asyncio's.
"""

import asyncio
from collections.abc import Callable, Coroutine, Generator
from contextlib import suppress
from typing import Any

from tests.simulation.clock import Act, Clock


class Violated(BaseException):
    """Something that must hold does not. No `except Exception` of the programs takes it."""


class Crashed(BaseException):
    """The process that is at work has just been ended."""


class Handle:
    """Something a process has asked to be called for. It can be taken back as long as it has not been, also where a
    pause made it late."""

    __slots__ = ("_act", "_args", "_at")

    def __init__(self, at: float, act: Act, args: tuple[Any, ...]) -> None:
        self._at, self._args = at, args
        self._act: Act | None = act

    def fire(self) -> None:
        if self._act is not None:
            self._act(*self._args)

    def cancel(self) -> None:
        self._act = None

    def when(self) -> float:
        return self._at


class Life:
    """Ends once. `skew`: what its wall clock is ahead, in seconds."""

    current: "Life | None" = None

    def __init__(self, clock: Clock, name: str, skew: Callable[[], float] = lambda: 0.0) -> None:
        self.clock = clock
        self.name = name
        self.skew = skew
        self.alive = True
        self.paused = False
        self.resumed_at = clock.now
        self.task: Task | None = None
        self.tasks: dict[Task, None] = {}
        self._late: list[tuple[Act, tuple[Any, ...]]] = []
        clock.lives.append(self)

    def run(self, act: Act, *args: Any) -> None:
        if not self.alive:
            return
        if self.paused:
            self._late.append((act, args))
            return
        before, Life.current = Life.current, self
        try:
            act(*args)
        except Crashed:
            assert not self.alive
        finally:
            Life.current = before

    def end(self) -> None:
        """As SIGKILL does: not one more step is done."""
        self.alive = False
        self._late.clear()

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False
        self.resumed_at = self.clock.now
        late, self._late = self._late, []
        for act, args in late:
            self.call_soon(act, *args)

    # What the programs ask of a running loop.

    def time(self) -> float:
        return self.clock.now

    def call_soon(self, act: Act, *args: Any) -> "Handle":
        return self.call_at(self.clock.now, act, *args)

    def call_later(self, seconds: float, act: Act, *args: Any) -> "Handle":
        return self.call_at(self.clock.now + seconds, act, *args)

    def call_at(self, moment: float, act: Act, *args: Any) -> "Handle":
        handle = Handle(moment, act, args)
        self.clock.at(moment, self.run, handle.fire)
        return handle

    def create_future(self) -> "Future":
        return Future(self)

    def create_task(self, coroutine: Coroutine[Any, Any, Any], name: str = "") -> "Task":
        return Task(coroutine, self, name)


def bury(clock: Clock) -> None:
    """After a run: coroutines of processes that were ended are kept until then, or the collector of garbage would
    choose the moment at which they do their last."""
    for each in clock.lives:
        Life.current = each
        for task in list(each.tasks):
            task.close()
    Life.current = None
    clock.lives.clear()


def life() -> Life:
    assert Life.current is not None, "no process is at work"
    return Life.current


class Future:
    def __init__(self, owner: Life | None = None) -> None:
        self.owner = owner or life()
        self.owner.clock.asked += 1
        self._number = self.owner.clock.asked
        self._done = False
        self._value: Any = None
        self._error: BaseException | None = None
        self._callbacks: list[Callable[[Any], Any]] = []

    def __hash__(self) -> int:
        """The programs put them into sets: their order is to be the same in every run."""
        return self._number

    def __eq__(self, other: object) -> bool:
        return self is other

    def done(self) -> bool:
        return self._done

    def cancelled(self) -> bool:
        return self._done and isinstance(self._error, asyncio.CancelledError)

    def set_result(self, value: Any) -> None:
        self._settle(value, None)

    def set_exception(self, error: BaseException) -> None:
        self._settle(None, error)

    def _settle(self, value: Any, error: BaseException | None) -> None:
        if self._done:
            return
        self._done, self._value, self._error = True, value, error
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            self.owner.call_soon(callback, self)

    def result(self) -> Any:
        if self._error is not None:
            raise self._error
        return self._value

    def exception(self) -> BaseException | None:
        return None if isinstance(self._error, asyncio.CancelledError) else self._error

    def cancel(self) -> bool:
        if self._done:
            return False
        self._settle(None, asyncio.CancelledError())
        return True

    def add_done_callback(self, callback: Callable[[Any], Any]) -> None:
        if self._done:
            self.owner.call_soon(callback, self)
        else:
            self._callbacks.append(callback)

    def remove_done_callback(self, callback: Callable[[Any], Any]) -> None:
        if callback in self._callbacks:
            self._callbacks.remove(callback)

    def __await__(self) -> Generator["Future", None, Any]:
        if not self._done:
            yield self
        return self.result()


class Task(Future):
    def __init__(self, coroutine: Coroutine[Any, Any, Any], owner: Life, name: str = "") -> None:
        super().__init__(owner)
        self._coroutine = coroutine
        self._waits_for: Future | None = None
        self._cancelling = False
        self.name = name
        owner.tasks[self] = None
        owner.call_soon(self._step)

    def _settle(self, value: Any, error: BaseException | None) -> None:
        self.owner.tasks.pop(self, None)
        super()._settle(value, error)

    def close(self) -> None:
        """The run is over: what the coroutine still does as it is taken apart concerns nobody."""
        with suppress(Exception, asyncio.CancelledError):
            self._coroutine.close()

    def cancel(self) -> bool:
        if self._done:
            return False
        self._cancelling = True
        if self._waits_for is not None:
            waited, self._waits_for = self._waits_for, None
            waited.remove_done_callback(self._wake)
            if isinstance(waited, Task):
                waited.cancel()
            self.owner.call_soon(self._step)
        return True

    def _wake(self, waited: Future) -> None:
        if self._waits_for is waited:
            self._waits_for = None
            self._step()

    def _step(self) -> None:
        if self._done or self._waits_for is not None:
            return
        before, self.owner.task = self.owner.task, self
        try:
            if self._cancelling:
                self._cancelling = False
                waits_for = self._coroutine.throw(asyncio.CancelledError())
            else:
                waits_for = self._coroutine.send(None)
        except StopIteration as end:
            self._settle(end.value, None)
        except (Exception, asyncio.CancelledError) as error:
            self._settle(None, error)
        else:
            self._waits_for = waits_for
            waits_for.add_done_callback(self._wake)
            if self._cancelling:
                self.cancel()
        finally:
            self.owner.task = before
