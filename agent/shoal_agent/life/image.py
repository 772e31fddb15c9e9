"""Which image a container of a task is made from."""

from contextlib import suppress

from shoal import image_reference

from shoal_agent.definition.specification import Specification
from shoal_agent.engine.port import EngineTimeout, EngineUnavailable, ImageNotFound
from shoal_agent.images.pulling import TRIES
from shoal_agent.life.case import Case


async def fetch(case: Case, image: str) -> None:
    """From its registry. For one that is here and is only asked for anew nobody waits until a registry comes back.
    Raises CannotPull."""
    is_here = False
    if case.refreshes_images:
        with suppress(ImageNotFound):
            await _digest(case, image)
            is_here = True
    await case.around.pulls.pull(image, tries=1 if is_here else TRIES)


async def resolved(case: Case, wanted: Specification) -> tuple[str, str | None]:
    """The image to run and its digest, if it has one. Raises ImageNotFound."""
    if given := image_reference.split(wanted.image)[2]:
        return wanted.image, given
    if not wanted.consistent:
        return wanted.image, await _digest(case, wanted.image)
    if wanted.image not in case.digests:
        case.digests[wanted.image] = case.known_digest(wanted.image) or await _digest(case, wanted.image)
    digest = case.digests[wanted.image]
    return image_reference.pinned(wanted.image, digest), digest


async def _digest(case: Case, image: str) -> str | None:
    """Raises EngineUnavailable for an engine that is silent: a mere look is no fault of the container, and may be
    given up long before the engine as a whole is known to hang."""
    try:
        return await case.around.engine.image_digest(image)
    except EngineTimeout as error:
        raise EngineUnavailable(error.message) from None
