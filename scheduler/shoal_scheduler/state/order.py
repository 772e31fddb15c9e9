"""Keys in ascending order, each with how often what stands behind it was served first.

Kept in blocks of a few hundred keys. Serving one adds to all before it: to a part of its own block, and to all blocks
before that at once, by a number that is kept with the block and read as a sum over what follows.
"""

from bisect import bisect_left
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from typing import NamedTuple

BLOCK_MAX = 256
NONE: frozenset[int] = frozenset()


class OrderKey(NamedTuple):
    """What stands first is the smallest."""

    # Negative: the higher priority comes first.
    priority: int

    # When it could start, in milliseconds; then in the order in which they were submitted.
    runnable_at: int
    number: int
    job: str


class _Block:
    __slots__ = ("_distinct", "before", "counts", "highest", "keys", "tags")

    def __init__(self, keys: list[OrderKey], tags: list[int], counts: list[int]) -> None:
        self.keys, self.tags = keys, tags

        # Without what is to be added from the blocks that follow.
        self.counts = counts
        self.highest = max(counts)

        # To be added to every key of every block before this one: of the first, it does not matter.
        self.before = 0
        self._distinct: set[int] | None = None

    def distinct(self) -> set[int]:
        """The tags, each once."""
        if self._distinct is None:
            self._distinct = set(self.tags)
        return self._distinct

    def insert(self, at: int, key: OrderKey, tag: int, count: int) -> None:
        self.keys.insert(at, key)
        self.tags.insert(at, tag)
        self.counts.insert(at, count)
        self.highest = max(self.highest, count)
        self._distinct = None

    def delete(self, at: int) -> None:
        count = self.counts.pop(at)
        del self.keys[at], self.tags[at]
        if self.counts and count == self.highest:
            self.highest = max(self.counts)
        self._distinct = None

    def add(self, end: int, count: int) -> None:
        """To the first `end` keys."""
        if end:
            self.counts[:end] = [known + count for known in self.counts[:end]]
            self.highest = max(self.counts)


class Order:
    __slots__ = ("_all", "_blocks", "_lasts", "_size")

    def __init__(self) -> None:
        self._blocks: list[_Block] = []
        self._lasts: list[OrderKey] = []
        self._size = 0

        # To be added to every key there is.
        self._all = 0

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[OrderKey]:
        for block in self._blocks:
            yield from block.keys

    @property
    def first(self) -> OrderKey:
        """Of one that is not empty."""
        return self._blocks[0].keys[0]

    def after(self, key: OrderKey) -> OrderKey | None:
        """The next behind it."""
        number = bisect_left(self._lasts, key)
        if number < len(self._blocks) and self._lasts[number] == key:
            number += 1
        if number == len(self._blocks):
            return None
        keys = self._blocks[number].keys
        at = bisect_left(keys, key)
        return keys[at + 1] if keys[at] == key else keys[at]

    def position(self, key: OrderKey) -> int:
        """How many stand before it."""
        number = bisect_left(self._lasts, key)
        before = sum(len(block.keys) for block in self._blocks[:number])
        return before + (bisect_left(self._blocks[number].keys, key) if number < len(self._blocks) else 0)

    def add(self, key: OrderKey, tag: int = 0) -> None:
        """One that is not there: nothing has overtaken it. Keys with the same tag can be left out together."""
        self._size += 1
        if not self._blocks:
            self._blocks, self._lasts = [_Block([key], [tag], [-self._all])], [key]
            return
        number = min(bisect_left(self._lasts, key), len(self._blocks) - 1)
        block, count = self._blocks[number], -self._added(number)
        at = bisect_left(block.keys, key)
        block.insert(at, key, tag, count)
        self._lasts[number] = block.keys[-1]
        if len(block.keys) > BLOCK_MAX:
            self._split(number)

    def remove(self, key: OrderKey) -> None:
        """One that is there."""
        number = bisect_left(self._lasts, key)
        block = self._blocks[number]
        at = bisect_left(block.keys, key)
        assert block.keys[at] == key, "what is removed was added"
        self._size -= 1
        block.delete(at)
        if not block.keys:
            self._drop(number)
            return
        self._lasts[number] = block.keys[-1]

    def overtook(self, key: OrderKey, count: int) -> None:
        """What has this key was served so many times: counts for all before it."""
        number = bisect_left(self._lasts, key)
        if number == len(self._blocks):
            self._all += count
            return
        block = self._blocks[number]
        block.add(bisect_left(block.keys, key), count)
        block.before += count

    def overtook_all(self, count: int) -> None:
        self._all += count

    def forget_counts(self) -> None:
        """As if nothing had been overtaken."""
        self._all = 0
        for block in self._blocks:
            block.counts, block.highest, block.before = [0] * len(block.keys), 0, 0

    def overtaken(self, key: OrderKey) -> int:
        """Of one that is there: how often since it was added."""
        number = bisect_left(self._lasts, key)
        block = self._blocks[number]
        return block.counts[bisect_left(block.keys, key)] + self._added(number)

    def most_overtaken_before(self, key: OrderKey | None) -> int:
        """How often at most any of those before this one was, or of all; 0 if there are none."""
        end = len(self._blocks) if key is None else bisect_left(self._lasts, key)
        added, most = self._added(0) if self._blocks else 0, 0
        for number, block in enumerate(self._blocks[:end]):
            added -= block.before if number else 0
            most = max(most, block.highest + added)
        if key is not None and end < len(self._blocks):
            added -= self._blocks[end].before if end else 0
            at = bisect_left(self._blocks[end].keys, key)
            most = max([most, *(count + added for count in self._blocks[end].counts[:at])])
        return most

    def overtaken_at_least(
        self, count: int, but: AbstractSet[int] = frozenset()
    ) -> Iterator[tuple[OrderKey, int, int]]:
        """Those that were overtaken so often or more, in order, with how often and their tags. Not those with the tags
        in `but`, which may grow meanwhile."""
        added = self._added(0) if self._blocks else 0
        for number, block in enumerate(self._blocks):
            added -= block.before if number else 0
            if block.highest + added < count or block.distinct() <= but:
                continue
            for key, tag, known in zip(block.keys, block.tags, block.counts, strict=True):
                if known + added >= count and tag not in but:
                    yield key, known + added, tag

    def _added(self, number: int) -> int:
        """What is to be added to the counts of this block."""
        return self._all + sum([block.before for block in self._blocks[number + 1 :]])

    def _split(self, number: int) -> None:
        block, half = self._blocks[number], BLOCK_MAX // 2
        right = _Block(block.keys[half:], block.tags[half:], block.counts[half:])
        left = _Block(block.keys[:half], block.tags[:half], block.counts[:half])
        left.before = block.before
        self._blocks[number : number + 1] = [left, right]
        self._lasts[number : number + 1] = [left.keys[-1], right.keys[-1]]

    def _drop(self, number: int) -> None:
        """An empty one. What it would have added to those before it, the block before it does."""
        block = self._blocks.pop(number)
        del self._lasts[number]
        if number:
            heir = self._blocks[number - 1]
            heir.add(len(heir.keys), block.before)
            heir.before += block.before
        if not self._blocks:
            self._all = 0
