"""The benchmark of many asks, on few jobs: what starts is what can."""

import pytest

from tests.load.asks import ENDS_PER_ROUND, ROUNDS, SUBMISSIONS_PER_ROUND, Case, cases, run


@pytest.mark.parametrize("case", cases(different=50), ids=lambda case: case.name)
def test_room_that_comes_free_is_used_and_what_can_never_start_keeps_nobody(case: Case) -> None:
    found = run(case, 400)
    if case.name == "can never start":
        assert (found.started, found.waiting) == (ROUNDS * SUBMISSIONS_PER_ROUND, 400)
    elif case.name == "all the same":
        assert found.started == min(ROUNDS * ENDS_PER_ROUND, 200 + ROUNDS * SUBMISSIONS_PER_ROUND)
    else:
        assert found.started > ROUNDS
