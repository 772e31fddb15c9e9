"""`python -m shoal_registry`: serves until SIGTERM."""

import asyncio
import logging
import resource
import signal
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import uvloop

from shoal_registry import configuration
from shoal_registry.names import UploadId
from shoal_registry.registry import Registry
from shoal_registry.repositories import Repositories
from shoal_registry.rights.gate import Gate
from shoal_registry.server import Server
from shoal_registry.storage.folder import FolderStore
from shoal_registry.uploads import Uploads

log = logging.getLogger("shoal_registry")

# Often enough that what is overdue is not overdue by much of its grace.
CLEANINGS_PER_GRACE = 10
DISK_THREADS = 32


async def serve(config: configuration.Configuration, store: FolderStore) -> None:
    # Most of them wait for the disk, which makes many writes durable in the time of one.
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(DISK_THREADS, "disk"))
    repositories = Repositories(store)
    uploads = Uploads(store, repositories, lambda: UploadId(str(uuid.uuid4())))
    registry = Registry(repositories, uploads, store, time.time, Gate(config.is_open))
    server = Server(config.listen, config.certificate, config.key, registry)
    await server.start()
    log.info("listening for HTTPS address=%s port=%d", config.listen, server.port)
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    cleaning = asyncio.create_task(_clean(uploads, config.upload_grace_seconds))
    try:
        await ended.wait()
    finally:
        cleaning.cancel()
        await server.stop()


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
    store = FolderStore(config.store.absolute())
    # As many connections as the system lets this process have: common soft limits end at 1,024.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    try:
        uvloop.run(serve(config, store))
    finally:
        store.close()


if __name__ == "__main__":
    main()
