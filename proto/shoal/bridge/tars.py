"""A tar as a stream: read member by member, and written with what is known of each before its content comes."""

import tarfile
from collections.abc import AsyncIterator

from shoal.bridge import archive
from shoal.bridge.archive import BLOCK_BYTES, Damaged, Member

# Big enough that handing it to a thread costs nothing.
PIECE_BYTES = 1024 * 1024


class TarReader:
    """Of pieces of any length. `async for member in reader`, and within that `reader.content()` at most once."""

    def __init__(self, pieces: AsyncIterator[bytes]) -> None:
        self._pieces = pieces
        self._held = bytearray()
        self._left = self._padding = 0
        self._members = 0

    async def __aiter__(self) -> AsyncIterator[Member]:
        """Raises Damaged."""
        extended: dict[str, str] = {}
        while True:
            async for _ in self.content():
                pass
            await self._exactly(self._padding)
            self._padding = 0
            found = archive.header(await self._exactly(BLOCK_BYTES), extended)
            if found is None:
                # An engine fails if nobody reads what comes after the end.
                async for _ in self._pieces:
                    pass
                return
            if isinstance(found, archive.Extension):
                content = await self._exactly(found.size + _padding(found.size))
                extended |= archive.extension(found.kind, content[: found.size])
                continue
            extended = {}
            self._members += 1
            if self._members > archive.MEMBERS_MAX:
                raise Damaged(f"The archive has more than {archive.MEMBERS_MAX:,} members: that is no image.")
            self._left, self._padding = found.size, _padding(found.size)
            yield found

    async def content(self) -> AsyncIterator[bytes]:
        """What is left of the member, in pieces of at most 1 MiB. Raises Damaged if it ends before."""
        while self._left:
            piece = await self._exactly(min(self._left, PIECE_BYTES))
            self._left -= len(piece)
            yield piece

    async def _exactly(self, count: int) -> bytes:
        while len(self._held) < count:
            piece = await anext(self._pieces, None)
            if piece is None:
                raise Damaged("The archive ends before its end." if self._members else "That is no tar archive.")
            self._held += piece
        found = bytes(self._held[:count])
        del self._held[:count]
        return found


def begun(path: str, size: int) -> bytes:
    """The header of a file; its content follows, then `ended`. The same every time."""
    info = tarfile.TarInfo(path)
    info.size, info.mode = size, 0o644
    return info.tobuf(tarfile.GNU_FORMAT)


def ended(size: int) -> bytes:
    """What fills a file's last block."""
    return bytes(_padding(size))


def file(path: str, content: bytes) -> bytes:
    return begun(path, len(content)) + content + ended(len(content))


# After the last member.
END = bytes(2 * BLOCK_BYTES)


def _padding(size: int) -> int:
    return -size % BLOCK_BYTES
