"""When each image was last pulled: kept within the hour, without a write for each pull.

A pull is noted in memory. The first one of an image is written soon; those within the hour after a write wait,
whichever process wrote, and the last of them is written then. What waits is written when the process stops; kill -9
loses at most that hour, which matters to nobody who counts in days, as lifecycle policies do.
"""

import asyncio
import logging
from collections.abc import Callable

from shoal_registry import grace
from shoal_registry.names import Digest, Repository
from shoal_registry.storage import paths
from shoal_registry.storage.store import Store

log = logging.getLogger(__name__)

# Between two writes of one image.
PERIOD_SECONDS = 3600.0
FLUSH_SECONDS = 5.0


class Pulls:
    def __init__(self, store: Store, now: Callable[[], float]) -> None:
        self._store = store
        self._now = now
        self._waiting: dict[tuple[Repository, Digest], float] = {}
        # Known to have been written by then, by this or another process.
        self._written: dict[tuple[Repository, Digest], float] = {}

    def note(self, repository: Repository, digest: Digest) -> None:
        self._waiting[repository, digest] = self._now()

    async def run(self) -> None:
        """For as long as the process lives."""
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            try:
                await self.flush()
            except Exception:
                log.exception("writing when images were pulled failed; it is tried again")

    async def flush(self, is_last: bool = False) -> None:
        """What is due; `is_last`: all."""
        fresh_since = self._now() - PERIOD_SECONDS
        self._written = {image: at for image, at in self._written.items() if at > fresh_since}
        for image, at in list(self._waiting.items()):
            if image in self._written and not is_last:
                continue
            known = await last_pull(self._store, *image)
            if known is not None and known > fresh_since and not is_last:
                self._written[image] = known
                continue
            await self._write(image, at, known or 0.0)
            # Another pull may have come meanwhile.
            if self._waiting.get(image) == at:
                del self._waiting[image]

    async def _write(self, image: tuple[Repository, Digest], at: float, known: float) -> None:
        repository, digest = image
        # Under the lock under which images are deleted: of one that is gone, nothing is left behind.
        async with self._store.lock(f"repository/{repository.name}"):
            if at > known and await self._store.size(paths.manifest(repository, digest)) is not None:
                await self._store.put(paths.pulled(repository, digest), grace.moment(at), durable=False)
        self._written[image] = at


async def last_pull(store: Store, repository: Repository, digest: Digest) -> float | None:
    """In seconds since 1970; None if it was never pulled."""
    return grace.parse_moment(await store.read(paths.pulled(repository, digest)))
