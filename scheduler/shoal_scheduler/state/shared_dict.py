"""A dict of mutable values that can be copied in no time: what a copy does not change, it shares."""

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class SharedDict(Generic[Key, Value]):
    """The original must not change while a copy of it is in use."""

    __slots__ = ("_own", "_shared")

    def __init__(self) -> None:
        self._own: dict[Key, Value] = {}
        self._shared: dict[Key, Value] = {}

    def copy(self) -> "SharedDict[Key, Value]":
        twin: SharedDict[Key, Value] = SharedDict()
        twin._shared = self._own if not self._shared else {**self._shared, **self._own}
        return twin

    def get(self, key: Key) -> Value | None:
        return self._own.get(key) or self._shared.get(key)

    def __getitem__(self, key: Key) -> Value:
        return self._own[key] if key in self._own else self._shared[key]

    def __iter__(self) -> Iterator[Key]:
        yield from self._own
        yield from (key for key in self._shared if key not in self._own)

    def __bool__(self) -> bool:
        return bool(self._own or self._shared)

    def own(self, key: Key, make: Callable[[], Value], copy: Callable[[Value], Value]) -> Value:
        """The value, to be changed: a copy of the shared one, or a new one."""
        value = self._own.get(key)
        if value is None:
            shared = self._shared.get(key)
            value = self._own[key] = make() if shared is None else copy(shared)
        return value

    def drop(self, key: Key) -> None:
        """Of what is not shared; a no-op otherwise."""
        if key not in self._shared:
            self._own.pop(key, None)
