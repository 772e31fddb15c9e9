"""How Python's collector of cycles is governed, so that no collection holds everybody up.

Records form no cycles, and neither does what is left of a session or of a call that ended: counting references frees
them. So the collector looks for cycles among what is young, and leaves alone for good what survived that: with a
million tasks, one look at everything takes more than a tenth of a second, and everybody would wait for it.
"""

import gc

# Allocations that start a look at the young; how many of those start one at the middle-aged; and of those at all.
THRESHOLDS = (20_000, 20, 1_000_000)


def govern() -> None:
    """Once, when the program starts."""
    gc.set_threshold(*THRESHOLDS)


def leave_alone() -> None:
    """What is there now stays. Whenever the state was loaded."""
    gc.collect()
    gc.freeze()


def leave_alone_at_once() -> None:
    """The same without a look at it: what is there was mostly left alone before."""
    gc.freeze()
