"""Whole clusters on a virtual clock: all holds at every seed, and every planted bug is caught."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.mutants import MUTANTS
from tests.simulation.run import caught_by, run_seed

ROOT = Path(__file__).parent.parent.parent
SEEDS = Path(__file__).parent / "seeds"

# A change elsewhere may make another seed the one that catches a bug: then these are tried, and the list is to be
# written anew.
SEEDS_NEAR = range(1, 61)
SEEDS_MAX = 1000


def lines(name: str) -> list[list[str]]:
    text = (SEEDS / name).read_text().splitlines()
    return [line.split(maxsplit=1) for line in text if line and not line.startswith("#")]


KNOWN = {name: int(seed) for name, seed in lines("mutants.txt")}


def run_many(*arguments: str) -> None:
    """As whoever looks for a fault would run it."""
    command = [sys.executable, "-m", "tests.simulation", *arguments, "--jobs", "2"]
    paths = ":".join(str(ROOT / name) for name in (".", "proto", "scheduler", "agent"))
    done = subprocess.run(
        command, cwd=ROOT, env={"PYTHONPATH": paths}, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_all_holds() -> None:
    run_many("--seeds", "1..300")


def test_all_holds_of_services() -> None:
    run_many("--services", "--seeds", "1..40")


@pytest.mark.parametrize("line", lines("regress.txt"), ids=" ".join)
def test_what_was_wrong_once_holds(line: list[str]) -> None:
    only = tuple(line[1].split(",")) if len(line) > 1 else None
    result = run_seed(int(line[0]), only=only)
    assert not result.violation, "\n".join(result.lines)


@pytest.mark.parametrize("children", [2_000, pytest.param(10_000, marks=pytest.mark.slow)])
def test_each_child_of_a_big_array_ends_once(children: int) -> None:
    """The leader is killed every ten seconds, an agent every fifteen, and five in a hundred attempts fail."""
    result = run_seed(1, array=children)
    assert not result.violation, "\n".join(result.lines)
    assert result.tasks > children, "some were tried again"


@pytest.mark.parametrize("name", MUTANTS)
def test_a_planted_bug_is_caught(name: str) -> None:
    kinds = MUTANTS[name].kinds
    seeds = [KNOWN[name], *SEEDS_NEAR] if name in KNOWN else SEEDS_NEAR
    assert any(caught_by(name, seed, kinds) for seed in seeds), f"look for another seed: --mutants --mutant {name}"


@pytest.mark.slow
@pytest.mark.parametrize("name", MUTANTS)
def test_a_planted_bug_is_caught_within_a_thousand_seeds(name: str) -> None:
    assert any(caught_by(name, seed, MUTANTS[name].kinds) for seed in range(1, SEEDS_MAX + 1))
