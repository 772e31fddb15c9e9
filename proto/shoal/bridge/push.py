"""From an engine to the registry.

The engine's archive comes as a stream. Each layer in it is hashed, compressed into a file of a folder of its own, and
sent from there while the next one is read; its file is gone when it is there. So the memory is bounded by the size of
a piece, and the disk by a few layers, compressed. Sending begins when a layer's digest is known, not before: most
layers of most images are in the registry already, and compressing is faster than sending.
"""

import asyncio
import errno
import itertools
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from shoal import errors
from shoal.bridge import archive, layout, manifest
from shoal.bridge import layers as layers_of
from shoal.bridge.archive import DOCUMENT_BYTES_MAX, Damaged, Member
from shoal.bridge.engine import Engine, LocalImage
from shoal.bridge.known import KnownLayers
from shoal.bridge.layers import Layer
from shoal.bridge.manifest import DOCKER_CONFIG, DOCKER_LAYER, Descriptor, Image, Platform
from shoal.bridge.names import ImageName
from shoal.bridge.steps import Step, Told, worked, working
from shoal.bridge.tars import TarReader
from shoal.bridge.transfer import Moved, Repository

LAYERS_AT_ONCE = 4
# Layers smaller than this are compressed before one could ask whether that is needed.
SMALL_BYTES = 1024 * 1024
DOCUMENTS_BYTES_MAX = 64 * 1024 * 1024


class _OtherThanKnownError(Exception):
    """A layer as long as a known one is another."""


@dataclass(frozen=True, slots=True)
class Pushed:
    """digest: of the manifest that the tag means now. size: of config and layers, compressed. sent: bytes of these."""

    name: ImageName
    digest: str
    media_type: str
    size: int
    sent: int


@dataclass(slots=True)
class Intake:
    """What an archive held, and what of it is in the registry by now."""

    documents: dict[str, bytes] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    layers: dict[str, Layer] = field(default_factory=dict)
    sent: int = 0


async def push(
    engine: Engine, repository: Repository, local: str, name: ImageName, known: KnownLayers, told: Told
) -> Pushed:
    """Raises errors of shoal.errors, Damaged among them."""
    image = await engine.inspect(local)
    ready = await _ready(repository, image, known)
    try:
        return await _pushed(engine, repository, image, name, ready, known, told)
    except _OtherThanKnownError:
        pass
    except errors.Refused as refused:
        # What was there a moment ago was deleted meanwhile, and collected.
        if not ready or refused.reason not in ("MANIFEST_BLOB_UNKNOWN", "MANIFEST_INVALID"):
            raise
    return await _pushed(engine, repository, image, name, {}, known, told)


async def _pushed(
    engine: Engine,
    repository: Repository,
    image: LocalImage,
    name: ImageName,
    ready: Mapping[str, Layer],
    known: KnownLayers,
    told: Told,
) -> Pushed:
    """`ready`: layers that need not be sent, by diff id."""
    whole = len(ready) == len(set(image.diff_ids))
    config_size = await repository.blob_size(image.identity) if whole else None
    if config_size is None:
        made, sent = await _carried(engine, repository, image, ready, known, told)
    else:
        config = Descriptor(DOCKER_CONFIG, image.identity, config_size)
        made, sent = manifest.made(config, [_descriptor(ready[each]) for each in image.diff_ids]), 0
    await repository.put_manifest(name.reference, made.content, made.media_type)
    size = made.config.size + sum(each.size for each in made.layers)
    return Pushed(name, made.descriptor.digest, made.media_type, size, sent)


async def _ready(repository: Repository, image: LocalImage, known: KnownLayers) -> dict[str, Layer]:
    """Those of its layers that were compressed before and are in the registry, by diff id."""
    found = [layer for diff_id in dict.fromkeys(image.diff_ids) if (layer := known.find(diff_id))]
    there = await asyncio.gather(*(repository.has(each.digest, each.size) for each in found))
    return {each.diff_id: each for each, is_there in zip(found, there, strict=True) if is_there and each.diff_id}


async def _carried(
    engine: Engine,
    repository: Repository,
    image: LocalImage,
    ready: Mapping[str, Layer],
    known: KnownLayers,
    told: Told,
) -> tuple[Image, int]:
    told(working())
    try:
        with tempfile.TemporaryDirectory(prefix="shoal-push-") as folder:
            async with engine.export(image.identity) as pieces:
                taken = await take_in(TarReader(pieces), repository, ready, known, Path(folder), told)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise errors.LimitExceeded(
                f"No room for a layer in {tempfile.gettempdir()}.", "make room there, or point $TMPDIR elsewhere"
            ) from None
        raise
    config, made = described(taken, await engine.platform())
    await repository.push_bytes(made.config.digest, config)
    return made, taken.sent + len(config)


async def take_in(
    reader: TarReader, repository: Repository, ready: Mapping[str, Layer], known: KnownLayers, folder: Path, told: Told
) -> Intake:
    """Reads all of an archive and sends its layers. Raises what any of them raises, when all have ended."""
    taken, numbers = Intake(), itertools.count()
    room = asyncio.Semaphore(LAYERS_AT_ONCE)
    by_size = {each.plain_size: each for each in ready.values() if each.plain_size >= SMALL_BYTES}

    async def send(layer: Layer, path: Path, shown: str) -> None:
        try:
            if await repository.push_file(layer.digest, path, layer.size, _pushing(told, shown, layer.size)):
                taken.sent += layer.size
                told(Step(shown, "pushed", layer.size, layer.size))
            else:
                told(Step(shown, "there already", layer.size, layer.size))
            known.keep(layer)
        finally:
            path.unlink()
            room.release()

    try:
        async with asyncio.TaskGroup() as sending:
            async for member in reader:
                told(worked())
                if member.kind == "link":
                    taken.links[member.path] = member.target
                if member.kind != "file":
                    continue
                if member.path in taken.documents or member.path in taken.layers:
                    raise Damaged(f"The archive has {member.path!r} twice.")
                first, content = await _peeked(reader.content())
                if is_document(member, first):
                    await _keep(taken, member, content)
                    continue
                shown = str(next(numbers))
                content = _reading(content, member, told, shown)
                if expected := by_size.get(member.size):
                    taken.layers[member.path] = await _recognised(content, expected, told, shown)
                    continue
                if there := await _there(repository, member):
                    taken.layers[member.path] = await _verified(content, there, told, shown)
                    continue
                await room.acquire()
                path = folder / shown
                layer = await layers_of.laid_down(content, path)
                taken.layers[member.path] = layer
                sending.create_task(send(layer, path, shown))
    except BaseExceptionGroup as several:
        raise several.exceptions[0] from None
    return taken


def is_document(member: Member, first: bytes) -> bool:
    """Not a layer: a layer begins with a tar's header or a compressor's mark, and is at least a block."""
    if layers_of.is_compressed(first) or member.size > DOCUMENT_BYTES_MAX:
        return False
    return first[:1] in (b"{", b"[") or member.size < archive.BLOCK_BYTES


async def _keep(taken: Intake, member: Member, content: AsyncIterator[bytes]) -> None:
    taken.documents[member.path] = b"".join([piece async for piece in content])
    if sum(map(len, taken.documents.values())) > DOCUMENTS_BYTES_MAX:
        raise Damaged("The archive has more in small files than any image.")


async def _recognised(content: AsyncIterator[bytes], expected: Layer, told: Told, shown: str) -> Layer:
    """Of a layer as long as one that the registry has: nearly always that one, which need not be compressed."""
    diff_id, size = await layers_of.checked(content)
    if diff_id != expected.diff_id:
        raise _OtherThanKnownError
    told(Step(shown, "there already", size, size))
    return expected


async def _there(repository: Repository, member: Member) -> Layer | None:
    """Where its name is its digest: what the repository has already."""
    digest = layout.digest_at(member.path)
    if digest is None or await repository.blob_size(digest) != member.size:
        return None
    return Layer(None, 0, digest, member.size)


async def _verified(content: AsyncIterator[bytes], there: Layer, told: Told, shown: str) -> Layer:
    digest, size = await layers_of.checked(content)
    if digest != there.digest:
        raise Damaged(f"A layer of the engine's archive is {digest}, not {there.digest} as it is called.")
    told(Step(shown, "there already", size, size))
    return there


def described(taken: Intake, platform: Platform) -> tuple[bytes, Image]:
    """The config, and a manifest of what came. Raises Damaged unless the layers are those that the config names.

    An engine that keeps images as a registry does hands over the manifest that it has: that stays, byte for byte.
    """
    kept = layout.found(taken.documents, platform)
    if kept and all(_is_kept(taken, each) for each in kept.layers):
        config = _document(taken, layout.path(kept.config.digest))
        if manifest.digest_of(config) != kept.config.digest:
            raise Damaged("The config in the engine's archive is not the one that its manifest names.")
        _checked(taken, config, [layout.path(each.digest) for each in kept.layers])
        return config, kept
    saved = archive.saved(taken.documents)
    if saved is None:
        raise Damaged("The engine's archive has no manifest.json.")
    config = _document(taken, saved.config)
    found = [_descriptor(each) for each in _checked(taken, config, saved.layers)]
    return config, manifest.made(Descriptor(DOCKER_CONFIG, manifest.digest_of(config), len(config)), found)


def _is_kept(taken: Intake, layer: Descriptor) -> bool:
    found = taken.layers.get(layout.path(layer.digest))
    return found is not None and (found.digest, found.size) == (layer.digest, layer.size)


def _document(taken: Intake, path: str) -> bytes:
    found = taken.documents.get(archive.resolved(path, taken.links))
    if found is None:
        raise Damaged(f"The engine's archive lacks the config that it names, {path!r}.")
    return found


def _checked(taken: Intake, config: bytes, paths: Sequence[str]) -> list[Layer]:
    """The layers at these paths, if they are those of the config."""
    diff_ids = archive.diff_ids(config)
    if len(diff_ids) != len(paths):
        raise Damaged(f"The image's config names {len(diff_ids)} layers, the archive {len(paths)}.")
    layers = []
    for path, diff_id in zip(paths, diff_ids, strict=True):
        layer = taken.layers.get(archive.resolved(path, taken.links))
        if layer is None:
            raise Damaged(f"The engine's archive lacks the layer {diff_id}.")
        if layer.diff_id not in (None, diff_id):
            raise Damaged(f"A layer of the engine's archive is {layer.diff_id}, not {diff_id} as the config says.")
        layers.append(layer)
    return layers


def _descriptor(layer: Layer) -> Descriptor:
    return Descriptor(DOCKER_LAYER, layer.digest, layer.size)


async def _peeked(content: AsyncIterator[bytes]) -> tuple[bytes, AsyncIterator[bytes]]:
    first = await anext(content, b"")

    async def whole() -> AsyncIterator[bytes]:
        if first:
            yield first
        async for piece in content:
            yield piece

    return first, whole()


async def _reading(content: AsyncIterator[bytes], member: Member, told: Told, shown: str) -> AsyncIterator[bytes]:
    done = 0
    async for piece in content:
        done += len(piece)
        told(Step(shown, "reading", done, member.size))
        yield piece


def _pushing(told: Told, shown: str, total: int) -> Moved:
    return lambda done: told(Step(shown, "pushing", done, total))
