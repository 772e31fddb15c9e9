"""What the scheduler counts and times of itself. Plain numbers: whoever shows them reads them."""

import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

# Upper bounds in seconds: a step takes a fraction of a millisecond to some hundred, a commit waits for a disk.
BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


@dataclass(slots=True)
class Histogram:
    """`counts`: one for each bound, and one for what was beyond all of them."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS) + 1))
    total: float = 0.0

    def observe(self, seconds: float) -> None:
        self.counts[bisect_left(BUCKETS, seconds)] += 1
        self.total += seconds


@dataclass(slots=True)
class Meters:
    """Since this process began to lead. `placements`: tasks that were given an instance."""

    steps: Histogram = field(default_factory=Histogram)
    commits: Histogram = field(default_factory=Histogram)
    inputs: int = 0
    placements: int = 0
    commits_failed: Counter[str] = field(default_factory=Counter)


@contextmanager
def timed(histogram: Histogram) -> Iterator[None]:
    """What raises is not counted."""
    began = time.perf_counter()
    yield
    histogram.observe(time.perf_counter() - began)
