"""Which scheduler an agent tries next, and when."""

from hypothesis import given
from hypothesis import strategies as st
from shoal_agent.pause import RETRY_SECONDS_MAX, RETRY_SECONDS_MIN
from shoal_agent.schedulers import HINTS_FOLLOWED_MAX, Schedulers, Told

NOBODY = Told()


def test_the_list_is_gone_through() -> None:
    schedulers, tried = Schedulers(["a", "b", "c"]), []
    for _ in range(6):
        tried.append(schedulers.endpoint)
        schedulers.ended(NOBODY, 0.0, 0.5)
    assert tried == ["a", "b", "c", "a", "b", "c"]


def test_where_the_leader_is_said_to_be_is_tried_at_once() -> None:
    schedulers = Schedulers(["a", "b", "c"])
    assert schedulers.ended(Told("c"), 600.0, 1.0) == RETRY_SECONDS_MIN
    assert schedulers.endpoint == "c"
    schedulers.ended(NOBODY, 0.0, 0.5)
    assert schedulers.endpoint == "b", "it was not there: the list goes on"
    schedulers.ended(Told("elsewhere"), 0.0, 0.5)
    assert schedulers.endpoint == "elsewhere"


def test_schedulers_that_name_each_other_are_not_run_between() -> None:
    schedulers = Schedulers(["a", "b"])
    waits = [schedulers.ended(Told("ba"[number % 2]), 600.0, 1.0) for number in range(HINTS_FOLLOWED_MAX + 2)]
    assert waits == [RETRY_SECONDS_MIN] * HINTS_FOLLOWED_MAX + [RETRY_SECONDS_MAX] * 2
    schedulers.settled()
    assert schedulers.ended(Told("elsewhere"), 600.0, 1.0) == RETRY_SECONDS_MIN


def test_who_is_told_when_to_come_comes_to_the_same_one_then() -> None:
    schedulers = Schedulers(["a", "b"])
    assert 3.0 <= schedulers.ended(Told(retry_after_seconds=3.0), 0.0, 0.7) <= 3.0 + RETRY_SECONDS_MIN
    assert schedulers.endpoint == "a"


@given(
    st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=3, unique=True),
    st.lists(st.sampled_from(["", "a", "b", "x"]), max_size=30),
)
def test_whatever_is_told_every_one_of_the_list_is_tried(endpoints: list[str], hints: list[str]) -> None:
    schedulers = Schedulers(endpoints)
    for hint in hints:
        assert 0 <= schedulers.ended(Told(hint), 10.0, 0.9) <= RETRY_SECONDS_MAX
    tried = set()
    for _ in range(2 * len(endpoints) + 1):
        tried.add(schedulers.endpoint)
        schedulers.ended(NOBODY, 0.0, 0.0)
    assert tried >= set(endpoints)
