"""What was asked for so far, by shape: what the strategy `fragmentation` weighs places by."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from shoal_scheduler.model.ask import Resources

# Kinds of asks that are counted; past twice as many, only the commonest stay.
SHAPES_MAX = 512

# The commonest kinds stand for all when places are weighed: the rest move the sum by little.
WEIGHED_MAX = 64


class Shape(NamedTuple):
    """What an ask takes: CPU, memory, and `gpus` GPUs with `gpu_milli` thousandths of each, 1000 being a whole one."""

    cpu: int
    memory_mib: int
    gpus: int = 0
    gpu_milli: int = 0


class Seen:
    """How many asks of each shape arrived, placed or not.

    Derived from its adds and removes in any order, while there are no more than `SHAPES_MAX` shapes; where there are
    more than twice as many, the rarest are forgotten (of equals the greater ones), and removing those does nothing.
    """

    __slots__ = ("_counts",)

    def __init__(self, counts: dict[Shape, int] | None = None) -> None:
        self._counts: dict[Shape, int] = dict(counts or {})

    def add(self, shape: Shape, count: int = 1) -> None:
        self._counts[shape] = self._counts.get(shape, 0) + count
        if len(self._counts) > 2 * SHAPES_MAX:
            commonest_first = sorted(self._counts.items(), key=lambda item: (-item[1], item[0]))
            self._counts = dict(commonest_first[:SHAPES_MAX])

    def remove(self, shape: Shape, count: int = 1) -> None:
        left = self._counts.get(shape, 0) - count
        if left > 0:
            self._counts[shape] = left
        else:
            self._counts.pop(shape, None)

    def copy(self) -> "Seen":
        return Seen(self._counts)

    def shapes(self) -> list[tuple[Shape, int]]:
        return sorted(self._counts.items())

    def weighed(self) -> tuple[tuple[Shape, ...], NDArray[np.float64]]:
        """The shapes that places are weighed by, and how often each was asked for."""
        shapes = tuple(self._counts)
        counts = np.fromiter(self._counts.values(), np.float64)
        if len(shapes) <= WEIGHED_MAX:
            return shapes, counts
        least = np.partition(counts, -WEIGHED_MAX)[-WEIGHED_MAX]
        surely = np.flatnonzero(counts > least).tolist()
        equals = sorted(np.flatnonzero(counts == least).tolist(), key=shapes.__getitem__)
        kept = sorted(surely + equals[: WEIGHED_MAX - len(surely)])
        return tuple([shapes[index] for index in kept]), counts[kept]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Seen) and self._counts == other._counts

    __hash__ = None  # type: ignore[assignment]


def shape_of(wanted: Resources) -> Shape:
    return Shape(wanted.cpu, wanted.memory_mib, wanted.gpus, wanted.gpu_milli if wanted.gpus else 0)
