"""`python -m shoal.ingress`: drives the load balancer of a cluster until SIGTERM. What it routed stays routed."""

import argparse
import asyncio
import logging
import signal
import sys
from pathlib import Path

from shoal.client import Client
from shoal.context import Context
from shoal.ingress import dns
from shoal.ingress.folders import Folders
from shoal.ingress.program import Ingress
from shoal.supervisor.settings import split_address

DNS_AGAIN_SECONDS = 10.0

log = logging.getLogger("shoal.ingress")


def main() -> int:
    arguments = parser().parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    asyncio.run(_serve(arguments))
    return 0


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m shoal.ingress", description=__doc__)
    made.add_argument("--scheduler", required=True, metavar="HOST:PORT[,...]", help="every scheduler, in any order")
    made.add_argument("--cluster", default="default", help="whose services are served")
    made.add_argument("--state", required=True, type=Path, metavar="DIR", help="shared with the proxies")
    made.add_argument("--authority", required=True, type=Path, help="the cluster's authority (PEM)")
    made.add_argument("--certificate", required=True, type=Path, help="the ingress's certificate (PEM)")
    made.add_argument("--key", required=True, type=Path, help="its key (PEM)")
    made.add_argument("--dns", metavar="HOST:PORT", help="where names of services are answered, by UDP and TCP")
    return made


async def _serve(arguments: argparse.Namespace) -> None:
    stopping, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    endpoints = tuple(arguments.scheduler.split(","))
    files = (arguments.authority, arguments.certificate, arguments.key)
    context = Context("ingress", endpoints, arguments.cluster, *files)
    async with Client(context) as client:
        ingress = Ingress(client, arguments.cluster, Folders(arguments.state.resolve()))
        tasks = [asyncio.create_task(ingress.run()), asyncio.create_task(stopping.wait())]
        if arguments.dns:
            tasks.append(asyncio.create_task(_name(arguments.dns, ingress)))
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for task in done:
            task.result()


async def _name(address: str, ingress: Ingress) -> None:
    """For ever. Names are not worth the routes: while another program listens there, routes go on."""
    host, port = split_address(address)
    while True:
        try:
            async with dns.served(host.strip("[]"), port, lambda: ingress.names) as bound:
                log.info("answers questions of DNS at=%s:%d", host, bound)
                await asyncio.Event().wait()
        except OSError as error:
            log.error("cannot answer questions of DNS at=%s reason=%s", address, error)
        await asyncio.sleep(DNS_AGAIN_SECONDS)


if __name__ == "__main__":
    sys.exit(main())
