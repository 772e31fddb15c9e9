"""The registry that most people run, Docker Distribution, as the system's package has it: to compare with."""

import json
import re
import shutil
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.ground import daemon
from tests.ground.certificates import Certificates
from tests.ground.daemon import Daemon

PROGRAM = "docker-registry"


def missing() -> str:
    """Why it cannot run here; empty if it can."""
    return "" if shutil.which(PROGRAM) else f"not installed: {PROGRAM}"


@dataclass(slots=True)
class Distribution:
    """`auth` is that section of its configuration; without one it asks nobody who he is."""

    folder: Path
    certificates: Certificates
    auth: dict[str, Any] = field(default_factory=dict)
    host: str = "127.0.0.1"
    port: int = 0
    _daemon: Daemon | None = field(default=None, repr=False)

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        return f"https://{self.address}"

    @property
    def authority(self) -> Path:
        return self.certificates.authority

    @property
    def pid(self) -> int:
        assert self._daemon is not None, "it does not run"
        return self._daemon.pid

    def tls(self) -> ssl.SSLContext:
        """By which a client knows it."""
        return ssl.create_default_context(cafile=str(self.authority))

    def start(self) -> None:
        """Returns when it listens."""
        self.folder.mkdir(parents=True, exist_ok=True)
        issued = self.certificates.of_registry("distribution", self.folder / "tls", self.host)
        configuration: dict[str, Any] = {
            "version": 0.1,
            "log": {"level": "info"},
            "storage": {"filesystem": {"rootdirectory": str(self.folder / "store")}, "delete": {"enabled": True}},
            "http": {
                "addr": self.address,
                "secret": "of no use to anybody",
                "tls": {"certificate": str(issued.certificate), "key": str(issued.key)},
            },
        }
        if self.auth:
            configuration["auth"] = self.auth
        path, log = self.folder / "configuration.yml", self.folder / "log"
        # JSON is YAML.
        path.write_text(json.dumps(configuration))
        log.unlink(missing_ok=True)
        self._daemon = daemon.start([PROGRAM, "serve", str(path)], log)
        daemon.await_ready(self._daemon, lambda: b"listening on" in log.read_bytes())
        found = re.search(r"listening on [^ ]*:(\d+)", log.read_text())
        assert found, "it listens on some port"
        self.port = int(found[1])

    def end(self) -> None:
        if self._daemon is not None:
            self._daemon.stop()
