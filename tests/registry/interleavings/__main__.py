"""Plays pushes, pulls, mounts, deletes and collections by several registries on one store, a seed each.

python -m tests.registry.interleavings --seeds 1..10000
python -m tests.registry.interleavings --seeds 17..17 --bug 'no grace'
"""

import argparse
import sys
import time
from collections import Counter

from tests.registry.interleavings.bugs import BUGS
from tests.registry.interleavings.story import run


def main() -> int:
    parser = argparse.ArgumentParser("python -m tests.registry.interleavings", description=__doc__)
    parser.add_argument("--seeds", default="1..1000", metavar="A..B", help="play these (default: 1..1000)")
    parser.add_argument("--bug", choices=BUGS, metavar="NAME", help="with this bug planted")
    arguments = parser.parse_args()
    first, _, last = arguments.seeds.partition("..")
    seeds = range(int(first), int(last or first) + 1)
    # What was dropped half done at the end of a seed has nothing to say any more.
    sys.unraisablehook = lambda _: None
    began, failed, facts, operations = time.monotonic(), 0, Counter[str](), 0
    for seed in seeds:
        result = run(seed, BUGS[arguments.bug]() if arguments.bug else None)
        facts.update(result.facts)
        operations += result.operations
        if result.violations:
            failed += 1
            print(f"seed {seed}: {result.violations[0]} (and {len(result.violations) - 1} more)", flush=True)
    seconds = time.monotonic() - began
    print(
        f"{len(seeds)} seeds, {operations} operations, {seconds:.0f} s, {failed} failed; {dict(sorted(facts.items()))}"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
