"""From a file into an engine: what `shoal image save` or `docker save` wrote, or an OCI image layout in a tar.

The file is read twice: once to see that it is whole and each blob what its name says, and then for the engine.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isal import isal_zlib

from shoal import errors
from shoal.bridge import archive, layers, layout, manifest, tars
from shoal.bridge.archive import DOCUMENT_BYTES_MAX, Damaged
from shoal.bridge.engine import Engine
from shoal.bridge.manifest import Platform
from shoal.bridge.steps import State, Step, Told, worked, working
from shoal.bridge.tars import PIECE_BYTES, TarReader

_GZIP = 31  # zlib's word for a deflate stream in gzip's frame
_GZIP_MAGIC = b"\x1f\x8b"
# Docker 20.10 calls a config by its digest.
_CONFIG = re.compile(r"([0-9a-f]{64})\.json")


@dataclass(frozen=True, slots=True)
class Inside:
    """`identities`: by which engines may know the image. `lacking`: what has to come before the file's own members."""

    identities: tuple[str, ...]
    tags: tuple[str, ...]
    lacking: bytes
    config: bytes


@dataclass(frozen=True, slots=True)
class LoadedFile:
    identity: str
    names: tuple[str, ...]
    was_there: bool


async def load_file(engine: Engine, path: Path, local: str | None, wanted: Platform | None, told: Told) -> LoadedFile:
    """`local`: NAME:TAG besides the names in the file. Raises Damaged, NotFound, OSError."""
    inside = await inspect(path, local, wanted or await engine.platform(), told)
    if wanted:
        manifest.demand_platform(inside.config, wanted, str(path))
    was_there = await engine.known(*inside.identities)
    if was_there is None:
        await engine.load(_for_engine(path, inside, told))
        told(worked())
    identity = was_there or await engine.known(*inside.identities)
    if identity is None:
        raise errors.ServerFault(f"The engine took {path} in, but has not the image.")
    names = (local,) if local else inside.tags
    for each in names:
        await engine.tag(identity, each)
    return LoadedFile(identity, names, was_there is not None)


async def inspect(path: Path, local: str | None, wanted: Platform, told: Told) -> Inside:
    """Raises Damaged unless the file is whole, and each blob what its name says."""
    documents: dict[str, bytes] = {}
    sizes: dict[str, int] = {}
    reader = TarReader(_pieces(path, told, "reading"))
    async for member in reader:
        if member.path in sizes:
            raise Damaged(f"{path} has {member.path!r} twice.")
        sizes[member.path] = member.size
        digest = _named(member.path)
        if member.size <= DOCUMENT_BYTES_MAX and (digest or member.path.endswith(".json")):
            content = b"".join([piece async for piece in reader.content()])
            documents[member.path] = content
            is_right = digest in (None, manifest.digest_of(content))
        else:
            is_right = digest is None or (await layers.checked(reader.content()))[0] == digest
        if not is_right:
            raise Damaged(f"{path} is damaged: what is called {digest} in it is something else.")
    return _inside(path, documents, sizes, local, wanted)


def _inside(
    path: Path, documents: dict[str, bytes], sizes: dict[str, int], local: str | None, wanted: Platform
) -> Inside:
    image = layout.found(documents, wanted)
    saved = archive.saved(documents)
    if saved is None and image is None:
        raise Damaged(f"{path} holds no image: it has neither manifest.json nor index.json.")
    if saved:
        config = documents.get(saved.config)
        missing = [each for each in saved.layers if each not in sizes]
    else:
        assert image is not None
        config = documents.get(layout.path(image.config.digest))
        missing = [each.digest for each in image.layers if layout.path(each.digest) not in sizes]
    if missing or config is None:
        raise Damaged(f"{path} is not whole: it lacks {(missing or ['the image its config'])[0]}.")
    identities = [manifest.digest_of(config)]
    if image:
        identities.append(image.descriptor.digest)
    lacking = b"" if saved or image is None else tars.file("manifest.json", layout.in_docker_words(image, local))
    return Inside(tuple(identities), tuple(saved.tags) if saved else (), lacking, config)


def _named(path: str) -> str | None:
    """The digest of a file of which its path says one."""
    config = _CONFIG.fullmatch(path)
    digest = f"sha256:{config[1]}" if config else layout.digest_at(path)
    return digest if digest and digest.startswith("sha256:") else None


async def _for_engine(path: Path, inside: Inside, told: Told) -> AsyncIterator[bytes]:
    if inside.lacking:
        yield inside.lacking
    async for piece in _pieces(path, told, "pushing"):
        yield piece
    told(working())


async def _pieces(path: Path, told: Told, state: State) -> AsyncIterator[bytes]:
    """Of the tar, which may lie there compressed by gzip. Raises Damaged."""
    total, done = path.stat().st_size, 0
    inflating = None
    with path.open("rb") as file:
        while piece := await asyncio.to_thread(file.read, PIECE_BYTES):
            if not done and piece.startswith(_GZIP_MAGIC):
                inflating = isal_zlib.decompressobj(wbits=_GZIP)
            done += len(piece)
            told(Step(path.name, state, done, total))
            if inflating is None:
                yield piece
                continue
            while piece:
                yield await asyncio.to_thread(_inflated, inflating, piece)
                piece = inflating.unconsumed_tail


def _inflated(inflating: Any, piece: bytes) -> bytes:
    try:
        found: bytes = inflating.decompress(piece, PIECE_BYTES)
    except isal_zlib.IsalError as error:  # type: ignore[misc]  # its stubs take it for an instance
        raise Damaged(f"The file is no gzip: {error}.") from None
    return found
