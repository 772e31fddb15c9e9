"""`python -m shoal_registry`: serves until SIGTERM."""

import asyncio
import logging
import os
import resource
import signal
import ssl
import sys
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import uvloop

from shoal_registry import configuration, leave, scrubbing, workers
from shoal_registry.archive import Archive
from shoal_registry.ecr import lifecycle_run
from shoal_registry.events import Events
from shoal_registry.garbage import Collector
from shoal_registry.links import Links
from shoal_registry.names import UploadId
from shoal_registry.pulls import Pulls
from shoal_registry.registry import Registry
from shoal_registry.remembered import Remembered
from shoal_registry.repositories import Repositories
from shoal_registry.rights import signing_key, tokens
from shoal_registry.rights.directory import Directory
from shoal_registry.rights.gate import Gate
from shoal_registry.rights.policies import Policies
from shoal_registry.scrubbing import Pace, Scrub, Suspects
from shoal_registry.server import Server
from shoal_registry.storage.master_keys import KeyFileUnusable
from shoal_registry.storage.places import opened
from shoal_registry.storage.protection import StartRefused, protected
from shoal_registry.storage.store import Store, StoreUnavailableError
from shoal_registry.uploads import Uploads

log = logging.getLogger("shoal_registry")

# Often enough that what is overdue is not overdue by much of its grace.
CLEANINGS_PER_GRACE = 10
DISK_THREADS = 32
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
DAY_SECONDS = 24 * 3600.0


async def serve(config: configuration.Configuration) -> None:
    """Raises StartRefused, KeyFileUnusable, StoreUnavailableError."""
    # Most of them wait for the disk, which makes many writes durable in the time of one.
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(DISK_THREADS, "disk"))
    async with opened(config.store) as kept:
        await _serve(config, kept, await protected(kept, config.protection))


async def _serve(config: configuration.Configuration, kept: Store, store: Store) -> None:
    """`kept` is the store as it is kept, `store` as the registry uses it."""
    links, remembered = Links(store, config.garbage_grace_seconds), Remembered(time.monotonic)
    repositories = Repositories(store, links, remembered=remembered)
    uploads = Uploads(store, repositories, lambda: UploadId(str(uuid.uuid4())), BOOT_ID.read_text().strip())
    if not config.is_open and config.authority is None:
        log.warning("nobody is an operator: give --authority, or --open for a trial")
    signer = None if config.is_open else _signer(config.token_key)
    gate = Gate(Directory(store, os.urandom), Policies(store), signer, os.urandom(32))
    suspects, scrub, is_worker = Suspects(), Scrub(store, kept), config.worker is not None
    archive, pulls, events = Archive(store, repositories, time.time), Pulls(store, time.time), Events(store, time.time)
    registry = Registry(repositories, uploads, suspects, archive, pulls, events, gate, store, time.time)
    server = Server(config.listen, config.certificate, config.key, config.authority, registry, shares_port=is_worker)
    await server.start()
    log.info("listening for HTTPS address=%s port=%d", config.listen, server.port)
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    always = pulls.run(), events.run(), suspects.look_at(scrub)
    background: list[asyncio.Task[None]] = [asyncio.create_task(each) for each in always]
    if is_worker:
        background.append(await workers.report_ready(ended.set))
    if not config.worker:
        # Once for all of them.
        collector = Collector(store, repositories, config.garbage_grace_seconds)
        once = [
            _clean(uploads, config.upload_grace_seconds),
            collector.run(config.collect_every_seconds),
            lifecycle_run.run(registry, config.lifecycle_every_seconds),
        ]
        if config.scrub_days is not None:
            pace = Pace(config.scrub_mib_per_second * 2**20)
            once.append(scrubbing.regularly(scrub, config.scrub_days * DAY_SECONDS, pace))
        background += [asyncio.create_task(each) for each in once]
    try:
        await ended.wait()
    finally:
        for each in background:
            each.cancel()
        await server.stop()
        await _write_last(pulls, events)


def _signer(path: Path) -> tokens.Signer:
    """Raises StartRefused, OSError."""
    try:
        return signing_key.load(path)
    except ValueError as error:
        raise StartRefused(f"{path} is no key as the registry makes it to sign tokens with: {error}") from None


async def _write_last(pulls: Pulls, events: Events) -> None:
    """What waits in memory."""
    for write in (pulls.flush(is_last=True), events.flush()):
        try:
            await write
        except Exception:
            log.exception("not all that happened last could be written")


async def _clean(uploads: Uploads, grace_seconds: float) -> None:
    while True:
        try:
            if dropped := await uploads.clean(time.time() - grace_seconds):
                log.info("dropped abandoned uploads count=%d", dropped)
        except Exception:
            log.exception("cleaning uploads failed; it is tried again")
        await asyncio.sleep(grace_seconds / CLEANINGS_PER_GRACE)


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    config = configuration.parse()
    # As many connections as the system lets this process have: common soft limits end at 1,024.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    try:
        if config.workers > 1 and config.worker is None:
            sys.exit(asyncio.run(workers.run(config.listen, sys.argv[1:], config.workers)))
        uvloop.run(serve(config))
    except (StartRefused, KeyFileUnusable) as refused:
        sys.exit(str(refused))
    except StoreUnavailableError as error:
        sys.exit(f"The store {config.store} cannot be used: {error}")
    except ssl.SSLError as error:
        sys.exit(f"{config.certificate} and {config.key} are no certificate and its key: {error.reason or error}")
    except OSError as error:
        # At the start only: later, what fails is answered or logged.
        sys.exit(f"{error.filename}: {error.strerror}" if error.filename else str(error))


if __name__ == "__main__":
    leave.run(main)
