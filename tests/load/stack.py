"""What is measured: etcd with its files on a disk, the scheduler's own process, mutual TLS between all of them."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import psutil
from shoal import rpc
from shoal.v1 import cluster_pb2, cluster_pb2_grpc

from tests.ground import daemon
from tests.ground.certificates import Certificates
from tests.ground.etcd import EtcdServer
from tests.ground.network import free_port
from tests.ground.waiting import wait_until

START_SECONDS = 30.0
_WRITTEN = "etcd_network_client_grpc_received_bytes_total"
_TRANSACTIONS = (
    'grpc_server_handled_total{grpc_code="OK",grpc_method="Txn",grpc_service="etcdserverpb.KV",grpc_type="unary"}'
)
_FSYNC_SECONDS = "etcd_disk_wal_fsync_duration_seconds_sum"
_FSYNCS = "etcd_disk_wal_fsync_duration_seconds_count"


@dataclass(frozen=True, slots=True)
class Stack:
    certificates: Certificates
    etcd: EtcdServer
    address: str
    scheduler_pid: int
    channel: grpc.aio.Channel
    cluster: "cluster_pb2_grpc.ClusterAsyncStub"


@asynccontextmanager
async def stack(folder: Path, certificates: Certificates) -> AsyncIterator[Stack]:
    """A new, empty cluster that serves. `folder` must be on a disk: etcd's syncs are part of what is measured."""
    etcd = EtcdServer(folder / "etcd", certificates)
    etcd.start()
    try:
        address = f"127.0.0.1:{free_port()}"
        scheduler = _start_scheduler(folder, certificates, etcd.endpoint, address)
        try:
            async with rpc.open_channel(address, certificates.credentials("operator", "load")) as channel:
                cluster = cluster_pb2_grpc.ClusterStub(channel)
                await _until_serving(cluster, scheduler)
                yield Stack(certificates, etcd, address, scheduler.pid, channel, cluster)
        except Exception as error:
            error.add_note(f"The scheduler's last words:\n{scheduler.tail(20)}")
            raise
        finally:
            scheduler.stop()
    finally:
        etcd.end()


def _start_scheduler(folder: Path, certificates: Certificates, etcd: str, address: str) -> daemon.Daemon:
    issued = certificates.files("scheduler", "load")
    options = {
        "listen": address,
        "etcd": etcd,
        "authority": str(certificates.authority),
        "certificate": str(issued.certificate),
        "key": str(issued.key),
    }
    command = [sys.executable, "-m", "shoal_scheduler", *(f"--{name}={value}" for name, value in options.items())]
    return daemon.start(command, folder / "scheduler.log")


async def _until_serving(cluster: "cluster_pb2_grpc.ClusterAsyncStub", scheduler: daemon.Daemon) -> None:
    async def serves() -> bool:
        await cluster.DescribeControlPlane(cluster_pb2.DescribeControlPlaneRequest(), timeout=1.0)
        return True

    try:
        await wait_until(serves, bool, START_SECONDS, "the scheduler serves")
    except (AssertionError, grpc.aio.AioRpcError) as error:
        raise RuntimeError(f"{error}\n{scheduler.tail()}") from error


@dataclass(frozen=True, slots=True)
class Reading:
    """Counters at one moment. Memory in MiB; what etcd was sent in bytes."""

    at_seconds: float
    cpu_seconds: dict[str, float]
    rss_mib: dict[str, float]
    written_bytes: float
    transactions: float
    fsync_seconds: float
    fsyncs: float
    database_bytes: float


class Meter:
    """Reads the counters of a stack, of the processes beside it and of this one."""

    def __init__(self, measured: Stack, **beside: int) -> None:
        self._etcd = measured.etcd
        pids = {"scheduler": measured.scheduler_pid, "etcd": measured.etcd.pid, "benchmark": psutil.Process().pid}
        self._processes = {name: psutil.Process(pid) for name, pid in (pids | beside).items()}

    async def read(self) -> Reading:
        etcd = await asyncio.to_thread(self._etcd.metrics)
        times = {name: process.cpu_times() for name, process in self._processes.items()}
        return Reading(
            at_seconds=time.monotonic(),
            cpu_seconds={name: each.user + each.system for name, each in times.items()},
            rss_mib={name: each.memory_info().rss / 2**20 for name, each in self._processes.items()},
            written_bytes=etcd[_WRITTEN],
            transactions=etcd.get(_TRANSACTIONS, 0.0),
            fsync_seconds=etcd[_FSYNC_SECONDS],
            fsyncs=etcd[_FSYNCS],
            database_bytes=etcd["etcd_mvcc_db_total_size_in_bytes"],
        )


def between(first: Reading, last: Reading, tasks: int = 0) -> dict[str, Any]:
    """What was used from one reading to the other; per task, if `tasks` were started meanwhile."""
    seconds = last.at_seconds - first.at_seconds
    used = {name: last.cpu_seconds[name] - first.cpu_seconds[name] for name in last.cpu_seconds}
    fsyncs = last.fsyncs - first.fsyncs
    figures: dict[str, Any] = {
        "seconds": seconds,
        "cpu_seconds": used,
        "cores": {name: spent / seconds for name, spent in used.items()},
        "rss_mib": last.rss_mib,
        "etcd_transactions": last.transactions - first.transactions,
        "etcd_fsync_ms_mean": (last.fsync_seconds - first.fsync_seconds) / fsyncs * 1000 if fsyncs else 0.0,
    }
    if tasks:
        figures["etcd_bytes_written_per_task"] = (last.written_bytes - first.written_bytes) / tasks
        figures["etcd_database_bytes_per_task"] = (last.database_bytes - first.database_bytes) / tasks
        figures["tasks_per_transaction"] = tasks / max(1.0, last.transactions - first.transactions)
        figures["scheduler_cpu_us_per_task"] = used["scheduler"] / tasks * 1e6
    return figures
