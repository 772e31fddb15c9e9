"""A blob of another repository, made one of this repository without being sent again."""

from shoal_registry.errors import Refused
from shoal_registry.names import Digest, Repository
from shoal_registry.registry import Call


async def mounted(call: Call) -> Digest | None:
    """The blob that a POST asked to mount; None if the caller has to upload it.

    Without `from` it always has to: who knows only a digest is not told whether some other repository has it.
    """
    wanted, source = call.request.query.get("mount"), call.request.query.get("from")
    if wanted is None or source is None:
        return None
    repository, digest = call.repository, Digest.parse(wanted)
    try:
        other = Repository.parse(source)
    except Refused:
        return None
    return digest if await call.repositories.mount(repository, digest, other) else None
