"""In whatever order things happen, what must stay does, and nothing else is left; and what breaks that is seen."""

import gc
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest

from tests.registry.interleavings.bugs import BUGS
from tests.registry.interleavings.story import run

ROOT = Path(__file__).parents[3]
FIRST_FEW = range(1, 61)
TEN_THOUSAND = range(1, 10_001)

# A seed near which each planted bug shows.
SHOWN: dict[str, int] = {
    "contents not locked": 9,
    "repositories not locked": 10,
    "no grace": 1,
    "asking renews nothing": 1,
    "renewed too late": 27,
    "renewed without a second look": 80,
    "clocks trusted": 91,
    "holders removed first": 1,
    "removed without a second look": 17,
    "users not looked at again": 66,
    "manifests not held": 1,
    "holders alone trusted": 27,
    "contents without grace": 289,
    "deleting releases at once": 31,
    "entries not looked at again": 36,
}
SEEDS_UNTIL_SHOWN = 40


# What was dropped half done at the end of a seed has nothing to say any more.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(scope="module", autouse=True)
def nothing_is_said_later() -> Iterator[None]:
    yield
    with mock.patch.object(sys, "unraisablehook", lambda _: None):
        gc.collect()


@pytest.mark.parametrize("seeds", [FIRST_FEW, pytest.param(TEN_THOUSAND, marks=pytest.mark.slow)], ids=len)
def test_all_holds(seeds: range) -> None:
    failed = {seed: violations for seed in seeds if (violations := run(seed).violations)}
    assert not failed


@pytest.mark.parametrize("name", BUGS)
def test_a_planted_bug_is_seen(name: str) -> None:
    first = SHOWN[name]
    shown = (seed for seed in range(first, first + SEEDS_UNTIL_SHOWN) if run(seed, BUGS[name]()).violations)
    seed = next(shown, None)
    assert seed is not None
    assert not run(seed).violations


def facts(hash_seed: str) -> str:
    paths = [str(ROOT), *(str(ROOT / name) for name in ("proto", "registry"))]
    command = "from tests.registry.interleavings.story import run; print([run(seed) for seed in (3, 4, 5)])"
    variables = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(paths)}
    ran = subprocess.run(
        [sys.executable, "-c", command],
        env=variables,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return ran.stdout


def test_a_seed_is_the_same_story_in_every_process() -> None:
    assert facts("1") == facts("4242")
