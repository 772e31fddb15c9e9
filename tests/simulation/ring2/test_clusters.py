"""Whatever goes wrong, clusters of the real programs hold what they promise; and what does not hold is seen."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.ring2 import run
from tests.simulation.ring2.mutants import MUTANTS

ROOT = Path(__file__).parents[3]
FIRST_FEW = range(1, 41)
THOUSAND = range(1, 1001)

# The faults among which each planted bug shows, at one seed or another.
SHOWN: dict[str, tuple[str, ...]] = {
    "loops not joined": ("lease lost",),
    "answered before stored": ("etcd full",),
    "renewal counts from its answer": ("etcd slow then cut",),
    "no jitter": ("crash all",),
    "gap in the feed ignored": ("compaction",),
}
SEEDS_UNTIL_SHOWN = range(1, 41)


@pytest.mark.parametrize("seeds", [FIRST_FEW, pytest.param(THOUSAND, marks=pytest.mark.slow)], ids=len)
def test_all_holds(seeds: range) -> None:
    failed = {seed: violations for seed in seeds if (violations := run(seed).violations)}
    assert not failed


def test_without_faults_there_is_nothing_to_mend() -> None:
    result = run(1, faults=False)
    assert not result.violations
    assert result.facts["leaderships"] == 1
    assert result.facts["starts"] > 10
    assert result.seconds < 62.0, "it had to converge although nothing went wrong"


@pytest.mark.parametrize("name", MUTANTS)
def test_a_planted_bug_is_seen(name: str) -> None:
    only = SHOWN[name]
    shown = (seed for seed in SEEDS_UNTIL_SHOWN if run(seed, mutant=MUTANTS[name], only=only).violations)
    seed = next(shown, None)
    assert seed is not None
    assert not run(seed, only=only).violations


def hashes(hash_seed: str) -> str:
    paths = [str(ROOT), *(str(ROOT / name) for name in ("proto", "scheduler", "agent"))]
    command = [sys.executable, "-m", "tests.simulation", "--ring", "2", "--seeds", "3..6", "--hashes"]
    variables = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(paths)}
    ran = subprocess.run(command, env=variables, cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)
    return ran.stdout


def test_a_seed_is_the_same_life_in_every_process() -> None:
    assert hashes("1") == hashes("4242")
