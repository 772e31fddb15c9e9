"""Runs whole clusters on a virtual clock, a seed each.

python -m tests.simulation --seeds 1..1000 --jobs 2     many; failing ones are printed with how to replay them
python -m tests.simulation --seed 17 --trace            one, with all that happened in it
python -m tests.simulation --mutants                    each planted bug, until a seed catches it
python -m tests.simulation --array 10000 --seeds 1..3   one array of so many children, of which some fail
python -m tests.simulation --services --seeds 1..200    with users who have services
python -m tests.simulation --ring 2 --seeds 1..100      the same of the programs' own coroutines; it has its own --help
"""

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial

from tests.simulation.mutants import MUTANTS
from tests.simulation.plan import KINDS
from tests.simulation.ring2.__main__ import main as coroutines_main
from tests.simulation.run import Result, caught_by, run_seed


def main() -> int:
    if sys.argv[1:3] == ["--ring", "2"]:
        return coroutines_main(sys.argv[3:])
    arguments = _parser().parse_args()
    if arguments.mutants:
        return _hunt(arguments)
    if arguments.seed is not None:
        return _one(arguments)
    began, failed, count, events = time.monotonic(), 0, 0, 0
    for result in _results(arguments, _range(arguments.seeds)):
        count, events = count + 1, events + result.events
        if result.violation:
            failed += 1
            print(
                f"seed {result.plan.seed}: {result.violation}\n  {result.plan}\n  replay: {_replay(arguments, result)}"
            )
            sys.stdout.flush()
    seconds = time.monotonic() - began
    print(f"{count} seeds, {events} events, {seconds:.1f} s ({seconds / count:.3f} s a seed), {failed} failed")
    return 1 if failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m tests.simulation", description="Whole clusters on a virtual clock.")
    parser.add_argument("--seeds", type=str, default="1..100", metavar="A..B", help="run these (default: 1..100)")
    parser.add_argument("--seed", type=int, help="replay this one")
    parser.add_argument("--trace", action="store_true", help="print all that happened, not only the end")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="processes")
    parser.add_argument("--mutant", default="", choices=("", *MUTANTS), help="with this bug planted", metavar="NAME")
    parser.add_argument("--mutants", action="store_true", help="each planted bug, until a seed of --seeds catches it")
    parser.add_argument("--plain", action="store_true", help="of --mutants: with whatever faults the seeds draw")
    parser.add_argument("--array", type=int, default=0, metavar="N", help="the story of one array of N children")
    parser.add_argument("--services", action="store_true", help="some of the users have services")
    parser.add_argument("--only", type=str, metavar="KIND,...", help=f"these faults only: {', '.join(KINDS)}")
    return parser


def _range(text: str) -> range:
    first, _, last = text.partition("..")
    return range(int(first), int(last or first) + 1)


def _kinds(arguments: argparse.Namespace) -> tuple[str, ...] | None:
    return None if arguments.only is None else tuple(kind for kind in arguments.only.split(",") if kind)


def _results(arguments: argparse.Namespace, seeds: Sequence[int]) -> Iterator[Result]:
    run = partial(
        run_seed, mutant=arguments.mutant, only=_kinds(arguments), array=arguments.array, services=arguments.services
    )
    if arguments.jobs == 1:
        yield from map(run, seeds)
        return
    with ProcessPoolExecutor(arguments.jobs) as pool:
        yield from pool.map(run, seeds, chunksize=10)


def _replay(arguments: argparse.Namespace, result: Result) -> str:
    mutant = f" --mutant {arguments.mutant}" if arguments.mutant else ""
    only = f" --only '{arguments.only}'" if arguments.only is not None else ""
    array = f" --array {arguments.array}" if arguments.array else ""
    services = " --services" if arguments.services else ""
    return f"python -m tests.simulation --seed {result.plan.seed}{mutant}{only}{array}{services} --trace"


def _one(arguments: argparse.Namespace) -> int:
    result = run_seed(
        arguments.seed,
        arguments.mutant,
        keep_trace=arguments.trace,
        only=_kinds(arguments),
        array=arguments.array,
        services=arguments.services,
    )
    print(f"seed {arguments.seed}: {result.plan}")
    print("\n".join(result.lines))
    print(f"{result.tasks} tasks, {result.runs} containers, {result.events} events, trace {result.digest}")
    print(f"violated: {result.violation}" if result.violation else "all held")
    return 1 if result.violation else 0


def _hunt(arguments: argparse.Namespace) -> int:
    """Each under the faults that show it, or with --plain under those that each seed draws."""
    escaped = 0
    for name in [arguments.mutant] if arguments.mutant else MUTANTS:
        kinds = None if arguments.plain else MUTANTS[name].kinds
        caught = next(filter(None, (caught_by(name, seed, kinds) for seed in _range(arguments.seeds))), None)
        escaped += caught is None
        print(f"{name} {caught.plan.seed}  {caught.violation}" if caught else f"{name} NOT CAUGHT", flush=True)
    return 1 if escaped else 0


if __name__ == "__main__":
    sys.exit(main())
