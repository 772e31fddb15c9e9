"""What is done for a lease, and when it counts as lost."""

import time

import pytest
from shoal_scheduler import leader
from shoal_scheduler.leader import (
    CALL_TIMEOUT_SECONDS,
    LEASE_TTL_SECONDS,
    MARGIN_SECONDS,
    PROGRESS_MAX_AGE_SECONDS,
    RENEW_PERIOD_SECONDS,
    GiveBack,
    Leadership,
    Pause,
    Renew,
    renewals,
)


class Clock:
    now = 1000.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(leader, "boot_time", lambda: made.now)
    monkeypatch.setattr(time, "monotonic", lambda: made.now)
    return made


def test_a_renewal_counts_from_when_it_was_sent(clock: Clock) -> None:
    led = Leadership(epoch=1, lease=2, renewed_at=clock.now)
    steps = renewals(led, lambda: clock.now)
    assert next(steps) == Pause(RENEW_PERIOD_SECONDS)
    clock.now += 1.0
    assert steps.send(None) == Renew(CALL_TIMEOUT_SECONDS)
    clock.now += 1.5  # the answer is late
    assert steps.send(LEASE_TTL_SECONDS) == Pause(RENEW_PERIOD_SECONDS)
    assert led.renewed_at == 1001.0


def test_without_an_answer_it_is_lost_before_another_can_lead(clock: Clock) -> None:
    led = Leadership(epoch=1, lease=2, renewed_at=clock.now)
    steps = renewals(led, lambda: clock.now)
    step, answer = next(steps, None), None
    while step is not None:
        clock.now += step.seconds if isinstance(step, Pause) else step.timeout_seconds  # type: ignore[union-attr]
        try:
            step = steps.send(answer)
        except StopIteration:
            step = None
    assert clock.now == pytest.approx(1000.0 + LEASE_TTL_SECONDS - MARGIN_SECONDS)


def test_a_lease_that_is_gone_is_lost_at_once(clock: Clock) -> None:
    steps = renewals(Leadership(epoch=1, lease=2, renewed_at=clock.now), lambda: clock.now)
    assert isinstance(next(steps), Pause)
    assert isinstance(steps.send(None), Renew)
    with pytest.raises(StopIteration):
        steps.send(0)


def test_of_a_loop_without_progress_it_is_given_back(clock: Clock) -> None:
    steps = renewals(
        Leadership(epoch=1, lease=2, renewed_at=clock.now), lambda: clock.now - PROGRESS_MAX_AGE_SECONDS - 1
    )
    assert isinstance(next(steps), Pause)
    assert steps.send(None) == GiveBack()
    with pytest.raises(StopIteration):
        steps.send(None)
