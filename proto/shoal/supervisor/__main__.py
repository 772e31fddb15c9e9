"""`python -m shoal.supervisor --state DIR`: the process behind `shoal up`.

SIGTERM or SIGINT ends the agent, the ingress, the scheduler and etcd, in this order; containers and our engine go on.
Exit codes: 0 stopped as asked, or another supervisor is at work here; 1 it could not begin.
"""

import argparse
import asyncio
import logging
import signal
import sys
from pathlib import Path

from shoal.hosts.programs import with_hosts
from shoal.supervisor import binaries, keep, lock, orphans, settings
from shoal.supervisor.layout import Layout
from shoal.supervisor.programs import Program, programs

log = logging.getLogger("shoal.supervisor")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m shoal.supervisor", description=__doc__)
    parser.add_argument("--state", type=Path, required=True, metavar="DIR")
    layout = Layout(parser.parse_args().state.resolve())
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", datefmt="%Y-%m-%dT%H:%M:%S%z"
    )
    chosen = settings.load(layout.settings)
    etcd, dockerd = binaries.find_etcd(), binaries.find_dockerd()
    if chosen is None or etcd is None:
        log.error("cannot begin settings=%s etcd=%s", layout.settings, etcd)
        return 1
    try:
        lock.acquire(layout.supervisor_lock)
    except lock.Busy:
        log.info("another supervisor is at work state=%s", layout.root)
        return 0
    wanted = with_hosts(programs(chosen, layout, etcd, dockerd or "dockerd"), layout, ",".join(chosen.endpoints))
    asyncio.run(_supervise(wanted, layout))
    return 0


async def _supervise(wanted: list[Program], layout: Layout) -> None:
    stopping, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    orphans.take_in()
    registry = keep.Registry(layout.processes)
    keep.end_leftovers(registry, wanted)
    keepers = [asyncio.create_task(keep.keep(program, layout, registry)) for program in wanted]
    keepers.append(asyncio.create_task(orphans.collect(registry.pids)))
    keepers.append(asyncio.create_task(keep.rotate_logs(layout, [*(each.name for each in wanted), "supervisor"])))
    waiter = asyncio.create_task(stopping.wait())
    done, _ = await asyncio.wait([waiter, *keepers], return_when=asyncio.FIRST_COMPLETED)
    for keeper in keepers:
        keeper.cancel()
    results = await asyncio.gather(*keepers, return_exceptions=True)
    for program in reversed(wanted):
        await keep.end(program, registry)
    for failure in (each for each in results if isinstance(each, Exception)):
        log.error("a keeper failed", exc_info=failure)
    log.info("stopped asked=%s", waiter in done)


if __name__ == "__main__":
    sys.exit(main())
