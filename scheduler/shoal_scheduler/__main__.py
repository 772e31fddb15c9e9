"""`python -m shoal_scheduler`: listen, campaign, lead; when leadership ends, campaign again."""

import asyncio
import contextlib
import logging
import random
import resource
import signal
import time

import grpc
import uvloop
from shoal import rpc

from shoal_scheduler import configuration, garbage
from shoal_scheduler.api.gate import Gate
from shoal_scheduler.api.server import Server
from shoal_scheduler.control.inputs import PutClusterDocument
from shoal_scheduler.control_plane import ControlPlane
from shoal_scheduler.leader import Leadership, LeaseKeeper, campaign, introduction, resign
from shoal_scheduler.state.etcd import EtcdStore, open_etcd_channel, store_version
from shoal_scheduler.state.store import StoreError
from shoal_scheduler.state.writes import loaded

log = logging.getLogger("shoal_scheduler")

STOP_GRACE_SECONDS = 0.5
RETRY_SECONDS_MAX = 0.5


async def serve(config: configuration.Configuration) -> None:
    credentials = rpc.Credentials.load(config.authority, config.certificate, config.key)
    gate = Gate()
    server = Server(config.listen, credentials, gate)
    await server.start()
    log.info("listening address=%s port=%d", config.listen, server.port)
    try:
        while True:
            await _one_leadership(config, credentials, gate, server)
            await asyncio.sleep(random.uniform(0, RETRY_SECONDS_MAX))
    finally:
        await server.stop(STOP_GRACE_SECONDS)


async def _one_leadership(
    config: configuration.Configuration, credentials: rpc.Credentials, gate: Gate, server: Server
) -> None:
    async with open_etcd_channel(config.etcd, credentials) as channel:
        try:
            leadership = await campaign(channel, introduction(config.listen))
        except grpc.aio.AioRpcError as error:
            log.warning("etcd does not answer endpoints=%s error=%s", ",".join(config.etcd), error.details())
            return
        log.info("leading epoch=%d", leadership.epoch)
        try:
            await _lead(config, credentials, gate, server, channel, leadership)
        except (StoreError, grpc.aio.AioRpcError) as error:
            log.warning("leadership ended epoch=%d reason=%s", leadership.epoch, error)
        finally:
            await resign(channel, leadership.lease)


async def _lead(
    config: configuration.Configuration,
    credentials: rpc.Credentials,
    gate: Gate,
    server: Server,
    channel: grpc.aio.Channel,
    leadership: Leadership,
) -> None:
    """Until the lease is lost or the engine fails; whatever was started here is ended here."""
    plane: ControlPlane | None = None
    keeper = LeaseKeeper(
        config.etcd, credentials, leadership, lambda: plane.engine.progress_at if plane else time.monotonic()
    )
    keeper.start()
    running: asyncio.Task[None] | None = None
    try:
        plane = await _load(channel, leadership.epoch)
        plane.leads = lambda: leadership.holds
        running = asyncio.create_task(plane.engine.run())
        await plane.engine.submit(PutClusterDocument(config.cluster, {}, create=True))
        gate.open(plane)
        await server.set_serving(True)
        lost = asyncio.create_task(leadership.lost.wait())
        done, _ = await asyncio.wait({running, lost}, return_when=asyncio.FIRST_COMPLETED)
        lost.cancel()
        log.warning("leadership ends epoch=%d lease_lost=%s", leadership.epoch, lost in done)
        if running in done:
            running.result()
    finally:
        gate.close()
        if plane is not None:
            plane.close()
        if running is not None:
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError, StoreError):
                await running
        keeper.stop()
        await server.set_serving(False)


async def _load(channel: grpc.aio.Channel, epoch: int) -> ControlPlane:
    started = time.monotonic()
    store = EtcdStore(channel, epoch)
    tables = loaded([record async for record in store.load()], store.revision)
    log.info(
        "state loaded revision=%d launches=%d instances=%d seconds=%.3f",
        store.revision,
        len(tables.launches),
        len(tables.instances),
        time.monotonic() - started,
    )
    garbage.leave_alone()
    return ControlPlane(tables, store, epoch, await store_version(channel))


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    config = configuration.parse()
    garbage.govern()
    _allow_many_connections()
    uvloop.run(_until_terminated(config))


def _allow_many_connections() -> None:
    """As many as the system lets this process have: each agent keeps one, and common soft limits end at 1,024."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def _until_terminated(config: configuration.Configuration) -> None:
    serving = asyncio.create_task(serve(config))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, serving.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await serving


if __name__ == "__main__":
    main()
