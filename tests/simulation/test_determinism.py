"""The same seed is the same run, whatever the process: else a failure could not be replayed."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
SEEDS = (5, 21, 25, 31, 37)
PROGRAM = (
    "import sys; from tests.simulation.run import run_seed; print(*[run_seed(int(s)).digest for s in sys.argv[1:]])"
)


def digests(hash_seed: str) -> list[str]:
    paths = [str(ROOT), *(str(ROOT / name) for name in ("proto", "scheduler", "agent"))]
    answer = subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(str, SEEDS)],
        env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(paths)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return answer.stdout.split()


def test_the_same_seed_gives_the_same_trace_in_every_process() -> None:
    one, other = digests("1"), digests("4242")
    assert len(set(one)) == len(SEEDS)
    assert one == other
