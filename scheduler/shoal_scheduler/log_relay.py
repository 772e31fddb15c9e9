"""Pairs a caller who reads logs with the stream that the instance's agent opens to send them."""

import asyncio
import secrets
from collections import deque
from typing import Generic, TypeVar

from shoal_scheduler.engine import Unavailable

Chunk = TypeVar("Chunk")

# Chunks that may wait for a slow reader; then the agent is held back.
CHUNKS_WAITING_MAX = 16


class Pipe(Generic[Chunk]):
    """One reading. The sender waits when the reader is slow."""

    def __init__(self) -> None:
        self._waiting: deque[Chunk] = deque()
        self._changed = asyncio.Event()
        self._broken: str | None = None
        self._is_ended = self._is_abandoned = False

    async def send(self, chunk: Chunk) -> bool:
        """False once nobody reads any more."""
        while len(self._waiting) >= CHUNKS_WAITING_MAX and not self._is_abandoned:
            await self._changed.wait()
        self._waiting.append(chunk)
        self._notify()
        return not self._is_abandoned

    async def receive(self) -> Chunk | None:
        """None at the end. Raises Unavailable if there would have been more."""
        while not self._waiting and not self._is_ended:
            await self._changed.wait()
        if self._waiting:
            self._notify()
            return self._waiting.popleft()
        if self._broken:
            raise Unavailable(self._broken)
        return None

    def end(self, broken: str | None = None) -> None:
        """Nothing more is sent; `broken` says why, if there would have been more. The first end counts."""
        if not self._is_ended:
            self._is_ended, self._broken = True, broken
            self._notify()

    def abandon(self) -> None:
        """Nobody reads any more."""
        self._is_abandoned = True
        self._notify()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


class LogRelay:
    def __init__(self) -> None:
        self._pipes: dict[str, Pipe[object]] = {}

    def open(self) -> tuple[str, Pipe[object]]:
        request_id = secrets.token_hex(16)
        pipe: Pipe[object] = Pipe()
        self._pipes[request_id] = pipe
        return request_id, pipe

    def find(self, request_id: str) -> Pipe[object] | None:
        return self._pipes.get(request_id)

    def close(self, request_id: str) -> None:
        if pipe := self._pipes.pop(request_id, None):
            pipe.abandon()

    def close_all(self) -> None:
        for request_id, pipe in list(self._pipes.items()):
            pipe.end("this scheduler does not lead any more: read again")
            self.close(request_id)
