"""How much of a kind the engine is asked to do at once: starts, and pulls of the same image only once."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

from shoal_agent.engine import pause_image
from shoal_agent.engine.port import CannotPull, Engine
from shoal_agent.images.pulling import TRIES, Puller

log = logging.getLogger(__name__)

# A call that takes longer than this is stuck rather than at work: it gives its place to somebody else's.
PATIENCE_SECONDS = 30.0


class Slots:
    """A number of places. Whoever holds one for too long goes on without it, so that nobody waits for the stuck.

    `free`: those of the `places` that nobody holds. `waiting`: how many wait for one. `changed` is called when either
    has changed.
    """

    def __init__(self, places: int, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self._semaphore = asyncio.Semaphore(places)
        self._patience_seconds = patience_seconds
        self.places = self.free = places
        self.waiting = 0
        self.changed: Callable[[], None] = lambda: None

    @asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        self.waiting += 1
        try:
            await self._semaphore.acquire()
        finally:
            self.waiting -= 1
        self.free -= 1
        overdue = asyncio.get_running_loop().call_later(self._patience_seconds, self._release)
        self.changed()
        try:
            yield
        finally:
            if overdue.when() > asyncio.get_running_loop().time():
                overdue.cancel()
                self._release()

    def _release(self) -> None:
        self.free += 1
        self._semaphore.release()
        self.changed()


@dataclass(slots=True)
class _UnderWay:
    """`waiting`: how many do. One that is for good goes on when nobody does."""

    task: asyncio.Task[None]
    waiting: int = 0
    for_good: bool = False


class Pulls:
    """An image that several tasks wait for is pulled once; a task that waits no longer does not end the pull."""

    def __init__(self, engine: Engine, places: int, puller: Puller | None = None) -> None:
        """Without a `puller` it is the engine's bare pull."""
        self._engine = engine
        self._puller = puller
        self._slots = Slots(places, patience_seconds=3600.0)
        self._under_way: dict[str, _UnderWay] = {}
        self._at_work: set[str] = set()

    async def pull(self, image: str, *, for_good: bool = True, tries: int = TRIES) -> None:
        """Raises what the engine's pull raises. If it is for good for anybody who waits, it goes on when none do. How
        often it is tried, says who begins it."""
        pull = self._under_way.get(image)
        if pull is None:
            pull = self._under_way[image] = _UnderWay(asyncio.create_task(self._pull(image, tries)))
            pull.task.add_done_callback(partial(self._ended, image))
        pull.for_good |= for_good
        pull.waiting += 1
        try:
            await asyncio.shield(pull.task)
        finally:
            pull.waiting -= 1
            if not (pull.waiting or pull.for_good):
                self._ended(image, pull.task)  # who comes now begins anew
                if pull.task.cancel():
                    log.info("pull given up image=%s", image)

    def _ended(self, image: str, task: "asyncio.Task[None]") -> None:
        if image in self._under_way and self._under_way[image].task is task:
            del self._under_way[image]

    def percent(self, image: str) -> int | None:
        """How much of a pull under way is here; None as long as nothing is known of it."""
        return self._puller.percent(image) if self._puller is not None else None

    def status(self, image: str) -> str:
        """How it stands with an image that is waited for, in words."""
        if image not in self._at_work:
            return "waiting to pull the image: as many others as may be at once are being pulled"
        percent = self.percent(image)
        return "pulling image" if percent is None else f"pulling image: {percent} %"

    async def _pull(self, image: str, tries: int) -> None:
        if image == pause_image.IMAGE:
            await self._make_pause_image()
            return
        async with self._slots.one():
            self._at_work.add(image)
            try:
                await (self._puller.pull(image, tries) if self._puller is not None else self._engine.pull(image))
            finally:
                self._at_work.discard(image)

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
        tasks = [pull.task for pull in self._under_way.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
