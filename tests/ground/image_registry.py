"""The project's own registry, in a process of its own: killed and started again on the same store and port."""

import os
import re
import ssl
import sys
from dataclasses import dataclass, field
from pathlib import Path

from tests.ground import daemon
from tests.ground.certificates import Certificates
from tests.ground.daemon import Daemon

ROOT = Path(__file__).parent.parent.parent


@dataclass(slots=True)
class ImageRegistry:
    """`options` are added to its command line. `is_open`: it asks nobody who they are."""

    folder: Path
    certificates: Certificates
    options: tuple[str, ...] = ()
    host: str = "127.0.0.1"
    port: int = 0
    is_open: bool = True
    program: tuple[str, ...] = ("-m", "shoal_registry")
    _daemon: Daemon | None = field(default=None, repr=False)

    @property
    def store(self) -> Path:
        return self.folder / "store"

    @property
    def log(self) -> Path:
        return self.folder / "log"

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
        assert self._daemon is not None, "the registry does not run"
        return self._daemon.pid

    def tls(self) -> ssl.SSLContext:
        """By which a client knows it."""
        return ssl.create_default_context(cafile=str(self.authority))

    def start(self) -> None:
        """Returns when it listens."""
        self.folder.mkdir(parents=True, exist_ok=True)
        issued = self.certificates.of_registry("registry", self.folder / "tls", self.host)
        self.log.unlink(missing_ok=True)
        self._daemon = daemon.start(
            [
                *(sys.executable, *self.program, "--listen", self.address, "--store", str(self.store)),
                *("--certificate", str(issued.certificate), "--key", str(issued.key), *self.options),
                *(("--open",) if self.is_open else ("--authority", str(self.authority))),
            ],
            self.log,
            {"PYTHONPATH": os.pathsep.join(str(ROOT / part) for part in ("proto", "registry"))},
        )
        daemon.await_ready(self._daemon, lambda: b"port=" in self.log.read_bytes())
        found = re.search(r"port=(\d+)", self.log.read_text())
        assert found, "it listens on some port"
        self.port = int(found[1])

    def kill(self) -> None:
        """kill -9."""
        assert self._daemon is not None, "the registry does not run"
        self._daemon.kill()

    def end(self) -> None:
        """Raises if it ever failed on a call: whatever was sent, that is a fault of its own."""
        if self._daemon is not None:
            self._daemon.stop()
            assert "a call failed" not in self.log.read_text(), self._daemon.tail()
