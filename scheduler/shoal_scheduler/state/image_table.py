"""Which row of the table of instances holds which images and layers, as far as agents have reported it.

Of each image that several hold there is one entry, with the rows as the bits of a number: a thousand of them take 125
bytes, and those that hold one of many images are found by a few `|`. What a placement asks is kept until something
changes. Only the tables change this; a step's own copy of the table of instances reads the same one.
"""

from collections.abc import Iterable, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from shoal_scheduler.model.held_image import HeldImage
from shoal_scheduler.state.row_counts import Ints

KIB = 1024

# Asks whose ranks are remembered.
RANKS_MAX = 512
_RANK_MAX = 2**30


class _Entry:
    __slots__ = ("image", "rows")

    def __init__(self, image: HeldImage) -> None:
        self.image = image
        self.rows = 0


class ImageTable:
    def __init__(self) -> None:
        self._entries: dict[HeldImage, _Entry] = {}
        self._by_name: dict[str, dict[HeldImage, _Entry]] = {}
        self._by_layer: dict[int, dict[HeldImage, _Entry]] = {}
        self._on: dict[int, dict[str, _Entry]] = {}
        self._ranks: dict[tuple[str, ...], Ints | None] = {}

    def __bool__(self) -> bool:
        return bool(self._entries)

    def on(self, row: int) -> list[HeldImage]:
        return [entry.image for entry in self._on.get(row, {}).values()]

    def count(self, row: int) -> int:
        return len(self._on.get(row, ()))

    def change(self, row: int, images: Iterable[HeldImage], removed: Iterable[str], *, full: bool) -> None:
        """`full`: these are all there are. Otherwise these came or changed, and those with the ids are gone."""
        known = self._on.setdefault(row, {})
        new = {image.id: image for image in images}
        gone = [image_id for image_id in known if image_id not in new] if full else removed
        for image_id in [*gone, *new]:
            before = known.pop(image_id, None)
            if before is not None:
                self._leave(before, row)
        for image in new.values():
            known[image.id] = self._enter(image, row)
        if not known:
            del self._on[row]
        self._ranks.clear()

    def forget(self, row: int) -> None:
        """Nothing is known of it any more."""
        self.change(row, (), (), full=True)

    def _enter(self, image: HeldImage, row: int) -> _Entry:
        entry = self._entries.get(image)
        if entry is None:
            entry = self._entries[image] = _Entry(image)
            for name in image.names:
                self._by_name.setdefault(name, {})[image] = entry
            for layer in image.layers:
                self._by_layer.setdefault(layer, {})[image] = entry
        entry.rows |= 1 << row
        return entry

    def _leave(self, entry: _Entry, row: int) -> None:
        entry.rows &= ~(1 << row)
        if entry.rows:
            return
        del self._entries[entry.image]
        for name in entry.image.names:
            _take_out(self._by_name, name, entry.image)
        for layer in set(entry.image.layers):
            _take_out(self._by_layer, layer, entry.image)

    # -- what placement asks -------------------------------------------------------------------------------

    def ranks(self, names: tuple[str, ...], rows: int) -> Ints | None:
        """Of each of so many rows, how much of the images of these names would have to be fetched: 0 for one that
        holds them all, else KiB of layers, and one for each image. None where that is the same for all."""
        known = self._ranks.get(names, ...)
        if known is not ... and (known is None or len(known) == rows):
            return known
        if len(self._ranks) >= RANKS_MAX:
            self._ranks.clear()
        found = self._ranks[names] = self._ranked(names, rows)
        return found

    def _ranked(self, names: Sequence[str], rows: int) -> Ints | None:
        total = np.zeros(rows, np.int64)
        for name in names:
            total += self._missing_kib(name, rows)
        if not rows or (total == total[0]).all():
            return None
        return np.minimum(total, _RANK_MAX).astype(np.int32)

    def _missing_kib(self, name: str, rows: int) -> NDArray[np.int64]:
        entries = self._by_name.get(name, {}).values()
        missing = np.ones(rows, np.int64)
        if not entries:
            return missing
        held = 0
        for entry in entries:
            held |= entry.rows
        # A tag may mean several images; what most instances took it for is most likely what would be fetched.
        usual = max(entries, key=lambda entry: (entry.rows.bit_count(), msgspec.structs.astuple(entry.image)))
        sizes = dict(zip(usual.image.layers, usual.image.layer_bytes, strict=True))
        for layer, size_bytes in sizes.items():
            with_layer = 0
            for entry in self._by_layer[layer].values():
                with_layer |= entry.rows
            missing += np.where(_marked(with_layer, rows), 0, -(-size_bytes // KIB))
        missing[_marked(held, rows)] = 0
        return missing


def _take_out(index: dict, key: str | int, image: HeldImage) -> None:  # type: ignore[type-arg]
    index[key].pop(image, None)
    if not index[key]:
        del index[key]


def _marked(bits: int, rows: int) -> NDArray[np.bool_]:
    """Of each row whether its bit is set. A row that came after this table was copied has none."""
    data = np.frombuffer(bits.to_bytes(max(1, (bits.bit_length() + 7) // 8), "little"), np.uint8)
    marks = np.unpackbits(data, count=rows, bitorder="little")
    return marks.astype(np.bool_)
