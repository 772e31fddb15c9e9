"""How much of a kind the engine is asked to do at once: starts, and pulls of the same image only once."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from shoal_agent import pause_image
from shoal_agent.engine import CannotPull, Engine

log = logging.getLogger(__name__)

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


class Pulls:
    """An image that several tasks wait for is pulled once; a task that waits no longer does not end the pull."""

    def __init__(self, engine: Engine, places: int) -> None:
        self._engine = engine
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
        if image == pause_image.IMAGE:
            await self._make_pause_image()
            return
        async with self._slots.one():
            await self._engine.pull(image)

    async def _make_pause_image(self) -> None:
        """No registry has it."""
        architecture = (await self._engine.facts()).architecture
        try:
            archive = pause_image.archive(architecture)
        except KeyError:
            wrong = f"none for {architecture}; networkMode awsvpc, pidMode task and ipcMode task need it"
            raise CannotPull(wrong) from None
        await self._engine.import_image(pause_image.IMAGE, archive)
        log.info("made image=%s architecture=%s", pause_image.IMAGE, architecture)

    async def close(self) -> None:
        for pull in list(self._under_way.values()):
            pull.cancel()
        await asyncio.gather(*self._under_way.values(), return_exceptions=True)
