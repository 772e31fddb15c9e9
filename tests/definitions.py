"""Task definition files the tests read: our own, and published ones where the machine has them."""

from collections.abc import Sequence
from pathlib import Path

import pytest

OWN = Path(__file__).parent / "fixtures" / "task_definitions"
PUBLISHED = Path(__file__).parents[2] / "shared" / "data" / "ecs"


def own_files() -> list[Path]:
    return sorted(OWN.glob("*.json"))


def all_files() -> Sequence[object]:
    """Parameters for pytest: one for each file; one skipped line if there are no published ones."""
    return [*(pytest.param(path, id=path.stem) for path in own_files()), *published_files()]


def published_files() -> Sequence[object]:
    """The same, of the published ones only."""
    published = sorted(PUBLISHED.glob("*.json")) if PUBLISHED.is_dir() else []
    if not published:
        reason = "no published task definitions beside the repository (../shared/data/ecs)"
        return [pytest.param(None, id="published", marks=pytest.mark.skip(reason=reason))]
    return [pytest.param(path, id=path.stem) for path in published]
