"""A blob of another repository, made one of this repository without being sent again."""

from collections.abc import Sequence

from shoal_registry.errors import Refused
from shoal_registry.names import Digest, Repository
from shoal_registry.registry import Call


async def mounted(call: Call) -> Digest | None:
    """The blob that a POST asked to mount; None if the caller has to upload it.

    Without `from`, any repository will do that has it. What its caller may not pull is as if it were not there.
    """
    wanted, source = call.request.query.get("mount"), call.request.query.get("from")
    if wanted is None:
        return None
    repository, digest = call.repository, Digest.parse(wanted)
    for other in await _sources(call, digest, source):
        if await call.repositories.mount(repository, digest, other):
            return digest
    return None


async def _sources(call: Call, digest: Digest, source: str | None) -> Sequence[Repository]:
    if source is None:
        candidates = await call.repositories.holders(digest)
    else:
        try:
            candidates = [Repository.parse(source)]
        except Refused:
            return []
    return [each for each in candidates if await call.may("pull", each)]
