"""The images that the engine has, as the scheduler is told of them: looked at now and then, and at once when a pull or
a clean-up has changed something. Those that were used last, up to a bound."""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass

from shoal_agent.engine.port import Engine, EngineError, Image, ImageNotFound, Layer
from shoal_agent.images.records import ImageRecords
from shoal_agent.pause import either

log = logging.getLogger(__name__)

# What others do with the engine (a build, a load) is seen by then.
LOOK_PERIOD_SECONDS = 60.0

# An agent that has just begun has tasks to find first, and the engine is asked for much then.
FIRST_LOOK_SECONDS = 2.0
RETRY_SECONDS = 5.0
IMAGES_MAX = 100


@dataclass(frozen=True, slots=True)
class HeldImage:
    image: Image
    layers: tuple[Layer, ...]


class HeldImages:
    """`current` by the engine's id, None before the first look; `changed` is set when it changes."""

    def __init__(self, engine: Engine, records: ImageRecords) -> None:
        self._engine = engine
        self.records = records
        self.current: Mapping[str, HeldImage] | None = None
        self.changed = asyncio.Event()

    async def run(self) -> None:
        await asyncio.sleep(FIRST_LOOK_SECONDS)
        while True:
            self.records.changed.clear()
            wait = LOOK_PERIOD_SECONDS
            try:
                await self.look()
            except EngineError as error:
                log.info("images not listed error=%s", error)
                wait = RETRY_SECONDS
            except Exception:  # an answer nobody expected must not end the agent
                log.exception("looking at images stumbled")
            await either(self.records.changed, wait)

    async def look(self) -> None:
        """Raises EngineError."""
        known, found = self.current or {}, dict[str, HeldImage]()
        listed = await self._engine.local_images()
        for image in sorted(listed, key=self._last_use, reverse=True)[:IMAGES_MAX]:
            before = known.get(image.image_id)
            try:
                # An image's layers never change.
                layers = before.layers if before is not None else await self._engine.image_layers(image.image_id)
            except ImageNotFound:  # it has just gone
                continue
            found[image.image_id] = HeldImage(image, layers)
        if found != self.current:
            self.current = found
            self.changed.set()

    def _last_use(self, image: Image) -> tuple[int, str]:
        record = self.records.images.get(image.image_id)
        return (max(record.used_at, image.created_at) if record is not None else image.created_at), image.image_id
