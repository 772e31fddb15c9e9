"""A layer on its way from an engine: hashed, compressed, and laid down in a file until the registry has it.

Layers are compressed with gzip. As plain tar they would be sent at once, but each pull of each host would then move
two to three times as many bytes, and so would the registry's disk; every engine reads gzip, and Docker 20.10 no zstd.
ISA-L's deflate does about 400 MB/s on one core where zlib's does 65 at the same ratio: that is more than a network of
1 Gb/s carries even of what is compressed, so that it costs no time. Its output is the same each time, with no name or
date in its header.
"""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from isal import isal_zlib

from shoal.bridge.archive import Damaged

LEVEL = 1
_GZIP = 31  # zlib's word for a deflate stream in gzip's frame
_GZIP_MAGIC = b"\x1f\x8b"
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
# Of what a hostile archive expands to, no more is held at once.
_EXPANDED_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Layer:
    """diff_id: the digest of the tar; None where it was not looked at (zstd). digest, size: of what a registry keeps.

    plain_size: of the tar.
    """

    diff_id: str | None
    plain_size: int
    digest: str
    size: int


async def checked(pieces: AsyncIterator[bytes]) -> tuple[str, int]:
    """The digest and the size of what comes."""
    hashing, size = hashlib.sha256(), 0
    async for piece in pieces:
        await asyncio.to_thread(hashing.update, piece)
        size += len(piece)
    return f"sha256:{hashing.hexdigest()}", size


def is_compressed(first: bytes) -> bool:
    """By how it begins."""
    return first.startswith((_GZIP_MAGIC, _ZSTD_MAGIC))


async def laid_down(pieces: AsyncIterator[bytes], path: Path) -> Layer:
    """Writes what a registry shall keep of a layer to a new file: what is compressed already stays as it is.

    Raises Damaged, and OSError if there is no room.
    """
    first = await anext(pieces, b"")
    if first.startswith(_ZSTD_MAGIC):
        return await _kept(first, pieces, path, None)
    if first.startswith(_GZIP_MAGIC):
        return await _kept(first, pieces, path, _Expanding())
    return await _compressed(first, pieces, path)


class _Expanding:
    def __init__(self) -> None:
        self._inflating = isal_zlib.decompressobj(wbits=_GZIP)
        self.hashing = hashlib.sha256()
        self.size = 0

    def feed(self, piece: bytes) -> None:
        """Raises Damaged."""
        try:
            while piece:
                plain = self._inflating.decompress(piece, _EXPANDED_BYTES)
                self.hashing.update(plain)
                self.size += len(plain)
                piece = self._inflating.unconsumed_tail
                if self._inflating.eof:
                    # Gzip may have several members one after the other.
                    piece = self._inflating.unused_data
                    if piece:
                        self._inflating = isal_zlib.decompressobj(wbits=_GZIP)
        except isal_zlib.IsalError as error:  # type: ignore[misc]  # its stubs take it for an instance
            raise Damaged(f"A layer is no gzip: {error}.") from None

    def end(self) -> None:
        if not self._inflating.eof:
            raise Damaged("A layer ends before its end.")


async def _kept(first: bytes, rest: AsyncIterator[bytes], path: Path, expanding: _Expanding | None) -> Layer:
    hashing, size = hashlib.sha256(), 0

    def take(piece: bytes) -> None:
        hashing.update(piece)
        file.write(piece)
        if expanding:
            expanding.feed(piece)

    with path.open("xb") as file:
        piece: bytes | None = first
        while piece is not None:
            await asyncio.to_thread(take, piece)
            size += len(piece)
            piece = await anext(rest, None)
    if expanding:
        expanding.end()
    diff_id = f"sha256:{expanding.hashing.hexdigest()}" if expanding else None
    return Layer(diff_id, expanding.size if expanding else 0, f"sha256:{hashing.hexdigest()}", size)


async def _compressed(first: bytes, rest: AsyncIterator[bytes], path: Path) -> Layer:
    """Hashed and compressed in two threads, and read at the same time."""
    plain, packed = hashlib.sha256(), hashlib.sha256()
    deflating = isal_zlib.compressobj(LEVEL, wbits=_GZIP)
    plain_size = 0

    def keep(output: bytes) -> None:
        packed.update(output)
        file.write(output)

    with path.open("xb") as file:
        piece: bytes | None = first
        while piece is not None:
            plain_size += len(piece)
            # Each thread has its own state; the next piece is fetched meanwhile.
            _, _, piece = await asyncio.gather(
                asyncio.to_thread(plain.update, piece),
                asyncio.to_thread(lambda given: keep(deflating.compress(given)), piece),
                anext(rest, None),
            )
        await asyncio.to_thread(keep, deflating.flush())
    size = os.stat(path).st_size  # noqa: PTH116
    return Layer(f"sha256:{plain.hexdigest()}", plain_size, f"sha256:{packed.hexdigest()}", size)
