"""What each repository holds, and the order in which it is written, of which every prefix is safe."""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from shoal_registry import creation, image, settings
from shoal_registry import manifest as manifests
from shoal_registry.errors import Refused
from shoal_registry.image import Image
from shoal_registry.links import Links
from shoal_registry.manifest import Descriptor, Manifest
from shoal_registry.names import ALGORITHMS, Digest, Reference, Repository, Tag
from shoal_registry.ranges import Span
from shoal_registry.remembered import Remembered
from shoal_registry.settings import Settings
from shoal_registry.storage import paths
from shoal_registry.storage.store import Store, StoreUnavailableError

log = logging.getLogger(__name__)

# Clients read no more than 4 MiB of a list of referrers; a single one may have that in annotations.
REFERRERS_PAGE_BYTES = 2 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Found:
    """A manifest in a repository."""

    digest: Digest
    image: Image
    size: int

    @property
    def media_type(self) -> str:
        return self.image.media_type


class Repositories:
    """`links`: of a grace or a clock of one's own; by default of a day, and the machine's."""

    def __init__(
        self,
        store: Store,
        links: Links | None = None,
        now: Callable[[], float] = time.time,
        remembered: Remembered | None = None,
    ) -> None:
        self._store = store
        self._remembered = remembered
        self._links = links or Links(store)
        self._now = now

    def lock(self, repository: Repository) -> AbstractAsyncContextManager[None]:
        """For who changes what is known of its images."""
        return self._links.repository_lock(repository)

    async def exists(self, repository: Repository) -> bool:
        return await self._store.size(paths.mark(repository)) is not None

    async def every(self) -> AsyncIterator[Repository]:
        """One after the other, in no promised order; also what is left of one that was deleted."""
        waiting = [paths.REPOSITORIES]
        while waiting:
            folder = waiting.pop()
            names = await self._store.names(folder)
            if any(name.startswith("_") for name in names):
                yield Repository("/".join(folder.parts[1:]))
            # What begins with `_` is of the repository itself.
            waiting += [folder / name for name in names if not name.startswith("_")]

    async def settings(self, repository: Repository) -> Settings:
        """Raises Refused."""
        content = await self._store.read(paths.mark(repository))
        if content is None:
            raise repository_unknown(repository)
        return settings.decode(content)

    async def demand(self, repository: Repository) -> None:
        """That it is there, or that a push makes it. Raises Refused."""
        await creation.demand(self._store, repository)

    async def change_settings(self, repository: Repository, change: Callable[[Settings], Settings]) -> Settings:
        """What it is set to then. Raises Refused."""
        async with self._links.repository_lock(repository):
            changed = change(await self.settings(repository))
            await self._store.put(paths.mark(repository), settings.encode(changed))
            return changed

    async def delete(self, repository: Repository, with_images: bool) -> bool:
        """Whether it is gone, with all that it had: not if it has images, unless it is to go with them.

        Its mark goes last: if the process is killed before, there is a repository to be deleted again. Raises Refused.
        """
        async with self._links.repository_lock(repository):
            await self.settings(repository)
            if not with_images and await self._digests(paths.manifests(repository)):
                return False
            await self._store.remove(paths.tags(repository))
            for digest in await self._digests(paths.manifests(repository)):
                await self._links.remove_manifest(repository, digest)
            for digest in await self._digests(paths.blobs(repository)):
                await self._links.remove_blob(repository, digest)
            for folder in paths.told_of_images(repository):
                await self._store.remove(folder)
            for path in paths.own_settings(repository):
                await self._store.delete(path)
            await self._store.delete(paths.mark(repository))
            return True

    # Blobs

    async def blob_size(self, repository: Repository, digest: Digest) -> int | None:
        """None if the repository has no such blob, whatever others have."""
        if not await self._links.has_blob(repository, digest):
            return None
        return await self._store.size(paths.content(digest))

    async def promised_blob_size(self, repository: Repository, digest: Digest) -> int | None:
        """The same for somebody who may push a manifest that needs it, and nothing but that, a while later."""
        if not await self._links.promise_blob(repository, digest):
            return None
        return await self._store.size(paths.content(digest))

    async def pulled_blob_size(self, repository: Repository, digest: Digest) -> int | None:
        """The same for somebody who gets the blob now: also if there is no room to note that somebody did."""
        try:
            return await self.promised_blob_size(repository, digest)
        except (OSError, StoreUnavailableError):
            log.warning("cannot note that a blob was pulled digest=%s", digest, exc_info=True)
            return await self.blob_size(repository, digest)

    def stream(self, digest: Digest, span: Span) -> AsyncIterator[bytes]:
        return self._store.stream(paths.content(digest), span)

    async def adopt_blob(self, repository: Repository, digest: Digest, source: PurePosixPath) -> None:
        """What lies at `source` has that digest, and is a blob of the repository from now on."""

        async def bring() -> bool:
            await self._store.adopt(source, paths.content(digest))
            return True

        await self._links.add_blob(repository, digest, bring)

    async def holders(self, digest: Digest) -> Sequence[Repository]:
        """Those that have that as a blob or a manifest, or had it until a moment ago."""
        return [paths.repository_named(name) for name in await self._store.names(paths.holders(digest))]

    async def mount(self, repository: Repository, digest: Digest, source: Repository) -> bool:
        """Whether the source has that blob: then the repository has it, too."""

        async def is_there() -> bool:
            return await self.blob_size(source, digest) is not None

        return await is_there() and await self._links.add_blob(repository, digest, is_there)

    async def user(self, repository: Repository, digest: Digest) -> Digest | None:
        """A manifest of the repository that needs that; None if there is none."""
        for name in await self._store.names(paths.users(repository, digest)):
            user = paths.digest_named(name)
            if await self._links.has_manifest(repository, user):
                return user
        return None

    async def delete_blob(self, repository: Repository, digest: Digest) -> None:
        """Raises Refused, also for one that a manifest needs: what has a tag can be pulled whole."""
        async with self._links.repository_lock(repository):
            if await self.blob_size(repository, digest) is None:
                raise blob_unknown(repository, digest)
            await self._refuse_if_used(repository, digest)
            await self._links.remove_blob(repository, digest)

    # Manifests and tags

    async def find(self, repository: Repository, reference: Reference) -> Found:
        """Raises Refused."""
        digest = await self._tagged(repository, reference) if isinstance(reference, Tag) else reference
        found = await self._manifest(repository, digest) if digest else None
        if found is None:
            raise await self._unknown(repository, reference)
        return found

    async def read_manifest(self, digest: Digest) -> bytes:
        if self._remembered and (known := self._remembered.get(digest)):
            return known
        content = await self._store.read(paths.content(digest))
        assert content is not None, f"the content of {digest} is missing"
        if self._remembered:
            self._remembered.add(digest, content)
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
        async with self._links.repository_lock(repository):
            await self._refuse_if_incomplete(repository, parsed.references)
            if tag:
                await self._refuse_if_immutable(repository, tag, digest)
            await self._links.hold_manifest(repository, digest, content)
            needed = dict.fromkeys(each.digest for each in parsed.references)
            await asyncio.gather(*(self._store.put(paths.user(repository, each, digest), b"") for each in needed))
            if parsed.subject:
                described = json.dumps(parsed.descriptor(digest, len(content))).encode()
                await self._store.put(paths.referrer(repository, parsed.subject, digest), described)
            found = await self._described(repository, digest, parsed)
            await self._store.put(paths.manifest(repository, digest), image.encode(found))
            if tag:
                await self._let_mean(repository, tag, digest)
        return digest, parsed

    async def delete_manifest(
        self, repository: Repository, digest: Digest, goes: Callable[[Sequence[str]], bool] = lambda _: True
    ) -> bool:
        """With the tags that mean it. Whether it is gone: `goes` is asked about its tags as they are then.

        Raises Refused, also for one that an index lists.
        """
        async with self._links.repository_lock(repository):
            found = await self.find(repository, digest)
            tags = await self.tags_of(repository, digest)
            if not goes(tags):
                return False
            await self._refuse_if_used(repository, digest)
            parsed = manifests.parse(await self.read_manifest(digest), found.media_type)
            needed = dict.fromkeys(each.digest for each in parsed.references)
            # Who is pulling it, or pushes a manifest that needs the same, can do so to the end.
            for each in needed:
                await self._links.promise_blob(repository, each)
            for name in tags:
                await self._store.delete(paths.tag(repository, Tag(name)))
            await self._links.remove_manifest(repository, digest)
            await self._store.delete(paths.pulled(repository, digest))
            await self._store.remove(paths.tags_of(repository, digest))
            if parsed.subject:
                await self._store.delete(paths.referrer(repository, parsed.subject, digest))
            for each in needed:
                await self._store.delete(paths.user(repository, each, digest))
            return True

    async def tags_of(self, repository: Repository, digest: Digest) -> Sequence[str]:
        """Sorted: those that mean that manifest."""
        names = await self._store.names(paths.tags_of(repository, digest))
        return [name for name in names if await self._tagged(repository, Tag(name)) == digest]

    async def delete_tag(self, repository: Repository, tag: Tag, meant: Digest | None = None) -> Digest:
        """What it meant, which stays. Raises Refused, also if that is not `meant`."""
        async with self._links.repository_lock(repository):
            digest = await self._tagged(repository, tag)
            if digest is None or meant not in (None, digest):
                raise await self._unknown(repository, tag)
            await self._store.delete(paths.tag(repository, tag))
            await self._store.delete(paths.tag_of(repository, digest, tag))
            return digest

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

    async def _digests(self, folder: PurePosixPath) -> Sequence[Digest]:
        return [Digest(each, name) for each in ALGORITHMS for name in await self._store.names(folder / each)]

    async def _manifest(self, repository: Repository, digest: Digest) -> Found | None:
        content = await self._store.read(paths.manifest(repository, digest))
        known = self._remembered.get(digest) if self._remembered else None
        size = len(known) if known else await self._store.size(paths.content(digest))
        return None if content is None or size is None else Found(digest, image.decode(content), size)

    async def _described(self, repository: Repository, digest: Digest, parsed: Manifest) -> Image:
        """An image that is pushed again came when it first came; it is no longer archived."""
        known = await self._store.read(paths.manifest(repository, digest))
        if known is not None:
            return image.decode(known).moved("STANDARD", self._now())
        sizes = [await self._image_size(repository, each) for each in parsed.references]
        is_index = any(each.of_manifest for each in parsed.references)
        subject = str(parsed.subject) if parsed.subject else None
        size = max(sizes) if is_index else sum(sizes)
        return Image(parsed.media_type, self._now(), size, parsed.artifact_type, subject)

    async def _image_size(self, repository: Repository, reference: Descriptor) -> int:
        found = await self._manifest(repository, reference.digest) if reference.of_manifest else None
        return found.image.size_bytes if found else reference.size

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

    async def _refuse_if_immutable(self, repository: Repository, tag: Tag, digest: Digest) -> None:
        before = await self._tagged(repository, tag)
        if before in (None, digest) or (await self.settings(repository)).lets_move(tag):
            return
        raise Refused(
            "TAG_INVALID",
            f"The tag {tag.name} means {before} in {repository.name}, and is immutable there: push under another tag.",
            detail={"tag": tag.name, "digest": str(before)},
        )

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
        found = await self._manifest(repository, reference.digest) if reference.of_manifest else None
        if found:
            # What is archived cannot be pulled until it is pushed again, or restored.
            return None if found.image.is_archived else found.size
        return await self.blob_size(repository, reference.digest)

    async def _refuse_if_used(self, repository: Repository, digest: Digest) -> None:
        user = await self.user(repository, digest)
        if user is not None:
            raise Refused(
                "UNSUPPORTED",
                f"The manifest {user} in {repository.name} needs {digest}: delete that one first.",
                detail={"neededBy": str(user)},
            )

    async def _unknown(self, repository: Repository, reference: Reference) -> Refused:
        if not await self.exists(repository):
            return repository_unknown(repository)
        said = reference.name if isinstance(reference, Tag) else str(reference)
        return Refused("MANIFEST_UNKNOWN", f"{repository.name} has no image {said}.")


def blob_unknown(repository: Repository, digest: Digest) -> Refused:
    return Refused("BLOB_UNKNOWN", f"{repository.name} has no blob {digest}.")


def repository_unknown(repository: Repository) -> Refused:
    return Refused("NAME_UNKNOWN", f"There is no repository {repository.name}.")
