"""What etcd by itself does of the same: as many transactions of the same bytes, one after another."""

import time
from pathlib import Path

from shoal_scheduler.leader import campaign
from shoal_scheduler.state import keys
from shoal_scheduler.state.etcd import EtcdStore, open_etcd_channel
from shoal_scheduler.state.store import Write

from tests.ground.certificates import Certificates
from tests.ground.etcd import EtcdServer

KEYS_PER_TRANSACTION = 20


async def commit_seconds(folder: Path, certificates: Certificates, transactions: int, size_bytes: int) -> float:
    """Through the scheduler's own client, on a new server on the same disk."""
    etcd = EtcdServer(folder / "etcd-alone", certificates)
    etcd.start()
    try:
        async with open_etcd_channel([etcd.endpoint], etcd.credentials) as channel:
            store = EtcdStore(channel, (await campaign(channel, "alone")).epoch)
            value = b"x" * max(1, size_bytes // KEYS_PER_TRANSACTION)
            began = time.monotonic()
            for number in range(transactions):
                names = (f"{keys.ROOT}load/{number}/{part}".encode() for part in range(KEYS_PER_TRANSACTION))
                await store.commit(Write(f"alone-{number}", dict.fromkeys(names, value), []))
            return time.monotonic() - began
    finally:
        etcd.end()
