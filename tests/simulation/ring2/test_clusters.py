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

# Seeds at which each planted bug shows.
SHOWN = {
    "loops not joined": 8,
    "answered before stored": 3,
    "no jitter": 9,
    "renewal counts from its answer": 60,
}


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


@pytest.mark.parametrize("name", SHOWN)
def test_a_planted_bug_is_seen(name: str) -> None:
    assert run(SHOWN[name], mutant=MUTANTS[name]).violations
    assert not run(SHOWN[name]).violations


def hashes(hash_seed: str) -> str:
    paths = [str(ROOT), *(str(ROOT / name) for name in ("proto", "scheduler", "agent"))]
    command = [sys.executable, "-m", "tests.simulation.ring2", "--seeds", "3..6", "--hashes"]
    variables = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(paths)}
    ran = subprocess.run(command, env=variables, cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)
    return ran.stdout


def test_a_seed_is_the_same_life_in_every_process() -> None:
    assert hashes("1") == hashes("4242")
