"""`SHELL` stands in for the module `asyncio` where the programs name it; it has only what they use."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

from tests.simulation.lives import Future, Task, life


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
