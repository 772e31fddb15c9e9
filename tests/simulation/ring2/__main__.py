"""Plays whole clusters of the real coroutines in virtual time, a seed each.

python -m tests.simulation --ring 2 --seeds 1..1000        many; failing ones are printed with how to replay them
python -m tests.simulation --ring 2 --seed 17 --trace      one, with all that happened in it
python -m tests.simulation --ring 2 --seed 9 --mutant 'no jitter'
"""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Sequence

from tests.simulation.ring2.mutants import MUTANTS
from tests.simulation.ring2.story import run
from tests.simulation.ring2.world import LINES_KEPT, Result


def main(given: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(given)
    if arguments.seed is not None:
        return _one(arguments)
    began, failed, facts = time.monotonic(), 0, Counter[str]()
    seeds = _range(arguments.seeds)
    for seed in seeds:
        result = _played(seed, arguments)
        facts.update(result.facts)
        if arguments.hashes:
            print(seed, result.trace_hash)
        if result.violations:
            failed += 1
            print(f"seed {seed}: {result.violations[0]}\n  replay: {_replay(seed, arguments)}", flush=True)
    seconds = time.monotonic() - began
    print(f"{len(seeds)} seeds, {seconds:.1f} s, {failed} failed; {dict(sorted(facts.items()))}", file=sys.stderr)
    return 1 if failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m tests.simulation --ring 2", description="Whole clusters in virtual time."
    )
    parser.add_argument("--seeds", type=str, default="1..100", metavar="A..B", help="play these (default: 1..100)")
    parser.add_argument("--seed", type=int, help="replay this one")
    parser.add_argument("--trace", action="store_true", help="print all that happened, not only the end")
    parser.add_argument("--hashes", action="store_true", help="print the hash of each trace")
    parser.add_argument("--no-faults", action="store_true", help="let nothing go wrong")
    parser.add_argument("--only", metavar="KIND,...", help="these faults only, as the trace names them")
    parser.add_argument("--mutant", choices=MUTANTS, help="with this bug planted", metavar="NAME")
    return parser


def _range(text: str) -> range:
    first, _, last = text.partition("..")
    return range(int(first), int(last or first) + 1)


def _played(seed: int, arguments: argparse.Namespace) -> Result:
    mutant = MUTANTS[arguments.mutant] if arguments.mutant else None
    keep_lines = None if arguments.trace else LINES_KEPT
    only = arguments.only.split(",") if arguments.only else ()
    return run(seed, faults=not arguments.no_faults, mutant=mutant, only=only, keep_lines=keep_lines)


def _replay(seed: int, arguments: argparse.Namespace) -> str:
    mutant = f" --mutant '{arguments.mutant}'" if arguments.mutant else ""
    calm = " --no-faults" if arguments.no_faults else ""
    calm += f" --only '{arguments.only}'" if arguments.only else ""
    return f"python -m tests.simulation --ring 2 --seed {seed}{mutant}{calm} --trace"


def _one(arguments: argparse.Namespace) -> int:
    result = _played(arguments.seed, arguments)
    print("\n".join(result.lines))
    print(f"{result.seconds:.0f} s of virtual time, {result.facts}, trace {result.trace_hash}")
    print("\n".join(f"violated: {each}" for each in result.violations) or "all held")
    return 1 if result.violations else 0


if __name__ == "__main__":
    sys.exit(main())
