"""A scheduler for commands: its loop has a thread of its own, as commands have loops of their own."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from tests.fakes.scheduler import Scheduler
from tests.ground.certificates import Certificates

Result = TypeVar("Result")


@dataclass(frozen=True)
class Served:
    scheduler: Scheduler
    loop: asyncio.AbstractEventLoop

    @property
    def address(self) -> str:
        return self.scheduler.address

    def call(self, work: Callable[[Scheduler], Result]) -> Result:
        """Between two turns of the scheduler's loop."""

        async def called() -> Result:
            return work(self.scheduler)

        return asyncio.run_coroutine_threadsafe(called(), self.loop).result(30)

    @contextmanager
    def beside(self, work: Callable[[Scheduler], Coroutine[None, None, None]]) -> Iterator[None]:
        """While it goes on; ended with the block."""
        running = asyncio.run_coroutine_threadsafe(work(self.scheduler), self.loop)
        try:
            yield
        finally:
            running.cancel()


@contextmanager
def served(certificates: Certificates) -> Iterator[Served]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    scheduler = Scheduler(certificates)
    try:
        asyncio.run_coroutine_threadsafe(scheduler.__aenter__(), loop).result(30)
        yield Served(scheduler, loop)
    finally:
        asyncio.run_coroutine_threadsafe(scheduler.__aexit__(None, None, None), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
