"""A real etcd server with certificates on both sides, killed and started at will on the same data."""

import http.client
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from shoal.rpc import SERVER_NAME, Credentials
from shoal.supervisor.binaries import find_etcd

from tests.ground import daemon
from tests.ground.certificates import Certificates
from tests.ground.network import free_port

ETCD_NAME = "etcd.shoal"


@dataclass(slots=True)
class EtcdServer:
    """One member, listening on the loopback address only.

    members: the peer URLs of all members by name, where it is not the only one. options: further ones of etcd's.
    """

    folder: Path
    certificates: Certificates
    name: str = "test"
    members: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)
    client_port: int = field(default_factory=free_port)
    peer_port: int = field(default_factory=free_port)
    _daemon: daemon.Daemon | None = field(default=None, repr=False)

    @property
    def endpoint(self) -> str:
        return f"127.0.0.1:{self.client_port}"

    @property
    def peer_url(self) -> str:
        return f"https://127.0.0.1:{self.peer_port}"

    @property
    def credentials(self) -> Credentials:
        """A scheduler's, as a client of etcd."""
        return self.certificates.credentials("scheduler", "test")

    @property
    def pid(self) -> int:
        return self.running.pid

    @property
    def is_started(self) -> bool:
        return self._daemon is not None

    @property
    def running(self) -> daemon.Daemon:
        assert self._daemon is not None, "etcd does not run"
        return self._daemon

    def start(self) -> None:
        """Returns when it answers, for which most of the members must run."""
        self.launch()
        self.await_ready()

    def launch(self) -> None:
        binary = find_etcd()
        assert binary is not None, missing()
        self.folder.mkdir(parents=True, exist_ok=True)
        members = self.members or {self.name: self.peer_url}
        options = {
            "name": self.name,
            "data-dir": f"{self.folder}/data",
            "listen-client-urls": f"https://{self.endpoint}",
            "advertise-client-urls": f"https://{self.endpoint}",
            "listen-peer-urls": self.peer_url,
            "initial-advertise-peer-urls": self.peer_url,
            "initial-cluster": ",".join(f"{name}={url}" for name, url in members.items()),
            **self._tls_options(),
            "enable-grpc-gateway": "false",
            "logger": "zap",
            "log-level": "warn",
            **self.options,
        }
        command = [binary, *(f"--{name}={value}" for name, value in options.items())]
        self._daemon = daemon.start(command, self.folder / "log")

    def await_ready(self) -> None:
        daemon.await_ready(self.running, self.is_healthy)

    def is_healthy(self) -> bool:
        """Raises OSError while nobody listens."""
        return b'"true"' in self._page("/health")

    def metrics(self) -> dict[str, float]:
        """Its own counters, by name with labels, as it publishes them."""
        lines = self._page("/metrics").decode().splitlines()
        parts = (line.rpartition(" ") for line in lines if not line.startswith("#"))
        return {name: float(value) for name, _, value in parts}

    def _page(self, path: str) -> bytes:
        """One of its HTTP pages, asked for with a client's certificate."""
        identity = self.certificates.files("scheduler", "test")
        context = ssl.create_default_context(cafile=str(self.certificates.authority))
        context.load_cert_chain(identity.certificate, identity.key)
        plain = socket.create_connection(("127.0.0.1", self.client_port), timeout=5.0)
        connection = http.client.HTTPConnection("127.0.0.1", self.client_port)
        connection.sock = context.wrap_socket(plain, server_hostname=ETCD_NAME)
        try:
            connection.request("GET", path)
            return connection.getresponse().read()
        finally:
            connection.close()

    def kill(self) -> None:
        """kill -9; `start` goes on with the same data."""
        self.running.kill()

    def end(self) -> None:
        if self._daemon is not None:
            self._daemon.stop()

    def _tls_options(self) -> dict[str, str]:
        issued = self.certificates.files("etcd", "test")
        files = {
            "cert-file": str(issued.certificate),
            "key-file": str(issued.key),
            "trusted-ca-file": str(self.certificates.authority),
            "client-cert-auth": "true",
        }
        names = {"client-cert-allowed-hostname": SERVER_NAME, "peer-cert-allowed-hostname": ETCD_NAME}
        return {**files, **{f"peer-{name}": value for name, value in files.items()}, **names}


def missing() -> str:
    """Why this machine cannot run etcd; empty if it can."""
    return "" if find_etcd() else "etcd is not installed"
