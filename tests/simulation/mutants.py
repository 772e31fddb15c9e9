"""Bugs planted on purpose, by name: each must be caught, or the simulation proves little."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def planted(name: str) -> Iterator[None]:
    yield


MUTANTS: tuple[str, ...] = ()
