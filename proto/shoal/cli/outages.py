"""Waiting for something that goes on whether or not the control plane can be asked just now."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from shoal import errors
from shoal.cli.session import Session

T = TypeVar("T")
PAUSE_SECONDS = 1.0


async def through(session: Session, ask: Callable[[], Awaitable[T]], pause_seconds: float = PAUSE_SECONDS) -> T:
    """The answer, however long nobody can be reached. Who waits says for how long."""
    while True:
        try:
            return await ask()
        except errors.Unreachable as error:
            session.progress.say(f"{error.message} Asking again.")
            await asyncio.sleep(pause_seconds)
