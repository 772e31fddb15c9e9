"""A control plane of real processes: members of etcd and schedulers, each killed, paused and started by its name.

plane = ControlPlane(folder, certificates, schedulers=2, members=3)
plane.start()
leader = await plane.until_led()                 # "scheduler-1", say
plane.kill(leader)
assert await plane.until_led() != leader
plane.end()
"""

import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from shoal import rpc
from shoal.client import CALL_TIMEOUT_SECONDS, Client
from shoal.context import Context

from tests.ground import daemon
from tests.ground.certificates import Certificates
from tests.ground.daemon import Daemon
from tests.ground.etcd import EtcdServer
from tests.ground.network import free_port
from tests.ground.waiting import block_until, wait_until

LOOK_SECONDS = 1.0
# A lease that nobody gives back lapses after five seconds; a loaded machine takes its time.
LED_SECONDS = 30.0
PATIENCE_SECONDS = 20.0


@dataclass(slots=True)
class Scheduler:
    """`python -m shoal_scheduler`, in the environment of the tests and what `environment` adds; `options` are added to
    its command line.

    guarded: started by its guardian; then what is killed or paused is the scheduler, and its guardian ends with it.
    """

    name: str
    folder: Path
    certificates: Certificates
    etcd: str
    environment: Mapping[str, str] = field(default_factory=dict)
    guarded: bool = False
    port: int = field(default_factory=free_port)
    log_began_at: int = 0
    options: Mapping[str, str] = field(default_factory=dict)
    _daemon: Daemon | None = field(default=None, repr=False)

    @property
    def endpoint(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def is_started(self) -> bool:
        return self._daemon is not None

    @property
    def running(self) -> Daemon:
        assert self._daemon is not None, f"{self.name} does not run"
        return self._daemon

    def launch(self) -> None:
        """Its log goes on in the same file."""
        self.folder.mkdir(parents=True, exist_ok=True)
        issued = self.certificates.files("scheduler", self.name)
        options = {
            "listen": self.endpoint,
            "etcd": self.etcd,
            "cluster": self.certificates.cluster,
            "authority": str(self.certificates.authority),
            "certificate": str(issued.certificate),
            "key": str(issued.key),
            **self.options,
        }
        module = "shoal_scheduler.guardian" if self.guarded else "shoal_scheduler"
        command = [sys.executable, "-m", module, *(f"--{name}={value}" for name, value in options.items())]
        log = self.folder / "log"
        self.log_began_at = log.stat().st_size if log.exists() else 0
        self._daemon = daemon.start(command, log, self.environment)

    @property
    def pid(self) -> int:
        """Of the scheduler itself; of its guardian before there is one."""
        if not self.guarded:
            return self.running.pid
        return daemon.child_of(self.running.pid) or self.running.pid

    def end(self) -> None:
        if self._daemon is not None:
            self._daemon.stop()


class ControlPlane:
    """Programs are called etcd-1, etcd-2, ... and scheduler-1, scheduler-2, ...; none runs before `start`.

    etcd_options: further ones, for all members. environment: what schedulers have besides ours.
    """

    def __init__(
        self,
        folder: Path,
        certificates: Certificates,
        schedulers: int = 1,
        members: int = 1,
        etcd_options: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
        guarded: bool = False,
    ) -> None:
        self.certificates = certificates
        names = [f"etcd-{number}" for number in range(1, members + 1)]
        self.etcd = {name: EtcdServer(folder / name, certificates, name, options=etcd_options or {}) for name in names}
        urls = {name: member.peer_url for name, member in self.etcd.items()}
        for member in self.etcd.values():
            member.members = urls
        endpoints = ",".join(member.endpoint for member in self.etcd.values())
        names = [f"scheduler-{number}" for number in range(1, schedulers + 1)]
        self.schedulers = {
            name: Scheduler(name, folder / name, certificates, endpoints, environment or {}, guarded) for name in names
        }
        self._paused: set[str] = set()

    @property
    def endpoints(self) -> tuple[str, ...]:
        """Of the schedulers."""
        return tuple(scheduler.endpoint for scheduler in self.schedulers.values())

    @property
    def etcd_endpoints(self) -> tuple[str, ...]:
        return tuple(member.endpoint for member in self.etcd.values())

    def start(self, *names: str) -> None:
        """Those, or all. Returns when members of etcd answer and schedulers run; see `until_led`."""
        wanted = names or (*self.etcd, *self.schedulers)
        members = [self.etcd[name] for name in wanted if name in self.etcd]
        for member in members:
            member.launch()
        if sum(self.is_alive(name) for name in self.etcd) > len(self.etcd) // 2:
            for member in members:
                member.await_ready()
        for name in wanted:
            if name in self.schedulers:
                self.schedulers[name].launch()

    def kill(self, *names: str) -> None:
        """kill -9, all of them before any is waited for."""
        for name in names:
            os.kill(self.pid(name), signal.SIGKILL)
        for name in names:
            self._daemon(name).process.wait(PATIENCE_SECONDS)
        self._paused.difference_update(names)

    def stop(self, name: str) -> None:
        """SIGTERM; returns when it has ended."""
        self._daemon(name).stop()

    def pause(self, *names: str) -> None:
        """SIGSTOP."""
        for name in names:
            os.kill(self.pid(name), signal.SIGSTOP)
        self._paused.update(names)

    def resume(self, *names: str) -> None:
        """SIGCONT."""
        for name in names:
            os.kill(self.pid(name), signal.SIGCONT)
        self._paused.difference_update(names)

    def is_alive(self, name: str) -> bool:
        program = self.etcd.get(name) or self.schedulers[name]
        return program.is_started and program.running.is_alive()

    def pid(self, name: str) -> int:
        return (self.etcd.get(name) or self.schedulers[name]).pid

    def log(self, name: str) -> str:
        return self._daemon(name).log.read_text(errors="replace")

    def client(self, timeout_seconds: float = CALL_TIMEOUT_SECONDS) -> Client:
        """An operator's, who knows all schedulers. Use as `async with plane.client() as client`."""
        issued = self.certificates.files("operator", "test")
        cluster = self.certificates.cluster
        context = Context(cluster, self.endpoints, cluster, self.certificates.authority, issued.certificate, issued.key)
        return Client(context, timeout_seconds)

    async def leader(self) -> str | None:
        """Who says that it serves; asks only those that run and are not paused."""
        for name, scheduler in self.schedulers.items():
            if self.is_alive(name) and name not in self._paused and await self._serves(scheduler):
                return name
        return None

    async def until_led(self, timeout_seconds: float = LED_SECONDS) -> str:
        """The name of the scheduler that serves, once there is one. Raises with what the schedulers wrote last."""
        try:
            led: str | None = await wait_until(self.leader, bool, timeout_seconds, "a scheduler leads")
        except AssertionError as error:
            for name in self.schedulers:
                error.add_note(f"{name}:\n{self._daemon(name).tail(15)}")
            raise
        return str(led)

    async def until_ready(self, name: str, timeout_seconds: float = LED_SECONDS) -> None:
        """That scheduler stands by, or leads, and knows all there is to know."""

        def written() -> str:
            """Since it was started last."""
            log = self._daemon(name).log.read_bytes()
            return log[self.schedulers[name].log_began_at :].decode(errors="replace")

        await wait_until(written, lambda words: "state loaded" in words, timeout_seconds, f"{name} is ready")

    def etcd_leader(self) -> str:
        """The member that leads the others, by its own word; waits until there is one."""
        found: list[str] = []

        def look() -> list[str]:
            found.extend(
                name
                for name, member in self.etcd.items()
                if self.is_alive(name) and name not in self._paused and member.metrics()["etcd_server_is_leader"]
            )
            return found

        block_until(look, LED_SECONDS, "a member of etcd leads")
        return found[0]

    def end(self) -> None:
        """Ends all that runs; safe to repeat."""
        for name in list(self._paused):
            if self.is_alive(name):
                self.resume(name)
        for scheduler in self.schedulers.values():
            scheduler.end()
        for member in self.etcd.values():
            member.end()

    def _daemon(self, name: str) -> Daemon:
        return (self.etcd.get(name) or self.schedulers[name]).running

    async def _serves(self, scheduler: Scheduler) -> bool:
        credentials = self.certificates.credentials("operator", "test")
        async with rpc.open_channel(scheduler.endpoint, credentials) as channel:
            try:
                answer = await health_pb2_grpc.HealthStub(channel).Check(
                    health_pb2.HealthCheckRequest(), timeout=LOOK_SECONDS
                )
            except grpc.aio.AioRpcError:
                return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)
