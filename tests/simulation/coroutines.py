"""Coroutines of the programs under test, driven by the virtual clock instead of asyncio.

`Life` is one run of one process: it can be ended between any two of its steps, or paused, so that its timers ring
late. `SHELL` stands in for the module `asyncio` where those coroutines name it; it has only what they use.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterable
from contextlib import asynccontextmanager, suppress
from types import SimpleNamespace
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
        self._done = False
        self._value: Any = None
        self._error: BaseException | None = None
        self._callbacks: list[Callable[[Any], Any]] = []

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


class Event:
    def __init__(self) -> None:
        self._set = False
        self._waiting: list[Future] = []

    def is_set(self) -> bool:
        return self._set

    def set(self) -> None:
        self._set = True
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.set_result(True)

    def clear(self) -> None:
        self._set = False

    async def wait(self) -> bool:
        if not self._set:
            waiting = Future()
            self._waiting.append(waiting)
            await waiting
        return True


class Semaphore:
    def __init__(self, places: int = 1) -> None:
        self._places = places
        self._waiting: list[Future] = []

    async def acquire(self) -> bool:
        while self._places <= 0:
            waiting = Future()
            self._waiting.append(waiting)
            await waiting
        self._places -= 1
        return True

    def release(self) -> None:
        self._places += 1
        if self._waiting:
            self._waiting.pop(0).set_result(None)

    async def __aenter__(self) -> None:
        await self.acquire()

    async def __aexit__(self, *_: object) -> None:
        self.release()


async def sleep(seconds: float) -> None:
    pause = Future()
    timer = life().call_later(max(0.0, seconds), pause.set_result, None)
    try:
        await pause
    finally:
        timer.cancel()


@asynccontextmanager
async def timeout(seconds: float | None) -> AsyncIterator[None]:
    """Raises TimeoutError into what is inside once the time is over."""
    task, rung = life().task, []
    assert task is not None

    def ring() -> None:
        rung.append(True)
        task.cancel()

    timer = None if seconds is None else life().call_later(seconds, ring)
    try:
        yield
    except asyncio.CancelledError:
        if rung:
            raise TimeoutError from None
        raise
    finally:
        if timer is not None:
            timer.cancel()


async def wait(
    waited: Iterable[Future], timeout: float | None = None, return_when: str = "ALL_COMPLETED"
) -> tuple[set[Future], set[Future]]:
    waited = list(waited)
    enough, news = (1 if return_when == "FIRST_COMPLETED" else len(waited)), Future()

    def look(_: object = None) -> None:
        if sum(each.done() for each in waited) >= enough:
            news.set_result(None)

    for each in waited:
        each.add_done_callback(look)
    timer = None if timeout is None else life().call_later(timeout, news.set_result, None)
    try:
        look()
        await news
    finally:
        for each in waited:
            each.remove_done_callback(look)
        if timer is not None:
            timer.cancel()
    return {each for each in waited if each.done()}, {each for each in waited if not each.done()}


def ensure_future(work: Any) -> Future:
    return work if isinstance(work, Future) else life().create_task(work)


async def shield(work: Any) -> Any:
    """Waits through a future of its own, so that who is cancelled here cancels nothing but the waiting."""
    inner, outer = ensure_future(work), Future()

    def tell(_: object) -> None:
        error = inner._error
        if error is not None:
            outer.set_exception(error)
        else:
            outer.set_result(inner._value)

    inner.add_done_callback(tell)
    return await outer


async def gather(*works: Any, return_exceptions: bool = False) -> list[Any]:
    assert return_exceptions, "the only way in which it is used"
    tasks = [ensure_future(work) for work in works]
    await wait(tasks)
    return [each._error or each._value for each in tasks]


async def to_thread(act: Callable[..., Any], *args: Any) -> Any:
    return act(*args)


def create_task(coroutine: Coroutine[Any, Any, Any], name: str = "") -> Task:
    return life().create_task(coroutine, name)


SHELL = SimpleNamespace(
    CancelledError=asyncio.CancelledError,
    FIRST_COMPLETED="FIRST_COMPLETED",
    Event=Event,
    Future=Future,
    Lock=Semaphore,
    Semaphore=Semaphore,
    create_task=create_task,
    current_task=lambda: life().task,
    ensure_future=ensure_future,
    gather=gather,
    get_running_loop=life,
    shield=shield,
    sleep=sleep,
    timeout=timeout,
    to_thread=to_thread,
    wait=wait,
)
