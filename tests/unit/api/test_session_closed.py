"""A session that ends is closed, whatever else the step with that news carries."""

from collections.abc import Sequence
from typing import Any

import pytest
from shoal_scheduler.api import agent_session
from shoal_scheduler.control import inputs as i
from shoal_scheduler.engine import Unavailable
from shoal_scheduler.model.refusal import Refused


class Engine:
    """Answers with these one after the other."""

    def __init__(self, *answers: Exception | None) -> None:
        self.answers = list(answers)
        self.heard: list[i.Input] = []

    async def submit_all(self, inputs: Sequence[i.Input]) -> list[Any]:
        self.heard.extend(inputs)
        answer = self.answers.pop(0)
        if answer is not None:
            raise answer
        return [None]


class Plane:
    def __init__(self, engine: Engine) -> None:
        self.engine = engine


async def closed(monkeypatch: pytest.MonkeyPatch, *answers: Exception | None) -> Engine:
    monkeypatch.setattr(agent_session, "FULL_RETRY_SECONDS", 0.0)
    plane: Any = Plane(Engine(*answers))
    await agent_session._say_closed(plane, "instance", 7)
    engine: Engine = plane.engine
    return engine


async def test_a_full_store_is_told_again(monkeypatch: pytest.MonkeyPatch) -> None:
    full = Refused("exhausted", "etcd is full", reason="LimitExceededException")
    engine = await closed(monkeypatch, full, full, None)
    assert engine.heard == [i.SessionClosed("instance", 7)] * 3


async def test_without_a_leader_there_is_nobody_to_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = await closed(monkeypatch, Unavailable("another leads"))
    assert len(engine.heard) == 1
