"""The images of a repository as they lie in the store."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from shoal_registry import image
from shoal_registry.image import Image
from shoal_registry.names import Digest, Repository, Tag
from shoal_registry.storage import paths
from shoal_registry.storage.store import Store

ALGORITHMS = ("sha256", "sha512")


@dataclass(frozen=True, slots=True)
class Kept:
    """An image that is in a repository now. `tags` are sorted."""

    digest: Digest
    media_type: str
    image: Image
    tags: Sequence[str]


async def digests(store: Store, repository: Repository, after: str = "") -> Sequence[Digest]:
    """Of all images after that digest, sorted."""
    found = [
        Digest(algorithm, name)
        for algorithm in ALGORITHMS
        for name in await store.names(paths.manifests(repository, algorithm))
    ]
    return [each for each in found if str(each) > after]


async def read(store: Store, repository: Repository, digest: Digest) -> Kept | None:
    media_type = await store.read(paths.manifest(repository, digest))
    content = await store.read(paths.image(repository, digest))
    if media_type is None or content is None:
        return None
    tags = [
        name
        for name in await store.names(paths.tags_of(repository, digest))
        if await store.read(paths.tag(repository, Tag(name))) == str(digest).encode()
    ]
    return Kept(digest, media_type.decode(), image.decode(content), tags)


async def images(store: Store, repository: Repository, after: str = "") -> AsyncIterator[Kept]:
    """By digest, so that a page goes on where the last one ended whatever was pushed or deleted meanwhile."""
    for digest in await digests(store, repository, after):
        kept = await read(store, repository, digest)
        if kept is not None:
            yield kept
