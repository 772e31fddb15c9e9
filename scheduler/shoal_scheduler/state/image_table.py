"""Which row of the table of instances holds which images and layers, as far as agents have reported it.

Rows are the bits of a number: a thousand of them take 125 bytes, and the rows of several images are found by a few `|`.
What several instances hold is kept once. What a placement asks is remembered until something changes. Only the tables
change this; a step's own copy of the table of instances reads the same one.
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

        # The rows that have each layer; what each row has, by the engine's id.
        self._layers: dict[int, int] = {}
        self._on: dict[int, dict[str, _Entry]] = {}

        # By names and number of rows.
        self._ranks: dict[tuple[tuple[str, ...], int], Ints | None] = {}

    def __bool__(self) -> bool:
        return bool(self._entries)

    def on(self, row: int) -> list[HeldImage]:
        return [entry.image for entry in self._on.get(row, {}).values()]

    def change(self, row: int, images: Iterable[HeldImage], removed: Iterable[str], *, full: bool) -> None:
        """`full`: these are all there are. Otherwise these came or changed, and those with the ids are gone."""
        known = self._on.setdefault(row, {})
        came = {image.id: image for image in images}
        same = {each for each, image in came.items() if each in known and known[each].image == image}
        gone = [each for each in known if each not in came] if full else [each for each in removed if each not in came]
        left = [known.pop(each) for each in (*gone, *(came.keys() - same)) if each in known]
        for image_id, image in came.items():
            if image_id not in same:
                entry = self._enter(image, row)
                known[entry.image.id] = entry
        for entry in left:
            self._leave(entry, row)
        self._lose_layers(row, {layer for entry in left for layer in entry.image.layers})
        if not known:
            del self._on[row]
        self._ranks.clear()

    def _enter(self, image: HeldImage, row: int) -> _Entry:
        entry = self._entries.get(image)
        if entry is None:
            entry = self._entries[image] = _Entry(image)
            for name in image.names:
                self._by_name.setdefault(name, {})[image] = entry
        entry.rows |= 1 << row
        for layer in image.layers:
            self._layers[layer] = self._layers.get(layer, 0) | 1 << row
        return entry

    def _leave(self, entry: _Entry, row: int) -> None:
        entry.rows &= ~(1 << row)
        if entry.rows:
            return
        del self._entries[entry.image]
        for name in set(entry.image.names):
            self._by_name[name].pop(entry.image)
            if not self._by_name[name]:
                del self._by_name[name]

    def _lose_layers(self, row: int, layers: set[int]) -> None:
        """Those that no other image of the row has."""
        for layer in layers.difference(*(entry.image.layers for entry in self._on[row].values())):
            self._layers[layer] &= ~(1 << row)
            if not self._layers[layer]:
                del self._layers[layer]

    # -- what placement asks -------------------------------------------------------------------------------

    def ranks(self, names: tuple[str, ...], rows: int) -> Ints | None:
        """Of each of so many rows, how much of the images of these names would have to be fetched: 0 for one that
        holds them all, else KiB of layers, and one for each image. None where that is the same for all."""
        asked = (names, rows)
        if asked not in self._ranks:
            if len(self._ranks) >= RANKS_MAX:
                self._ranks.clear()
            self._ranks[asked] = self._ranked(names, rows)
        return self._ranks[asked]

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
            missing += np.where(_marked(self._layers[layer], rows), 0, -(-size_bytes // KIB))
        missing[_marked(held, rows)] = 0
        return missing


def _marked(bits: int, rows: int) -> NDArray[np.bool_]:
    """Of each row whether its bit is set. A row that came after this table was copied has none."""
    data = np.frombuffer(bits.to_bytes(max(1, (bits.bit_length() + 7) // 8), "little"), np.uint8)
    marks = np.unpackbits(data, count=rows, bitorder="little")
    return marks.astype(np.bool_)
