"""One image fetched from its registry: with the credentials for it, which for the cluster's own registry is a token for
this pull, again after trouble that passes, and with a word in the log now and then. How many at once, and that equal
pulls are one, is slots.py's."""

import asyncio
import logging
import random
import re
import time
from pathlib import Path

from shoal.image_reference import listed_as

from shoal_agent.configuration import Configuration
from shoal_agent.engine.port import CannotPull, Engine, EngineTimeout
from shoal_agent.images.cluster_registry import ClusterRegistry
from shoal_agent.images.credentials import BadCredentials, registry_auth
from shoal_agent.images.records import ImageRecords

log = logging.getLogger(__name__)

# As the ECS agent: five tries. Pauses grow, and are drawn at random so that a cluster's hosts do not come back as one.
TRIES = 5
PAUSE_SECONDS_MIN, PAUSE_SECONDS_MAX = 0.5, 30.0
LOG_PERIOD_SECONDS = 10.0

# What registries and the network between say of trouble that may pass; everything else is an answer.
_PASSING = re.compile(
    r"time[d ]*out|connection re(fused|set)|broken pipe|\bEOF\b|no such host|network is unreachable|temporar"
    r"|too ?many ?requests|\b429\b|\b50[0234]\b|(bad gateway|service unavailable|internal server error)",
    re.IGNORECASE,
)


class Puller:
    def __init__(
        self, engine: Engine, rules: Configuration, records: ImageRecords, registry: ClusterRegistry | None = None
    ) -> None:
        """Without a `registry` nothing is known of the cluster's own."""
        self._engine = engine
        self._registry = registry
        self._rules = rules
        self._records = records
        self._progress: dict[str, Progress] = {}

    def percent(self, image: str) -> int | None:
        """How much of a pull under way is here; None as long as nothing is known of it."""
        progress = self._progress.get(image)
        return progress.percent if progress is not None else None

    async def pull(self, image: str, tries: int = TRIES) -> None:
        """Raises CannotPull, or what says that the engine is away."""
        for attempt in range(1, tries + 1):
            try:
                await self._try(image)
                break
            except CannotPull as error:
                if attempt == tries or not passes(error.message):
                    raise self._explained(image, error) from None
                log.warning("pull failed, again soon image=%s try=%d error=%s", image, attempt, error)
            ceiling = min(PAUSE_SECONDS_MAX, PAUSE_SECONDS_MIN * 2 ** (attempt - 1))
            await asyncio.sleep(random.uniform(ceiling / 2, ceiling))
        await self._record(image)

    async def _try(self, image: str) -> None:
        auth = await self._auth(image)
        progress = self._progress[image] = Progress(image, time.monotonic())
        try:
            await self._engine.pull(image, auth=auth, progress=progress)
        except EngineTimeout:
            await self._engine.ping()  # it is not the engine that is silent
            raise CannotPull("timed out: no progress of the pull for too long") from None
        finally:
            self._progress.pop(image, None)

    def _explained(self, image: str, error: CannotPull) -> CannotPull:
        known = self._registry.hint(image, error.message) if self._registry is not None else ""
        return CannotPull(f"{error.message} ({known})") if known else error

    async def _auth(self, image: str) -> str | None:
        """Found for each pull: credentials may be renewed at any time, and tokens are of one pull. The operator's word
        comes before the cluster's."""
        said = await self._from_file(image)
        return said if said is not None or self._registry is None else await self._registry.auth(image)

    async def _from_file(self, image: str) -> str | None:
        path = self._rules.registry_credentials_file
        if path is None:
            return None
        try:
            return registry_auth(await asyncio.to_thread(Path(path).read_bytes), image)
        except OSError as error:
            raise CannotPull(f"registry_credentials_file {path} cannot be read: {error.strerror}") from None
        except BadCredentials as error:
            raise CannotPull(f"registry_credentials_file {path}: {error}") from None

    async def _record(self, image: str) -> None:
        for found in await self._engine.local_images():
            if listed_as(image) in found.references:
                self._records.pulled(image, found.image_id, time.time_ns() // 1_000_000)
        log.info("pulled image=%s", image)


class Progress:
    """How much of a pull is there; called with each word of the engine on a layer."""

    def __init__(self, image: str, began: float) -> None:
        self._image = image
        self._layers: dict[str, tuple[int, int]] = {}
        self._logged_at = began

    def __call__(self, layer: str, done_bytes: int, total_bytes: int) -> None:
        self._layers[layer] = (done_bytes, total_bytes)
        now = time.monotonic()
        if now - self._logged_at >= LOG_PERIOD_SECONDS:
            self._logged_at = now
            log.info("pulling image=%s percent=%d", self._image, self.percent)

    @property
    def percent(self) -> int | None:
        """Of the layers that have begun; None if none has."""
        total_bytes = sum(total for _, total in self._layers.values())
        return 100 * sum(done for done, _ in self._layers.values()) // total_bytes if total_bytes else None


def passes(message: str) -> bool:
    """Whether another try may help.

    >>> passes("toomanyrequests: rate exceeded"), passes("manifest for web:5000 not found")
    (True, False)
    """
    return _PASSING.search(message) is not None
