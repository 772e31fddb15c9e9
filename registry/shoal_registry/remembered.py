"""Manifests that were read lately: a digest never means other bytes, so that these need no second look."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from shoal_registry.names import Digest

BYTES_MAX = 16 * 1024 * 1024
# Whether the store still has them is asked again after that.
FRESH_SECONDS = 5.0


@dataclass(slots=True)
class Remembered:
    """Those that were used last, up to `BYTES_MAX` together. `now` is in seconds."""

    now: Callable[[], float]
    _contents: OrderedDict[Digest, tuple[bytes, float]] = field(default_factory=OrderedDict)
    _size: int = 0

    def get(self, digest: Digest) -> bytes | None:
        """What the store had a moment ago."""
        content, since = self._contents.get(digest, (b"", 0.0))
        if not content or self.now() - since > FRESH_SECONDS:
            return None
        self._contents.move_to_end(digest)
        return content

    def add(self, digest: Digest, content: bytes) -> None:
        """The store has it now."""
        before, _ = self._contents.pop(digest, (b"", 0.0))
        self._contents[digest] = content, self.now()
        self._size += len(content) - len(before)
        while self._size > BYTES_MAX:
            _, (oldest, _) = self._contents.popitem(last=False)
            self._size -= len(oldest)
