"""To which revision a service goes back."""

from typing import Any

import pytest
from shoal_scheduler.control.services.rollback import good_revision
from shoal_scheduler.model.service import (
    IN_PROGRESS,
    ROLLBACK_FAILED,
    ROLLBACK_SUCCESSFUL,
    STOPPED,
    SUCCESSFUL,
    Deployment,
)

from tests.unit.scheduler.services.views import deployment

KNOWN = {"r1", "r2", "r3", "r4"}
D1 = deployment("d1", "r1", SUCCESSFUL)
D2 = deployment("d2", "r2", SUCCESSFUL)
FAILED: dict[str, Any] = {"status": STOPPED, "has_failed": True}


@pytest.mark.parametrize(
    ("earlier", "expected"),
    [
        ([], ""),
        ([D1], "r1"),
        ([D1, D2], "r2"),
        ([D2, D1], "r2"),
        ([D1, deployment("d2", "r2", **FAILED)], "r1"),
        ([D1, deployment("d2", "r2", STOPPED)], "r1"),
        ([D1, D2, deployment("d3", "r2", **FAILED)], "r1"),
        ([D1, D2, deployment("d3", "r2", STOPPED)], "r2"),
        ([D1, deployment("d2", "r2", ROLLBACK_SUCCESSFUL, rollback_revision="r1")], "r1"),
        ([D1, D2, deployment("d3", "r1", ROLLBACK_FAILED, rollback_revision="r2")], "r2"),
        ([D1, deployment("d2", "r1", **FAILED)], ""),
        ([deployment("d1", "r4", SUCCESSFUL)], ""),
        ([deployment("d1", "gone", SUCCESSFUL)], ""),
    ],
    ids=[
        "none was before",
        "the first one",
        "the last one",
        "in any order",
        "not one that failed",
        "not one that was superseded",
        "not one that failed later",
        "being superseded later says nothing",
        "one that was rolled back to",
        "one to which a rollback failed",
        "none that is good still",
        "never the one that is left",
        "none that is forgotten",
    ],
)
def test_the_revision(earlier: list[Deployment], expected: str) -> None:
    latest = deployment("d9", "r4", IN_PROGRESS)
    assert good_revision([*earlier, latest], KNOWN, "r4") == expected
