"""Lifecycle policies applied, by and by, to all repositories that have one."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from shoal_registry import catalogue, grace
from shoal_registry.ecr import inventory, lifecycle, lifecycle_rules
from shoal_registry.ecr.lifecycle import Candidate, Hit, Spared
from shoal_registry.ecr.lifecycle_rules import Policy
from shoal_registry.errors import Refused
from shoal_registry.names import Digest, Repository
from shoal_registry.registry import Registry
from shoal_registry.storage import paths

log = logging.getLogger(__name__)

CALLER = "lifecycle policy"
# Of images that stay although a rule hits them; the preview names all.
SPARED_SAID = 10


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a policy does, or would: `hits` in the order in which they are applied."""

    hits: Sequence[Hit]
    spared: Sequence[Spared]
    images: dict[str, Candidate]


async def run(registry: Registry, every_seconds: float) -> None:
    """For as long as the process lives."""
    while True:
        try:
            await take_turn(registry, every_seconds)
        except Exception:
            log.exception("applying lifecycle policies failed; it is tried again")
        await asyncio.sleep(every_seconds)


async def take_turn(registry: Registry, every_seconds: float) -> None:
    """One process at a time, and not what another has done just before."""
    async with registry.store.lock("lifecycle"):
        async for repository in catalogue.repositories(registry.store):
            text = await registry.store.read(paths.lifecycle_policy(repository))
            if text is None:
                continue
            evaluated = grace.parse_moment(await registry.store.read(paths.lifecycle_evaluated(repository)))
            if evaluated is not None and 0 <= registry.now() - evaluated < every_seconds / 2:
                continue
            try:
                await apply(registry, repository, lifecycle_rules.parse(text.decode()))
            except Exception:
                log.exception("a lifecycle policy failed; it is tried again repository=%s", repository.name)


async def plan(registry: Registry, repository: Repository, policy: Policy) -> Outcome:
    found = [kept async for kept in inventory.images(registry, repository)]
    images = {str(each.digest): Candidate(str(each.digest), each.image, each.tags, each.pulled_at) for each in found}
    now = registry.now()
    hits = await asyncio.to_thread(lifecycle.evaluate, policy, list(images.values()), now)
    users = {hit.digest: await _users(registry, repository, hit.digest) for hit in hits}
    going, spared = lifecycle.spare(hits, images, users, now)
    return Outcome(going, spared, images)


async def apply(registry: Registry, repository: Repository, policy: Policy) -> None:
    began = registry.now()
    outcome = await plan(registry, repository, policy)
    done = [hit for hit in outcome.hits if await _apply(registry, repository, hit, outcome.images[hit.digest])]
    for spared in outcome.spared[:SPARED_SAID]:
        log.info("kept an image repository=%s digest=%s: %s", repository.name, spared.hit.digest, spared.reason)
    if done or outcome.spared:
        expired = sum(hit.action == "expire" for hit in done)
        log.info(
            "applied a lifecycle policy repository=%s expired=%d archived=%d kept=%d",
            *(repository.name, expired, len(done) - expired, len(outcome.spared)),
        )
    async with registry.repositories.lock(repository):
        if await registry.store.size(paths.lifecycle_policy(repository)) is not None:
            await registry.store.put(paths.lifecycle_evaluated(repository), grace.moment(began))


async def _apply(registry: Registry, repository: Repository, hit: Hit, candidate: Candidate) -> bool:
    """Whether it happened: not if the image was deleted, tagged anew or needed since it was looked at."""
    digest = Digest.parse(hit.digest)
    media_type = candidate.image.media_type
    try:
        if hit.action == "transition":
            await registry.archive.archive(repository, digest)
            registry.events.note("ARCHIVE", repository, digest, CALLER, None, media_type)
            return True
        tags = list(candidate.tags)
        if await registry.repositories.delete_manifest(repository, digest, lambda now: list(now) == tags):
            registry.events.note("DELETE", repository, digest, CALLER, None, media_type)
            return True
    except Refused as refused:
        log.info("kept an image repository=%s digest=%s: %s", repository.name, hit.digest, refused.message)
    return False


async def _users(registry: Registry, repository: Repository, digest: str) -> Sequence[str]:
    """The indexes that list it."""
    names = await registry.store.names(paths.users(repository, Digest.parse(digest)))
    found = [paths.digest_named(name) for name in names]
    return [str(each) for each in found if await registry.store.size(paths.manifest(repository, each)) is not None]
