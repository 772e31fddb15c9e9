"""`python -m shoal_scheduler`: listens from the start, and stands by or leads until SIGTERM, which hands over."""

import asyncio
import contextlib
import logging
import resource
import signal
from collections.abc import AsyncIterator
from datetime import timedelta

import uvloop
from shoal import rpc
from shoal.certificates import load_authority

from shoal_scheduler import configuration, garbage, relief
from shoal_scheduler.api import prometheus
from shoal_scheduler.api.gate import Gate
from shoal_scheduler.api.http import Files, HttpServer
from shoal_scheduler.api.joining import Joining
from shoal_scheduler.api.server import Server
from shoal_scheduler.metrics import file as metrics_file
from shoal_scheduler.metrics.store import Metrics
from shoal_scheduler.scheduler import Scheduler
from shoal_scheduler.state.etcd import open_etcd_channel

log = logging.getLogger("shoal_scheduler")

STOP_GRACE_SECONDS = 0.5


async def serve(config: configuration.Configuration) -> None:
    """Until SIGTERM or SIGINT."""
    credentials = rpc.Credentials.load(config.authority, config.certificate, config.key)
    gate = Gate()
    server = Server(config.listen, credentials, gate)
    await server.start()
    log.info("listening address=%s port=%d", config.listen, server.port)
    housekeeping = asyncio.create_task(relief.keep_room(config.etcd, credentials, lambda: gate.is_open))
    try:
        async with (
            _https(config, gate, server.port),
            _history(config) as metrics,
            open_etcd_channel(config.etcd, credentials) as channel,
        ):
            scheduler = Scheduler(config, credentials, channel, gate, server, metrics)
            for number in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().add_signal_handler(number, scheduler.end)
            await scheduler.run()
    finally:
        housekeeping.cancel()
        await server.stop(STOP_GRACE_SECONDS)


@contextlib.asynccontextmanager
async def _https(config: configuration.Configuration, gate: Gate, port: int) -> AsyncIterator[None]:
    if config.http_listen is None:
        yield
        return
    files = Files(config.authority, config.certificate, config.key)
    server = HttpServer(config.http_listen, files, {**_joining(config, gate, port).routes(), **prometheus.routes(gate)})
    await server.start()
    log.info("listening for HTTPS address=%s port=%d", config.http_listen, server.port)
    try:
        yield
    finally:
        await server.stop()


def _joining(config: configuration.Configuration, gate: Gate, port: int) -> Joining:
    """Raises ValueError if the key is not the authority's, OSError if it cannot be read."""
    authority = load_authority(config.authority, config.authority_key) if config.authority_key else None
    life = timedelta(seconds=config.agent_certificate_seconds)
    return Joining(gate, authority, config.authority.read_bytes(), port, life)


@contextlib.asynccontextmanager
async def _history(config: configuration.Configuration) -> AsyncIterator[Metrics]:
    """What was measured, over restarts if there is a folder for it; over changes of the lead in any case."""
    if config.state is None:
        yield Metrics()
        return
    path = config.state / "metrics"
    metrics = metrics_file.read(path)
    keeping = asyncio.create_task(metrics_file.keep(metrics, path))
    try:
        yield metrics
    finally:
        keeping.cancel()
        await asyncio.wait({keeping})


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    config = configuration.parse()
    garbage.govern()
    _allow_many_connections()
    uvloop.run(serve(config))


def _allow_many_connections() -> None:
    """As many as the system lets this process have: each agent keeps one, and common soft limits end at 1,024."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    main()
