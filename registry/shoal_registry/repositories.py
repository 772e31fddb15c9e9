"""What each repository holds, and the order in which it is written, of which every prefix is safe."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

from shoal_registry import image, settings
from shoal_registry import manifest as manifests
from shoal_registry.errors import Refused
from shoal_registry.image import Image
from shoal_registry.manifest import Descriptor, Manifest
from shoal_registry.names import Digest, Reference, Repository, Tag
from shoal_registry.ranges import Span
from shoal_registry.settings import Settings
from shoal_registry.storage import paths
from shoal_registry.storage.store import Store

# Clients read no more than 4 MiB of a list of referrers; a single one may have that in annotations.
REFERRERS_PAGE_BYTES = 2 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Found:
    """A manifest in a repository."""

    digest: Digest
    media_type: str
    size: int


class Repositories:
    def __init__(self, store: Store, now: Callable[[], float] = time.time) -> None:
        self._store = store
        self._now = now

    async def exists(self, repository: Repository) -> bool:
        return await self._store.size(paths.mark(repository)) is not None

    async def settings(self, repository: Repository) -> Settings:
        """Raises Refused."""
        content = await self._store.read(paths.mark(repository))
        if content is None:
            raise repository_unknown(repository)
        return settings.decode(content)

    async def create(self, repository: Repository, wanted: Settings) -> bool:
        """Whether it was not there before."""
        async with self._lock(repository):
            if await self.exists(repository):
                return False
            await self._store.put(paths.mark(repository), settings.encode(wanted))
            return True

    # Blobs

    async def blob_size(self, repository: Repository, digest: Digest) -> int | None:
        """None if the repository has no such blob, whatever others have."""
        if await self._store.size(paths.blob(repository, digest)) is None:
            return None
        return await self._store.size(paths.content(digest))

    def stream(self, digest: Digest, span: Span) -> AsyncIterator[bytes]:
        return self._store.stream(paths.content(digest), span)

    async def link_blob(self, repository: Repository, digest: Digest) -> None:
        """Its content is stored."""
        async with self._lock(repository):
            await self._mark(repository)
            await self._store.put(paths.holder(digest, repository), b"")
            await self._store.put(paths.blob(repository, digest), b"")

    async def holders(self, digest: Digest) -> Sequence[Repository]:
        """Those that have that blob, or had it until a moment ago."""
        return [paths.repository_named(name) for name in await self._store.names(paths.holders(digest))]

    async def mount(self, repository: Repository, digest: Digest, source: Repository) -> bool:
        """Whether the source has that blob: then the repository has it, too."""
        if await self.blob_size(source, digest) is None:
            return False
        await self.link_blob(repository, digest)
        return True

    async def delete_blob(self, repository: Repository, digest: Digest) -> None:
        """Raises Refused, also for one that a manifest needs: what has a tag can be pulled whole."""
        async with self._lock(repository):
            if await self.blob_size(repository, digest) is None:
                raise blob_unknown(repository, digest)
            await self._refuse_if_used(repository, digest)
            await self._store.delete(paths.blob(repository, digest))
            await self._store.delete(paths.holder(digest, repository))

    # Manifests and tags

    async def find(self, repository: Repository, reference: Reference) -> Found:
        """Raises Refused."""
        digest = await self._tagged(repository, reference) if isinstance(reference, Tag) else reference
        found = await self._manifest(repository, digest) if digest else None
        if found is None:
            raise await self._unknown(repository, reference)
        return found

    async def read_manifest(self, digest: Digest) -> bytes:
        content = await self._store.read(paths.content(digest))
        assert content is not None, f"the content of {digest} is missing"
        return content

    async def put_manifest(
        self, repository: Repository, reference: Reference, content: bytes, content_type: str
    ) -> tuple[Digest, Manifest]:
        """Stores it byte for byte, and lets the tag mean it. Raises Refused unless all it refers to is there."""
        tag = reference if isinstance(reference, Tag) else None
        wanted = reference if isinstance(reference, Digest) else None
        digest = Digest.of(content, wanted.algorithm if wanted else "sha256")
        if wanted and wanted != digest:
            raise Refused("DIGEST_INVALID", f"The manifest that came has the digest {digest}, not {wanted}.")
        parsed = await asyncio.to_thread(manifests.parse, content, content_type)
        async with self._lock(repository):
            await self._refuse_if_incomplete(repository, parsed.references)
            await self._store.put(paths.content(digest), content)
            await self._mark(repository)
            needed = {each.digest for each in parsed.references}
            await asyncio.gather(*(self._store.put(paths.user(repository, each, digest), b"") for each in needed))
            if parsed.subject:
                described = json.dumps(parsed.descriptor(digest, len(content))).encode()
                await self._store.put(paths.referrer(repository, parsed.subject, digest), described)
            await self._describe(repository, digest, parsed)
            await self._store.put(paths.manifest(repository, digest), parsed.media_type.encode())
            if tag:
                await self._let_mean(repository, tag, digest)
        return digest, parsed

    async def delete_manifest(self, repository: Repository, digest: Digest) -> None:
        """With the tags that mean it. Raises Refused, also for one that an index lists."""
        async with self._lock(repository):
            found = await self.find(repository, digest)
            await self._refuse_if_used(repository, digest)
            for name in await self._store.names(paths.tags_of(repository, digest)):
                if await self._tagged(repository, Tag(name)) == digest:
                    await self._store.delete(paths.tag(repository, Tag(name)))
            await self._store.delete(paths.manifest(repository, digest))
            await self._store.delete(paths.image(repository, digest))
            await self._store.remove(paths.tags_of(repository, digest))
            parsed = manifests.parse(await self.read_manifest(digest), found.media_type)
            if parsed.subject:
                await self._store.delete(paths.referrer(repository, parsed.subject, digest))
            for each in {each.digest for each in parsed.references}:
                await self._store.delete(paths.user(repository, each, digest))

    async def delete_tag(self, repository: Repository, tag: Tag) -> None:
        """What it means stays. Raises Refused."""
        async with self._lock(repository):
            digest = await self._tagged(repository, tag)
            if digest is None:
                raise await self._unknown(repository, tag)
            await self._store.delete(paths.tag(repository, tag))
            await self._store.delete(paths.tag_of(repository, digest, tag))

    async def tags(self, repository: Repository) -> Sequence[str]:
        """Sorted. Raises Refused."""
        if not await self.exists(repository):
            raise repository_unknown(repository)
        return await self._store.names(paths.tags(repository))

    async def referrers(
        self, repository: Repository, subject: Digest, artifact_type: str | None, last: str
    ) -> tuple[list[dict[str, Any]], str | None]:
        """Descriptors of those after `last`, and the last of this page if there are more."""
        described: list[dict[str, Any]] = []
        size, at = 0, None
        for name in await self._store.names(paths.referrers(repository, subject)):
            digest = paths.digest_named(name)
            if name <= last or await self._store.size(paths.manifest(repository, digest)) is None:
                continue
            content = await self._store.read(paths.referrer(repository, subject, digest)) or b"{}"
            descriptor = json.loads(content)
            if artifact_type is not None and descriptor.get("artifactType") != artifact_type:
                continue
            if described and size + len(content) > REFERRERS_PAGE_BYTES:
                return described, at
            described.append(descriptor)
            size, at = size + len(content), name
        return described, None

    def _lock(self, repository: Repository) -> AbstractAsyncContextManager[None]:
        """What is checked before a write must still be so at the write."""
        return self._store.lock(f"repository/{repository.name}")

    async def _manifest(self, repository: Repository, digest: Digest) -> Found | None:
        media_type = await self._store.read(paths.manifest(repository, digest))
        size = await self._store.size(paths.content(digest))
        return None if media_type is None or size is None else Found(digest, media_type.decode(), size)

    async def _mark(self, repository: Repository) -> None:
        if not await self.exists(repository):
            made = Settings(created_at=self._now())
            await self._store.put(paths.mark(repository), settings.encode(made))

    async def _describe(self, repository: Repository, digest: Digest, parsed: Manifest) -> None:
        """Once: an image that is pushed again came when it first came."""
        if await self._store.size(paths.manifest(repository, digest)) is not None:
            return
        size = sum(each.size for each in parsed.references)
        if any(each.of_manifest for each in parsed.references):
            size = max([await self._image_size(repository, each) for each in parsed.references])
        subject = str(parsed.subject) if parsed.subject else None
        described = Image(self._now(), size, parsed.artifact_type, subject)
        await self._store.put(paths.image(repository, digest), image.encode(described))

    async def _image_size(self, repository: Repository, reference: Descriptor) -> int:
        content = await self._store.read(paths.image(repository, reference.digest))
        return image.decode(content).size_bytes if content else reference.size

    async def _tagged(self, repository: Repository, tag: Tag) -> Digest | None:
        content = await self._store.read(paths.tag(repository, tag))
        return None if content is None else Digest.parse(content.decode())

    async def _let_mean(self, repository: Repository, tag: Tag, digest: Digest) -> None:
        before = await self._tagged(repository, tag)
        if before == digest:
            return
        await self._store.put(paths.tag_of(repository, digest, tag), b"")
        await self._store.put(paths.tag(repository, tag), str(digest).encode())
        if before:
            await self._store.delete(paths.tag_of(repository, before, tag))

    async def _refuse_if_incomplete(self, repository: Repository, references: Sequence[Descriptor]) -> None:
        missing = []
        for each in references:
            size = await self._size_of(repository, each)
            if size is None:
                missing.append({"field": each.field, "digest": str(each.digest)})
            elif size != each.size:
                raise Refused(
                    "MANIFEST_INVALID",
                    f"{each.field}.size: is {each.size}, but {each.digest} has {size} bytes",
                    detail={"field": f"{each.field}.size"},
                )
        if missing:
            raise Refused(
                "MANIFEST_BLOB_UNKNOWN",
                f"{repository.name} has not all that this manifest refers to; push what is missing first, beginning "
                f"with {missing[0]['digest']} ({missing[0]['field']}).",
                detail={"missing": missing[:100]},
            )

    async def _size_of(self, repository: Repository, reference: Descriptor) -> int | None:
        # Build caches are indexes that list layers.
        if reference.of_manifest and await self._store.size(paths.manifest(repository, reference.digest)) is not None:
            return await self._store.size(paths.content(reference.digest))
        return await self.blob_size(repository, reference.digest)

    async def _refuse_if_used(self, repository: Repository, digest: Digest) -> None:
        for name in await self._store.names(paths.users(repository, digest)):
            user = paths.digest_named(name)
            if await self._store.size(paths.manifest(repository, user)) is not None:
                raise Refused(
                    "UNSUPPORTED",
                    f"The manifest {user} in {repository.name} needs {digest}: delete that one first.",
                    detail={"neededBy": str(user)},
                )

    async def _unknown(self, repository: Repository, reference: Reference) -> Refused:
        if not await self.exists(repository):
            return repository_unknown(repository)
        said = reference.name if isinstance(reference, Tag) else str(reference)
        return Refused("MANIFEST_UNKNOWN", f"{repository.name} has no manifest {said}.")


def blob_unknown(repository: Repository, digest: Digest) -> Refused:
    return Refused("BLOB_UNKNOWN", f"{repository.name} has no blob {digest}.")


def repository_unknown(repository: Repository) -> Refused:
    return Refused("NAME_UNKNOWN", f"There is no repository {repository.name}: the first push makes it.")
