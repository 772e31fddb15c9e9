"""Answers that stay good for a moment: whoever asks the same again within it, or at the same time, asks nobody."""

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Recent(Generic[T]):
    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._answers: dict[Hashable, asyncio.Task[T]] = {}

    async def answer(self, key: Hashable, ask: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Raises what `ask` raised: a refusal stays good for the same moment."""
        asked = self._answers.get(key)
        if asked is None:
            asked = self._answers[key] = asyncio.create_task(ask())
            asked.add_done_callback(lambda _: self._expire(key))
        return await asyncio.shield(asked)

    def _expire(self, key: Hashable) -> None:
        asyncio.get_running_loop().call_later(self._seconds, self._answers.pop, key, None)

    async def close(self) -> None:
        """Ends what is still being asked."""
        asked = list(self._answers.values())
        for task in asked:
            task.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
