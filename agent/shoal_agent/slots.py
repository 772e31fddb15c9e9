"""How much of a kind the engine is asked to do at once: starts, and pulls of the same image only once."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from shoal_agent.engine import Engine

# A call that takes longer than this is stuck rather than at work: it gives its place to somebody else's.
PATIENCE_SECONDS = 30.0


class Slots:
    """A number of places. Whoever holds one for too long goes on without it, so that nobody waits for the stuck."""

    def __init__(self, places: int, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self._free = asyncio.Semaphore(places)
        self._patience_seconds = patience_seconds

    @asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        await self._free.acquire()
        overdue = asyncio.get_running_loop().call_later(self._patience_seconds, self._free.release)
        try:
            yield
        finally:
            if overdue.when() > asyncio.get_running_loop().time():
                overdue.cancel()
                self._free.release()


Fetch = Callable[[str], Awaitable[None]]


class Pulls:
    """An image that several tasks wait for is pulled once; a task that waits no longer does not end the pull."""

    def __init__(self, engine: Engine, places: int, fetch: Fetch | None = None) -> None:
        """`fetch` gets one image; the engine's bare pull if there is none."""
        self._fetch = fetch or engine.pull
        self._slots = Slots(places, patience_seconds=3600.0)
        self._under_way: dict[str, asyncio.Task[None]] = {}

    async def pull(self, image: str) -> None:
        """Raises what the engine's pull raises."""
        pull = self._under_way.get(image)
        if pull is None:
            pull = self._under_way[image] = asyncio.create_task(self._pull(image))
            pull.add_done_callback(lambda _: self._under_way.pop(image, None))
        await asyncio.shield(pull)

    async def _pull(self, image: str) -> None:
        async with self._slots.one():
            await self._fetch(image)

    async def close(self) -> None:
        for pull in list(self._under_way.values()):
            pull.cancel()
        await asyncio.gather(*self._under_way.values(), return_exceptions=True)
