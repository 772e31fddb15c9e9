"""Pairs a caller who reads logs with the stream that the instance's agent opens to send them."""

import asyncio
import secrets
from typing import Generic, TypeVar

Chunk = TypeVar("Chunk")

# Chunks that may wait for a slow reader; then the agent is held back.
CHUNKS_WAITING_MAX = 16


class Pipe(Generic[Chunk]):
    """One reading. The sender waits when the reader is slow; `None` ends it."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[Chunk | None] = asyncio.Queue(CHUNKS_WAITING_MAX)
        self.abandoned = asyncio.Event()

    async def send(self, chunk: Chunk | None) -> bool:
        """False once nobody reads any more."""
        put = asyncio.ensure_future(self._queue.put(chunk))
        gone = asyncio.ensure_future(self.abandoned.wait())
        done, pending = await asyncio.wait({put, gone}, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        return gone not in done

    async def receive(self) -> Chunk | None:
        return await self._queue.get()

    def end(self) -> None:
        """Whatever waits is dropped: the reader is told that there is no more."""
        while not self._queue.empty():
            self._queue.get_nowait()
        self._queue.put_nowait(None)


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
            pipe.abandoned.set()

    def close_all(self) -> None:
        for request_id, pipe in list(self._pipes.items()):
            pipe.end()
            self.close(request_id)
