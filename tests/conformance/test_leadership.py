"""One scheduler in this process on a real etcd: however its leadership ends, nothing of the leader is left."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from shoal import rpc
from shoal.v1 import cluster_pb2, cluster_pb2_grpc, event_pb2
from shoal_scheduler import leader as leader_module
from shoal_scheduler import scheduler as scheduler_module
from shoal_scheduler.api.gate import Gate
from shoal_scheduler.api.server import Server
from shoal_scheduler.configuration import Configuration
from shoal_scheduler.control.inputs import PutClusterDocument
from shoal_scheduler.engine import Unavailable
from shoal_scheduler.leader import WORK_PREFIX, Holder, Leadership, LeaseKeeper, campaign
from shoal_scheduler.scheduler import Scheduler
from shoal_scheduler.state import etcd_v3_pb2 as pb
from shoal_scheduler.state import etcd_v3_pb2_grpc as pb_grpc
from shoal_scheduler.state.etcd import open_etcd_channel
from shoal_scheduler.state.store import OutcomeUnknown

from tests.fakes.agent import SimulatedAgent
from tests.ground.certificates import Certificates
from tests.ground.etcd import EtcdServer
from tests.ground.waiting import wait_until


@dataclass
class Ground:
    scheduler: Scheduler
    server: Server
    gate: Gate
    etcd: grpc.aio.Channel
    certificates: Certificates

    @property
    def leadership(self) -> Leadership | None:
        return self.scheduler._leadership

    async def until_leading(self) -> Leadership:
        await wait_until(lambda: self.gate.standing.plane, bool, 20.0, "it leads")
        assert self.leadership is not None
        return self.leadership

    def channel(self, role: str, name: str) -> grpc.aio.Channel:
        return rpc.open_channel(f"127.0.0.1:{self.server.port}", self.certificates.credentials(role, name))


@pytest.fixture
async def one(
    shared_etcd: EtcdServer, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Ground]:
    monkeypatch.setattr(scheduler_module, "HANDED_OVER_SECONDS", 0.5)
    issued = certificates.files("scheduler", "one")
    config = Configuration(
        listen="127.0.0.1:0",
        endpoint="127.0.0.1:0",
        name="one",
        etcd=(shared_etcd.endpoint,),
        authority=certificates.authority,
        certificate=issued.certificate,
        key=issued.key,
        cluster="default",
    )
    credentials = certificates.credentials("scheduler", "one")
    gate = Gate()
    server = Server(config.listen, credentials, gate)
    await server.start()
    async with open_etcd_channel(config.etcd, credentials) as channel:
        made = Scheduler(config, credentials, channel, gate, server)
        running = asyncio.create_task(made.run())
        yield Ground(made, server, gate, channel, certificates)
        made.end()
        await running
    await server.stop(0.1)


def left_of_the_leader() -> list[str]:
    """Loops that are started by a leadership, and threads that keep a lease."""
    tasks = [task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith(WORK_PREFIX)]
    return tasks + [thread.name for thread in threading.enumerate() if isinstance(thread, LeaseKeeper)]


@pytest.mark.parametrize("how", ["handed over", "lease revoked", "deposed", "a loop failed"])
async def test_nothing_of_a_leader_is_left_when_it_leads_no_more(one: Ground, how: str) -> None:
    led = await one.until_leading()
    plane = one.gate.plane
    assert left_of_the_leader()
    async with one.channel("agent", "a" * 32) as to_agent, one.channel("operator", "me") as to_operator:
        watch = cluster_pb2_grpc.ClusterStub(to_operator).Watch(event_pb2.WatchRequest(cluster="default"))
        await watch.read()
        async with SimulatedAgent(to_agent, "a" * 32) as agent:
            match how:
                case "handed over":
                    led.release()
                case "lease revoked" | "deposed":
                    await pb_grpc.LeaseStub(one.etcd).LeaseRevoke(pb.LeaseRevokeRequest(ID=led.lease), timeout=5)
                case "a loop failed":
                    led.spawn("faulty", fails())
            if how == "deposed":
                with pytest.raises(Unavailable):
                    await plane.engine.submit(PutClusterDocument("late", {}, create=True))
            await wait_until(lambda: led._working, lambda seen: not seen, 20.0, "its loops have ended")
            assert not [name for name in left_of_the_leader() if f" {led.epoch} " in name]
            with pytest.raises(grpc.aio.AioRpcError) as ended:
                while await watch.read():
                    pass
            assert ended.value.code() is grpc.StatusCode.UNAVAILABLE
            await asyncio.wait(agent._running[:1], timeout=10)
            assert agent._running[0].done()
        with pytest.raises(Unavailable):
            await plane.engine.submit(PutClusterDocument("late", {}, create=True))
    later = await one.until_leading()
    assert later is not led and later.epoch > led.epoch
    left = left_of_the_leader()
    assert left.count("lease-keeper") == 1 and len(left) == 1 + len(later._working), "of this leadership only"


async def fails() -> None:
    raise OutcomeUnknown("the test says so")


async def test_nothing_is_left_where_the_scheduler_ends(one: Ground) -> None:
    await one.until_leading()
    one.scheduler.end()
    await wait_until(left_of_the_leader, lambda seen: not seen, 20.0, "nothing of the leader is left")
    async with one.channel("operator", "me") as channel:
        began = time.monotonic()
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            stub = cluster_pb2_grpc.ClusterStub(channel)
            await stub.DescribeControlPlane(cluster_pb2.DescribeControlPlaneRequest(), timeout=10)
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
        assert time.monotonic() - began < 1.0, "nobody waits for a leader where none will be"


async def test_a_commit_in_flight_is_finished_before_leadership_is_handed_over(one: Ground) -> None:
    led = await one.until_leading()
    plane = one.gate.plane
    asked = [asyncio.create_task(plane.engine.submit(PutClusterDocument(f"c{n}", {}, create=True))) for n in range(50)]
    await asyncio.sleep(0)
    led.release()
    done = await asyncio.gather(*asked, return_exceptions=True)
    await wait_until(lambda: led._working, lambda seen: not seen)
    await one.until_leading()
    stored = one.gate.plane.tables.clusters
    for number, answer in enumerate(done):
        assert (f"c{number}" in stored) == (not isinstance(answer, Exception))
        assert not isinstance(answer, Exception) or type(answer) is Unavailable, "certainly not stored"


async def test_a_follower_says_who_leads(one: Ground, certificates: Certificates) -> None:
    led = await one.until_leading()
    led.release()
    other = asyncio.create_task(campaign(one.etcd, "two", "10.0.0.2:7600"))
    won = await other
    await wait_until(lambda: one.gate.standing.leader, lambda seen: seen == "two", 10.0, "it knows who leads")
    async with one.channel("operator", "me") as channel:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            stub = cluster_pb2_grpc.ClusterStub(channel)
            await stub.DescribeControlPlane(cluster_pb2.DescribeControlPlaneRequest(), timeout=10)
    assert rpc.trailer(refused.value, rpc.LEADER_KEY) == "10.0.0.2:7600"
    assert "10.0.0.2:7600" in (refused.value.details() or "")
    await leader_module.resign(one.etcd, won.lease)


async def test_a_process_whose_loop_never_comes_back_is_ended(
    shared_etcd: EtcdServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leader_module, "RENEW_PERIOD_SECONDS", 0.05)
    monkeypatch.setattr(leader_module, "HEARD_SECONDS", 0.2)
    async with open_etcd_channel([shared_etcd.endpoint], shared_etcd.credentials) as channel:
        led = await campaign(channel, "stuck")
        codes: list[int] = []
        stuck_since = time.monotonic() - leader_module.PROGRESS_MAX_AGE_SECONDS - 1
        keeper = LeaseKeeper([shared_etcd.endpoint], shared_etcd.credentials, led, lambda: stuck_since, codes.append)
        keeper.start()
        time.sleep(1.5)  # noqa: ASYNC251  this loop is the stuck one
        assert codes == [leader_module.EXIT_STUCK]
        async with asyncio.timeout(2.0):  # long before it would have lapsed
            later = await campaign(channel, "next")
        assert later.epoch > led.epoch
        keeper.join()


def test_the_leaders_key_of_an_older_program_is_understood(tmp_path: Path) -> None:
    assert Holder.parse(b"host:7600:12") == Holder("host:7600:12")
    assert Holder.parse(b'{"name": "a", "endpoint": "b:1", "pid": 3, "host": "h", "boot": "x", "new": 1}').pid == 3
