"""The images of a repository as they lie in the store."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from shoal_registry import image, pulls
from shoal_registry.image import Image
from shoal_registry.names import ALGORITHMS, Digest, Repository
from shoal_registry.registry import Registry
from shoal_registry.storage import paths

# Read at once.
CHUNK = 16


@dataclass(frozen=True, slots=True)
class Kept:
    """An image that is in a repository now. `tags` are sorted; `pulled_at` in seconds since 1970."""

    digest: Digest
    image: Image
    tags: Sequence[str]
    pulled_at: float | None = None

    @property
    def status(self) -> str:
        return "ARCHIVED" if self.image.is_archived else "ACTIVE"


async def read(registry: Registry, repository: Repository, digest: Digest) -> Kept | None:
    content = await registry.store.read(paths.manifest(repository, digest))
    if content is None:
        return None
    tags = await registry.repositories.tags_of(repository, digest)
    return Kept(digest, image.decode(content), tags, await pulls.last_pull(registry.store, repository, digest))


async def images(registry: Registry, repository: Repository, after: str = "") -> AsyncIterator[Kept]:
    """By digest, so that a page goes on where the last one ended, whatever was pushed or deleted meanwhile."""
    folder = paths.manifests(repository)
    found = [Digest(each, name) for each in ALGORITHMS for name in await registry.store.names(folder / each)]
    wanted = [digest for digest in found if str(digest) > after]
    for start in range(0, len(wanted), CHUNK):
        chunk = wanted[start : start + CHUNK]
        for kept in await asyncio.gather(*(read(registry, repository, digest) for digest in chunk)):
            if kept is not None:
                yield kept
