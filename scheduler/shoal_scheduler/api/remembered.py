"""What is made of records at some cost, and asked for again and again."""

from collections.abc import Callable
from typing import Generic, TypeVar

Record = TypeVar("Record")
Value = TypeVar("Value")


class Remembered(Generic[Record, Value]):
    """Of the newest records: they never change, and many tasks share a definition and a launch."""

    def __init__(self, make: Callable[[Record], Value], most: int = 1000) -> None:
        self._make = make
        self._most = most
        self._made: dict[str, tuple[Record, Value]] = {}

    def of(self, name: str, record: Record) -> Value:
        """`name` is the record's: another record of that name takes its place. Nobody changes what is returned."""
        known = self._made.get(name)
        if known is not None and known[0] is record:
            return known[1]
        value = self._make(record)
        if len(self._made) >= self._most:
            del self._made[next(iter(self._made))]
        self._made[name] = (record, value)
        return value
