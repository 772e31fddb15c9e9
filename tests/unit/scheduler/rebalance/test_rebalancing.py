"""When steps look at rebalances, and that a fault there stops nothing else."""

from math import inf

import pytest
from shoal_scheduler import rebalancing
from shoal_scheduler.control.rebalance.look import PERIOD_SECONDS, PROGRESS_SECONDS, Due
from shoal_scheduler.model.rebalance import Rebalance
from shoal_scheduler.rebalancing import Rebalancing
from shoal_scheduler.state.records import PutRecord
from shoal_scheduler.state.tables import Tables

from tests.unit.scheduler.plane import Plane

CONTEXT = Plane().context
STARTED = PutRecord(Rebalance(cluster="default", id="r", created_at=1))


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether new ones might start, of each look. One is under way from the third on."""
    seen: list[bool] = []

    def look(_tables: Tables, _context: object, *, starts: bool) -> Due:
        seen.append(starts)
        return Due([], len(seen) >= 3)

    monkeypatch.setattr(rebalancing, "look", look)
    return seen


def test_once_a_minute_and_every_second_while_one_is_under_way(looks: list[bool]) -> None:
    times = Rebalancing(100.0)
    assert times.due_at == -inf
    times.due(Tables(), CONTEXT, 100.0)
    assert times.due_at == 100.0 + PERIOD_SECONDS
    times.due(Tables(), CONTEXT, 159.0)
    assert looks == [False], "not before the instances have had the time to connect"
    times.due(Tables(), CONTEXT, 160.0)
    assert looks == [False, True]
    times.committed([STARTED], 161.0)
    assert times.due_at == 161.0
    times.due(Tables(), CONTEXT, 161.0)
    assert times.due_at == 161.0 + PROGRESS_SECONDS
    assert looks == [False, True, False]


def test_what_was_not_stored_is_tried_again_later(looks: list[bool]) -> None:
    times = Rebalancing(0.0)
    times.not_stored(5.0)
    times.due(Tables(), CONTEXT, 4.0)
    assert not looks
    times.due(Tables(), CONTEXT, 5.0)
    assert looks


def test_a_fault_stops_nothing_else(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def look(*_: object, **__: object) -> Due:
        raise ZeroDivisionError

    monkeypatch.setattr(rebalancing, "look", look)
    times = Rebalancing(0.0)
    assert times.due(Tables(), CONTEXT, 1.0) == ()
    assert times.due_at == 1.0 + PERIOD_SECONDS
    assert "rebalancing failed" in caplog.text
