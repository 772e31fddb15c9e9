"""What is waited for is asked again while nobody can be reached."""

import asyncio
from typing import cast

import pytest
from shoal import errors
from shoal.cli import outages
from shoal.cli.session import Progress, Session
from shoal.client import Client

SESSION = Session(cast("Client", None), "default", Progress(""))


async def test_it_is_asked_until_there_is_an_answer() -> None:
    asked = []

    async def ask() -> str:
        asked.append(1)
        if len(asked) < 4:
            raise errors.Unreachable("No scheduler answered.", "", code="UNAVAILABLE")
        return "SUCCESSFUL"

    async with asyncio.timeout(20):
        assert await outages.through(SESSION, ask, pause_seconds=0.001) == "SUCCESSFUL"
    assert len(asked) == 4


async def test_what_is_refused_is_refused_at_once() -> None:
    async def ask() -> str:
        raise errors.NotFound("There is no such service.", "", code="NOT_FOUND")

    with pytest.raises(errors.NotFound):
        await outages.through(SESSION, ask)
