"""Waiting for a condition, never for a length of time."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")
POLL_SECONDS = 0.02


class NotInTimeError(AssertionError):
    """The condition did not come true; the message holds what was last seen."""


async def wait_until(
    look: Callable[[], T | Awaitable[T]],
    accept: Callable[[T], object] = bool,
    timeout_seconds: float = 20.0,
    why: str = "",
) -> T:
    """Looks again and again until `accept(seen)` is true, and returns what was seen then.

    An exception of `look` counts as "not yet": what is waited for often cannot be asked before it is there.
    """
    deadline = time.monotonic() + timeout_seconds
    seen: object = "nothing"
    while True:
        try:
            found = look()
            value: T = await found if inspect.isawaitable(found) else found
            seen = value
            if accept(value):
                return value
        except Exception as error:
            seen = error
        if time.monotonic() > deadline:
            raise NotInTimeError(_sentence(why, timeout_seconds, seen))
        await asyncio.sleep(POLL_SECONDS)


def block_until(look: Callable[[], object], timeout_seconds: float = 20.0, why: str = "") -> None:
    """The same outside of a coroutine, for a plain yes or no."""
    deadline = time.monotonic() + timeout_seconds
    seen: object = "nothing"
    while True:
        try:
            seen = look()
            if seen:
                return
        except Exception as error:
            seen = error
        if time.monotonic() > deadline:
            raise NotInTimeError(_sentence(why, timeout_seconds, seen))
        time.sleep(POLL_SECONDS)


def _sentence(why: str, timeout_seconds: float, seen: object) -> str:
    return f"{why or 'condition'} not met within {timeout_seconds:g} s; last seen: {seen!r}"
