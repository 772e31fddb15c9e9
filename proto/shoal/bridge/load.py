"""From the registry, or from a file, into an engine; and from the registry to a file.

What goes to an engine is hashed on its way, and the archive ends only after the last blob proved to be what it should
be: an engine takes in nothing of an archive that has no end. It checks the layers against the config's diff ids
itself.
"""

import asyncio
import contextlib
import errno
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from shoal import errors
from shoal.bridge import layout, manifest, tars
from shoal.bridge.archive import DOCUMENT_BYTES_MAX, Damaged, diff_ids
from shoal.bridge.engine import Engine
from shoal.bridge.manifest import Image, Platform
from shoal.bridge.names import ImageName
from shoal.bridge.steps import Step, Told, worked, working
from shoal.bridge.transfer import Repository


@dataclass(frozen=True, slots=True)
class Loaded:
    """identity: what the engine calls it; None of what went to a file. digest: of the manifest. size: compressed."""

    name: ImageName
    digest: str
    media_type: str
    size: int
    identity: str | None = None
    local: str | None = None
    was_there: bool = False


async def find(repository: Repository, name: ImageName, wanted: Platform) -> Image:
    """The image that the name means on that platform. Raises NotFound, InvalidInput, Damaged."""
    try:
        found = await repository.manifest(name.reference)
    except errors.NotFound as error:
        is_repository = error.reason == "NAME_UNKNOWN"
        error.hint = "shoal repository ls" if is_repository else f"shoal image tags {name.repository}"
        raise
    for _ in range(manifest.INDEXES_MAX):
        if found.media_type in manifest.IMAGES:
            return manifest.image(found.content, found.media_type)
        listed = manifest.chosen(manifest.index(found.content), wanted)
        found = await repository.manifest(listed.digest)
    raise Damaged(f"{name} is an index of indexes.")


async def load(
    engine: Engine, repository: Repository, name: ImageName, local: str | None, wanted: Platform | None, told: Told
) -> Loaded:
    """`local`: NAME:TAG for the engine; None leaves it without."""
    image = await find(repository, name, wanted or await engine.platform())
    if wanted:
        manifest.demand_platform(await _config(repository, image), wanted, str(name))
    identities = (image.config.digest, image.descriptor.digest)
    there = await engine.known(*identities)
    if there is None:
        await _take_in(engine, repository, image, local, told)
    elif local:
        await engine.tag(there, local)
    identity = there or await engine.known(*identities)
    if identity is None:
        raise errors.ServerFault(f"The engine took {name} in, but has it not.")
    return Loaded(name, image.descriptor.digest, image.media_type, size_of(image), identity, local, there is not None)


async def _take_in(engine: Engine, repository: Repository, image: Image, local: str | None, told: Told) -> None:
    """Without the layers that the engine has from other images, if it takes the image so."""
    below = await engine.layers_below(diff_ids(await _config(repository, image)))
    try:
        await engine.load(archive(repository, image, local, told, below))
    except errors.ServerFault:
        if not below:
            raise
        # An image that had them may be gone by now.
        await engine.load(archive(repository, image, local, told))
    finally:
        told(worked())


async def _config(repository: Repository, image: Image) -> bytes:
    if image.config.size > DOCUMENT_BYTES_MAX:
        raise Damaged(f"The image's config has {image.config.size} bytes: no engine takes that.")
    return b"".join([piece async for piece in repository.blob(image.config.digest, image.config.size)])


async def save(
    repository: Repository,
    name: ImageName,
    local: str | None,
    wanted: Platform | None,
    usual: Platform,
    target: Path | None,
    told: Told,
) -> Loaded:
    """`wanted`: what was asked for; otherwise `usual` is chosen of several. `target`: whole or not at all; None is
    standard output."""
    image = await find(repository, name, wanted or usual)
    if wanted:
        manifest.demand_platform(await _config(repository, image), wanted, str(name))
    try:
        with _writer(target) as write:
            async for piece in archive(repository, image, local, told):
                await asyncio.to_thread(write, piece)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise errors.LimitExceeded(f"No room to write the image to {target or 'standard output'}.") from None
        raise
    return Loaded(name, image.descriptor.digest, image.media_type, size_of(image), None, local)


async def archive(
    repository: Repository, image: Image, local: str | None, told: Told, without: int = 0
) -> AsyncIterator[bytes]:
    """Raises Damaged before its end if a blob is not what its digest says. `without`: so many layers, the lowest."""
    for path, content in layout.documents(image, local).items():
        yield tars.file(path, content)
    for each in dict.fromkeys((image.config, *image.layers[without:])):
        shown, done = each.digest.partition(":")[2][:12], 0
        yield tars.begun(layout.path(each.digest), each.size)
        async for piece in repository.blob(each.digest, each.size):
            done += len(piece)
            told(Step(shown, "pulling", done, each.size))
            yield piece
        told(Step(shown, "pulled", each.size, each.size))
        yield tars.ended(each.size)
    told(working())
    yield tars.END


def size_of(image: Image) -> int:
    return image.config.size + sum(each.size for each in image.layers)


@contextlib.contextmanager
def _writer(target: Path | None) -> Iterator[Callable[[bytes], object]]:
    if target is None:
        yield sys.stdout.buffer.write
        return
    if target.exists() and not target.is_file():
        # A pipe or a device: nothing can take its place.
        with target.open("wb") as file:
            yield file.write
        return
    if not target.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "No such folder", str(target.parent))
    number, beside = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(number, "wb") as file:
            yield file.write
            file.flush()
            os.fsync(file.fileno())
        Path(beside).replace(target)
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise
