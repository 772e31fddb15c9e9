"""The scheduler's real server in this process, over mutual TLS, on a store in memory that leads from the start."""

import asyncio
import contextlib
from types import TracebackType
from typing import Self

import grpc
from shoal import rpc
from shoal.v1 import cluster_pb2_grpc
from shoal_scheduler.api.gate import Gate
from shoal_scheduler.api.server import Server
from shoal_scheduler.control.inputs import PutClusterDocument, SessionClosed
from shoal_scheduler.control_plane import ControlPlane
from shoal_scheduler.state.memory import MemoryCluster, MemoryStore
from shoal_scheduler.state.store import NotStored, Write
from shoal_scheduler.state.tables import Tables
from shoal_scheduler.state.writes import loaded

from tests.ground.certificates import Certificates

STOP_GRACE_SECONDS = 0.5

# What etcd takes in a request, unless it is told otherwise.
OPERATIONS_MAX = 128
REQUEST_BYTES_MAX = 1536 * 1024


class BoundedStore(MemoryStore):
    """Refuses what etcd would."""

    async def commit(self, write: Write) -> int:
        # Beside the records each step writes its own id.
        operations = len(write.puts) + len(write.deletes) + 1
        size_bytes = sum(len(key) + len(value) for key, value in write.puts.items())
        if operations > OPERATIONS_MAX or size_bytes > REQUEST_BYTES_MAX:
            raise NotStored(f"{operations} operations and {size_bytes} bytes are too much for a request")
        return await super().commit(write)


class Scheduler:
    """`async with Scheduler(certificates) as scheduler`: serving, with the empty cluster `default`."""

    def __init__(self, certificates: Certificates) -> None:
        self.certificates = certificates
        self.memory = MemoryCluster()
        epoch = self.memory.elect()
        tables = Tables(revision=self.memory.revision)
        self.plane = ControlPlane(tables, BoundedStore(self.memory, epoch), epoch, "memory")
        self.gate = Gate()
        self._channels: list[grpc.aio.Channel] = []
        self._stopped = False

    async def __aenter__(self) -> Self:
        self.server = Server("127.0.0.1:0", self.certificates.credentials("scheduler", "one"), self.gate)
        self.running = asyncio.create_task(self.plane.engine.run())
        await self.plane.engine.submit(PutClusterDocument("default", {}, create=True))
        await self.server.start()
        self.gate.open(self.plane)
        await self.server.set_serving(True)
        self.cluster = cluster_pb2_grpc.ClusterStub(self.channel())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for channel in self._channels:
            await channel.close()
        await self.stop()

    async def stop(self) -> None:
        """In the order of the program: first nothing more is led, then the server ends what is left open."""
        if self._stopped:
            return
        self._stopped = True
        self.gate.close()
        self.plane.close()
        self.running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.running
        await self.server.stop(STOP_GRACE_SECONDS)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server.port}"

    def channel(self, role: str = "operator", name: str = "alice") -> grpc.aio.Channel:
        """A connection of its own with a certificate of that role; closed with the scheduler."""
        return self.keep(rpc.open_channel(self.address, self.certificates.credentials(role, name)))

    def keep(self, channel: grpc.aio.Channel) -> grpc.aio.Channel:
        self._channels.append(channel)
        return channel

    async def until_disconnected(self, instance: str) -> None:
        """Until the instance has no session; every turn of the engine is looked at."""
        async with asyncio.timeout(60):
            while instance in self.plane.tables.sessions:
                await self.plane.engine.submit(SessionClosed("nobody", 1))

    def stored(self) -> tuple[int, dict[bytes, bytes]]:
        """Everything durable: equal before and after means that nothing was stored."""
        return self.memory.revision, {key: record.value for key, record in self.memory.records.items()}

    async def reloaded(self) -> Tables:
        """What a new leader would read from the store now."""
        store = MemoryStore(self.memory, self.memory.epoch)
        return loaded([record async for record in store.load()], store.revision)

    def over_committed(self) -> list[str]:
        """Instances that were given more than they have, or whose use does not add up; none, if all is well."""
        tables = self.plane.tables
        wrong = []
        for instance in tables.instances.values():
            tasks = [task for task in tables.tasks_on(instance.id) if not task.is_stopped]
            taken = [tables.resources(task.launch.id) for task in tasks]
            ports = [port for each in taken for port in each.ports]
            cpu, memory_mib = sum(each.cpu for each in taken), sum(each.memory_mib for each in taken)
            room = tables.room(instance.cluster)
            row = room.rows.get(instance.id)
            if row is None:
                continue
            free = int(room.free_cpu[row]), int(room.free_memory[row])
            counted = int(room.running[row] + room.pending[row])
            if free != (instance.cpu - cpu, instance.memory_mib - memory_mib) or counted != len(tasks):
                wrong.append(f"{instance.id}: {free} is not what its tasks leave")
            if cpu > instance.cpu or memory_mib > instance.memory_mib or len(ports) != len(set(ports)):
                wrong.append(f"{instance.id}: {cpu} units, {memory_mib} MiB and ports {ports} are too much")
        return wrong
