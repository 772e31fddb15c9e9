"""Images that are kept but cannot be pulled until they are restored: ECR's storage class ARCHIVE.

What a tag means and is not archived can be pulled whole: an image stays STANDARD while an index lists it that is, and
an index comes back with all that it lists. The bytes stay where they are.
"""

from collections.abc import Callable

from shoal_registry import image
from shoal_registry import manifest as manifests
from shoal_registry.errors import Refused
from shoal_registry.image import Image, StorageClass
from shoal_registry.names import Digest, Repository
from shoal_registry.repositories import Found, Repositories
from shoal_registry.storage import paths
from shoal_registry.storage.store import Store


class Archive:
    def __init__(self, store: Store, repositories: Repositories, now: Callable[[], float]) -> None:
        self._store = store
        self._repositories = repositories
        self._now = now

    async def archive(self, repository: Repository, digest: Digest) -> Image:
        """Raises Refused."""
        async with self._repositories.lock(repository):
            found = await self._repositories.find(repository, digest)
            for name in await self._store.names(paths.users(repository, digest)):
                user = paths.digest_named(name)
                if not await self._is_archived(repository, user):
                    raise Refused(
                        "UNSUPPORTED",
                        f"The index {user} in {repository.name} needs {digest}: archive that one first.",
                        detail={"neededBy": str(user)},
                    )
            return await self._move(repository, found, "ARCHIVE")

    async def restore(self, repository: Repository, digest: Digest) -> Image:
        """With all that it lists. Raises Refused."""
        async with self._repositories.lock(repository):
            return await self._restore(repository, digest)

    async def _restore(self, repository: Repository, digest: Digest) -> Image:
        found = await self._repositories.find(repository, digest)
        parsed = manifests.parse(await self._repositories.read_manifest(digest), found.media_type)
        # What it lists first, so that it can be pulled whole as soon as it can be pulled.
        for each in parsed.references:
            if each.of_manifest and await self._store.size(paths.manifest(repository, each.digest)) is not None:
                await self._restore(repository, each.digest)
        return await self._move(repository, found, "STANDARD")

    async def _is_archived(self, repository: Repository, digest: Digest) -> bool:
        """Also of one that is gone."""
        content = await self._store.read(paths.manifest(repository, digest))
        return content is None or image.decode(content).is_archived

    async def _move(self, repository: Repository, found: Found, to: StorageClass) -> Image:
        moved = found.image.moved(to, self._now())
        if moved != found.image:
            await self._store.put(paths.manifest(repository, found.digest), image.encode(moved))
        return moved
