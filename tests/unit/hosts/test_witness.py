"""The witness that judges the tests of faults is itself judged: each thing that must not be is planted and found."""

import pytest

from tests.ground import witness

GOOD = """
t1 i1 b r1 100.00 start
t2 i2 b r2 100.50 start
t1 i1 b r1 101.00 beat
t1 i1 b r1 102.00 stop
t2 i2 b r2 102.00 beat
t3 i2 b r3 102.10 start
""".strip().splitlines()


def test_runs_are_what_the_containers_said() -> None:
    first, second, third = witness.runs_of(GOOD)
    assert (first.task, first.instance, first.began, first.last, first.stopped) == ("t1", "i1", 100.0, 102.0, True)
    assert (second.last, second.stopped, third.began) == (102.0, False, 102.1)
    assert witness.started_twice([first, second, third]) == []


def test_a_second_start_is_found() -> None:
    assert witness.started_twice(witness.runs_of([*GOOD, "t2 i1 b r4 150.00 start"])) == ["t2"]


def test_two_at_once_that_stand_for_one_are_found() -> None:
    stands_for = {"t2": "t2", "t3": "t2"}
    assert witness.overlapping(witness.runs_of(GOOD), stands_for) == []
    ((first, second),) = witness.overlapping(witness.runs_of([*GOOD, "t2 i2 b r2 102.20 beat"]), stands_for)
    assert (first.task, second.task) == ("t2", "t3")
    assert witness.overlapping(witness.runs_of([*GOOD, "t2 i2 b r2 102.20 beat"]), {"t1": "t1", "t3": "t3"}) == []


def test_who_beats_no_more_is_found() -> None:
    runs = witness.runs_of(GOOD)
    assert [run.task for run in witness.silent(runs, 104.0)] == ["t1"]
    assert [run.task for run in witness.silent(runs, 107.05)] == ["t1", "t2"]


def test_what_no_container_said_is_no_testimony() -> None:
    with pytest.raises(ValueError, match="unpack"):
        witness.runs_of([*GOOD, "t1 i1 b"])
