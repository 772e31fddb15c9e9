"""What a store says of a file whose bytes are not those that were written."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath


class Damaged(Exception):  # noqa: N818  a finding about the store, not a fault of the program
    """The reason says what is wrong, with the file at `path` if that is known. No damaged byte was handed out."""

    def __init__(self, reason: str, path: PurePosixPath | None = None) -> None:
        super().__init__(f"{path}: {reason}" if path else reason)
        self.reason = reason
        self.path = path


@contextmanager
def damaged_at(path: PurePosixPath) -> Iterator[None]:
    """Lets what is found within say where."""
    try:
        yield
    except Damaged as damaged:
        raise Damaged(damaged.reason, path) from None
