"""Agents that come back all at once: each gets in, in a time that their number says, and never too many a second."""

import heapq
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shoal_scheduler.admission import WAIT_SECONDS_MAX, Admission, ComeLater

RATE, BURST = 100.0, 50


def admitted(admission: Admission, agents: int, rng: Random, start: float = 0.0) -> list[float]:
    """When each is let in, in the order of time, if all come at once and each comes back when it was told, or later."""
    coming = [(start, f"{number}") for number in range(agents)]
    times = []
    while coming:
        now, agent = heapq.heappop(coming)
        try:
            times.append(now + admission.wait_seconds(agent, now))
        except ComeLater as told:
            heapq.heappush(coming, (now + told.after_seconds + rng.uniform(0, 0.2), agent))
    return sorted(times)


@given(st.integers(1, 3000), st.integers(0, 100))
def test_all_get_in_at_the_rate(agents: int, seed: int) -> None:
    times = admitted(Admission(RATE, BURST), agents, Random(seed))
    assert len(times) == agents
    assert times[-1] <= max(0, agents - BURST) / RATE + 0.3
    for first, last in zip(times, times[int(RATE) + BURST + 20 :], strict=False):
        assert last - first > 0.8


def test_few_do_not_wait() -> None:
    admission = Admission(RATE, BURST)
    assert {admission.wait_seconds(f"{number}", 7.0) for number in range(BURST)} == {0.0}
    assert admission.wait_seconds("one more", 8.0) == 0.0


def test_who_comes_before_its_turn_is_told_the_same_turn() -> None:
    admission = Admission(RATE, BURST)
    for number in range(500):
        try:
            admission.wait_seconds(f"{number}", 0.0)
        except ComeLater:
            continue
    with pytest.raises(ComeLater) as first:
        admission.wait_seconds("late", 0.0)
    with pytest.raises(ComeLater) as again:
        admission.wait_seconds("late", 1.0)
    assert again.value.after_seconds == pytest.approx(first.value.after_seconds - 1.0)
    assert 0 < admission.wait_seconds("late", first.value.after_seconds - WAIT_SECONDS_MAX / 2) <= WAIT_SECONDS_MAX


def test_places_nobody_came_for_are_forgotten() -> None:
    admission = Admission(RATE, BURST)
    for now in range(100):
        for number in range(300):
            try:
                admission.wait_seconds(f"{now}-{number}", float(now * 60))
            except ComeLater:
                continue
    assert len(admission._promised) <= 600
