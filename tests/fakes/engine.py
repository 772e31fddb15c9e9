"""A unix socket that answers GET /version as a Docker Engine does, and lists and removes containers it is given."""

import json
import socketserver
import threading
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any


class FakeEngine:
    def __init__(self, path: Path, version: str = "28.0.1") -> None:
        self.path = path
        self.version = version
        self.containers: dict[str, dict[str, str]] = {}  # id -> labels
        self._server = _Server(str(path), _Answers)
        self._server.engine = self
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def docker_host(self) -> str:
        return f"unix://{self.path}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(socketserver.ThreadingUnixStreamServer):
    engine: FakeEngine
    daemon_threads = True


class _Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        engine = self._engine()
        if self.path == "/version":
            self._answer(200, {"Version": engine.version, "ApiVersion": "1.48", "Os": "linux", "Arch": "amd64"})
        elif "/containers/json" in self.path:
            self._answer(200, [{"Id": each, "Labels": labels} for each, labels in engine.containers.items()])
        else:
            self._answer(404, {"message": "page not found"})

    def do_DELETE(self) -> None:
        container_id = self.path.partition("?")[0].rpartition("/")[2]
        known = self._engine().containers.pop(container_id, None)
        self._answer(204 if known is not None else 404, None)

    def address_string(self) -> str:
        return "unix"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name it overrides
        pass

    def _engine(self) -> FakeEngine:
        assert isinstance(self.server, _Server)
        return self.server.engine

    def _answer(self, status: int, document: Any) -> None:
        content = b"" if document is None else json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
