"""The store in memory, for simulation and tests of pure logic. It passes the same suite as etcd."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from shoal_scheduler.state.store import Deposed, KeyRange, Stored, Write


@dataclass
class MemoryCluster:
    """What several stores (old and new leaders) share."""

    records: dict[bytes, Stored] = field(default_factory=dict)
    revision: int = 1
    epoch: int = 0
    step: str = ""
    step_revision: int = 0

    def elect(self) -> int:
        """A new leader: its epoch."""
        self.revision += 1
        self.epoch = self.revision
        return self.epoch


class MemoryStore:
    def __init__(self, cluster: MemoryCluster, epoch: int) -> None:
        self._cluster = cluster
        self._epoch = epoch
        self._step_revision = 0
        self.revision = 0

    async def load(self) -> AsyncIterator[Stored]:
        self._step_revision = self._cluster.step_revision
        self.revision = self._cluster.revision
        for key in sorted(self._cluster.records):
            yield self._cluster.records[key]

    async def commit(self, write: Write) -> int:
        cluster = self._cluster
        if cluster.epoch != self._epoch or cluster.step_revision != self._step_revision:
            raise Deposed("another leader has written since")
        cluster.revision += 1
        for key, value in write.puts.items():
            cluster.records[key] = Stored(key, value, cluster.revision)
        for gone in write.deletes:
            self._delete(gone)
        cluster.step, cluster.step_revision = write.step, cluster.revision
        self._step_revision = self.revision = cluster.revision
        return cluster.revision

    async def settle(self, write: Write) -> int | None:
        cluster = self._cluster
        if cluster.epoch != self._epoch:
            raise Deposed("the leader's key is no longer ours")
        stored = cluster.step == write.step
        if not stored:
            cluster.revision += 1
            cluster.step, cluster.step_revision = f"void:{write.step}", cluster.revision
        self._step_revision = self.revision = cluster.step_revision
        return cluster.step_revision if stored else None

    def _delete(self, gone: bytes | KeyRange) -> None:
        records = self._cluster.records
        if isinstance(gone, KeyRange):
            for key in [key for key in records if gone.first <= key < gone.end]:
                del records[key]
        else:
            records.pop(gone, None)
