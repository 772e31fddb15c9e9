"""Who uses the registry: they push, pull, mount and delete, and note what they were promised and what became of it."""

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias

from shoal_registry import manifest as manifests
from shoal_registry.errors import Refused
from shoal_registry.names import Digest, Repository, Tag
from shoal_registry.ranges import Span

from tests.registry.client import CONFIG, IMAGE, LAYER, descriptor, image_manifest, index
from tests.registry.interleavings.world import GRACE_SECONDS, GoneError, Instance, World, is_of, once, whole

REPOSITORIES = tuple(Repository(name) for name in ("one", "one/two", "three"))
BLOBS = tuple(f"blob {number}".encode() for number in range(3))
CONFIGURATION = b"{}"
# Whoever was told that a blob exists can count on it for that long, also if clocks differ by the margin.
PROMISED_SECONDS = GRACE_SECONDS / 4
# Who is slow between two calls is so for less than that altogether.
SLOW_SECONDS = PROMISED_SECONDS / 10

Action: TypeAlias = Callable[[], Awaitable[None]]
Thing: TypeAlias = tuple[Repository, Digest]


@dataclass(slots=True)
class Clients:
    """`deleting`: what somebody tried to delete, and until when (without end while it is under way)."""

    world: World
    acknowledged_tags: dict[tuple[Repository, str], Digest] = field(default_factory=dict)
    acknowledged_manifests: set[Thing] = field(default_factory=set)
    deleting: dict[Thing, float] = field(default_factory=dict)
    deleted_tags: set[tuple[Repository, str]] = field(default_factory=set)
    pushed: list[tuple[Repository, str, bytes]] = field(default_factory=list)
    _under_way: Counter[Thing] = field(default_factory=Counter)
    _number: int = 0

    @property
    def repository(self) -> Repository:
        return self.world.chance.choice(REPOSITORIES)

    # Pushing

    async def push(self) -> None:
        """An image, of layers that others push as well."""
        chance, repository = self.world.chance, self.repository
        layers = chance.sample(BLOBS, chance.randint(1, 2))
        subject = None
        if self.pushed and chance.random() < 0.2:
            subject = descriptor(chance.choice(self.pushed)[2], IMAGE)
        told = {}
        instance = self.world.instance
        for content in (CONFIGURATION, *layers):
            told[Digest.of(content)] = self.world.loop.now
            await self._bring(instance, repository, content)
            await self._dawdle()
            if chance.random() < 0.3:
                instance = self.world.instance
        # The same manifest comes more than once.
        fields: dict[str, Any] = {"annotations": {"of": str(chance.randrange(3))}} if chance.random() < 0.5 else {}
        if subject:
            fields["subject"] = subject
        manifest = image_manifest(
            descriptor(CONFIGURATION, CONFIG), [descriptor(each, LAYER) for each in layers], **fields
        )
        await self._push_manifest(instance, repository, json.dumps(manifest).encode(), told)

    async def push_index(self) -> None:
        """Of images that are there, or were."""
        ours = [content for _, _, content in self.pushed if json.loads(content)["mediaType"] == IMAGE]
        if ours:
            listed = self.world.chance.sample(ours, min(len(ours), 2))
            content = json.dumps(index(*(descriptor(each, IMAGE) for each in listed))).encode()
            await self._push_manifest(self.world.instance, self.repository, content, {})

    async def upload_and_leave(self) -> None:
        """No manifest ever comes; or not even the end."""
        instance, repository, content = self.world.instance, self.repository, self.world.chance.choice(BLOBS)
        if self.world.chance.random() < 0.5:
            await self._bring(instance, repository, content)
        else:
            upload = await instance.ask(instance.uploads.begin(repository))
            await instance.ask(instance.uploads.append(repository, upload, once(content)))

    async def _bring(self, instance: Instance, repository: Repository, content: bytes) -> None:
        """As engines do: ask for it, mount it, send it."""
        digest, chance = Digest.of(content), self.world.chance
        if await instance.ask(instance.repositories.promised_blob_size(repository, digest)) is not None:
            return
        if chance.random() < 0.5:
            for other in await instance.ask(instance.repositories.holders(digest)):
                if await instance.ask(instance.repositories.mount(repository, digest, other)):
                    self.world.checks.facts["mounts"] += 1
                    return
        upload = await instance.ask(instance.uploads.begin(repository))
        await instance.ask(instance.uploads.append(repository, upload, once(content)))
        await self._dawdle()
        await instance.ask(instance.uploads.commit(repository, upload, digest))

    async def _push_manifest(
        self, instance: Instance, repository: Repository, content: bytes, told: dict[Digest, float]
    ) -> None:
        checks, digest = self.world.checks, Digest.of(content)
        self._number += 1
        tag = self.world.chance.choice(("latest", f"v{self._number}"))
        media_type = json.loads(content)["mediaType"]
        try:
            await instance.ask(instance.repositories.put_manifest(repository, Tag(tag), content, media_type))
        except Refused as refused:
            assert refused.code == "MANIFEST_BLOB_UNKNOWN", refused
            detail: Any = refused.detail
            for each in detail["missing"]:
                missing = Digest.parse(each["digest"])
                if missing in told and self._is_kept((repository, missing), told[missing]):
                    checks.violated(f"{repository.name} was promised {missing} at {told[missing]:.3f}, and lost it")
            return
        checks.facts["pushes"] += 1
        self.pushed.append((repository, tag, content))
        self.acknowledged_manifests.add((repository, digest))
        if tag != "latest":
            self.acknowledged_tags[repository, tag] = digest

    async def leave(self) -> tuple[Repository, bytes]:
        """A blob whose manifest never comes."""
        repository, content = self.repository, self.world.chance.choice(BLOBS)
        await self._bring(self.world.instance, repository, content)
        return repository, content

    async def prepare(self, repository: Repository, content: bytes) -> Action:
        """Something that counts on that blob of that repository, to be done at the worst moment; then a manifest."""
        instance, target, digest = self.world.instance, self.repository, Digest.of(content)
        kind = self.world.chance.choice(("ask", "ask", "mount", "mount", "commit", "manifest", "delete"))
        if kind != "mount":
            target = repository
        await self._bring(instance, target, CONFIGURATION)
        if kind == "delete":
            return lambda: self._delete((target, digest), instance)
        bring: Callable[[], Coroutine[Any, Any, object]]
        if kind == "ask":
            bring = partial(instance.repositories.promised_blob_size, target, digest)
        elif kind == "mount":
            bring = partial(instance.repositories.mount, target, digest, repository)
        elif kind == "manifest":
            # Whoever asks nobody is promised nothing; what is acknowledged stays all the same.
            bring = partial(instance.repositories.exists, target)
        else:
            upload = await instance.ask(instance.uploads.begin(target))
            await instance.ask(instance.uploads.append(target, upload, once(content)))
            bring = partial(instance.uploads.commit, target, upload, digest)

        async def act() -> None:
            told = {} if kind == "manifest" else {digest: self.world.loop.now}
            if await instance.ask(bring()) in (None, False) and kind != "commit":
                return
            self.world.checks.facts[f"ambushes: {kind}"] += 1
            other = self.world.instance
            if kind != "manifest" and self.world.chance.random() < 0.5:
                await asyncio.sleep(self.world.chance.uniform(0, 0.9 * PROMISED_SECONDS))
                await other.ask(other.collector.collect())
            manifest = image_manifest(descriptor(CONFIGURATION, CONFIG), [descriptor(content, LAYER)])
            await self._push_manifest(other, target, json.dumps(manifest).encode(), told)

        return act

    # Pulling

    async def pull(self) -> None:
        """Everything of a tag, slowly: what is deleted meanwhile is there for that long."""
        instance, (repository, _), began = self.world.instance, self._one_pushed(), self.world.loop.now
        try:
            names = await instance.ask(instance.repositories.tags(repository))
            tag = Tag(self.world.chance.choice(names or ["latest"]))
            found = await instance.ask(instance.repositories.find(repository, tag))
        except Refused as refused:
            # What is wrong with a tag is seen at the writes and at the end; this one may be deleted.
            assert refused.status == 404
            return
        await self._pull_manifest(repository, found.digest, found.media_type, began)

    async def _pull_manifest(self, repository: Repository, digest: Digest, media_type: str, began: float) -> None:
        instance, checks = self.world.instance, self.world.checks
        content = await instance.ask(instance.repositories.read_manifest(digest))
        if not is_of(content, digest):
            checks.violated(f"{digest} was pulled with other bytes")
        for each in manifests.parse(content, media_type).references:
            await self._dawdle()
            if each.of_manifest:
                try:
                    found = await instance.ask(instance.repositories.find(repository, each.digest))
                except Refused:
                    if self._is_kept((repository, each.digest), began):
                        checks.violated(f"{repository.name} has no {each.digest} for a pull of {digest}")
                    continue
                await self._pull_manifest(repository, found.digest, found.media_type, began)
            else:
                await self._pull_blob(instance, repository, each.digest, began)
        checks.facts["pulls"] += 1

    async def _pull_blob(self, instance: Instance, repository: Repository, digest: Digest, began: float) -> None:
        size = await instance.ask(instance.repositories.pulled_blob_size(repository, digest))
        if size is None:
            if self._is_kept((repository, digest), began):
                self.world.checks.violated(f"{repository.name} has no {digest} for a pull that began at {began:.3f}")
            return
        content = await instance.ask(whole(instance.repositories.stream(digest, Span(0, size))))
        if not is_of(content, digest):
            self.world.checks.violated(f"{digest} was pulled with other bytes")

    # Deleting

    async def delete_tag(self) -> None:
        repository, tag = self._one_pushed()
        instance = self.world.instance
        self.deleted_tags.add((repository, tag.name))
        await instance.ask(instance.repositories.delete_tag(repository, tag))

    async def delete_manifest(self) -> None:
        repository, tag = self._one_pushed()
        instance = self.world.instance
        digest = (await instance.ask(instance.repositories.find(repository, tag))).digest
        await self._delete((repository, digest), instance, of_manifest=True)

    async def delete_blob(self) -> None:
        instance, repository = self.world.instance, self.repository
        digest = Digest.of(self.world.chance.choice(BLOBS))
        await self._delete((repository, digest), instance)

    async def _delete(self, thing: Thing, instance: Instance, of_manifest: bool = False) -> None:
        repositories = instance.repositories
        self.deleting[thing] = float("inf")
        self._under_way[thing] += 1
        try:
            await instance.ask((repositories.delete_manifest if of_manifest else repositories.delete_blob)(*thing))
            self.world.checks.facts["deletes"] += 1
        finally:
            self._under_way[thing] -= 1
            if not self._under_way[thing]:
                self.deleting[thing] = self.world.loop.now

    async def live(self, action: Action) -> None:
        """Refusals, and registries that die, are part of it; nothing else is."""
        try:
            await action()
        except (Refused, GoneError):
            pass
        except Exception as error:
            self.world.checks.violated(f"something failed: {error!r}")

    # What was promised

    def nothing_acknowledged_is_lost(self) -> None:
        checks = self.world.checks
        for (repository, tag), digest in self.acknowledged_tags.items():
            is_deleted = (repository, tag) in self.deleted_tags or (repository, digest) in self.deleting
            if not is_deleted and checks.tags(repository).get(tag) != digest:
                checks.violated(f"{repository.name}:{tag} was acknowledged, and is lost")
        for repository, digest in self.acknowledged_manifests:
            if (repository, digest) not in self.deleting and digest not in checks.links(repository, "_manifests"):
                checks.violated(f"{digest} of {repository.name} was acknowledged, and is lost")

    def _is_kept(self, thing: Thing, since: float) -> bool:
        """Nobody tried to delete it since then, and it was not too long ago."""
        return self.deleting.get(thing, -1.0) < since and self.world.loop.now - since < PROMISED_SECONDS

    def _one_pushed(self) -> tuple[Repository, Tag]:
        if not self.pushed:
            return self.repository, Tag("latest")
        repository, tag, _ = self.world.chance.choice(self.pushed)
        return repository, Tag(tag)

    async def _dawdle(self) -> None:
        if self.world.chance.random() < 0.4:
            await asyncio.sleep(self.world.chance.choice((1.0, SLOW_SECONDS)) * self.world.chance.random())
