"""The few words this command line says to a Docker Engine itself, over its unix socket."""

import contextlib
import http.client
import json
import shutil
import socket
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote, urlencode

TIMEOUT_SECONDS = 5.0
# Until the next bytes of an image come, or the engine has taken them all in.
TRANSFER_SECONDS = 300.0
_API = "/v1.41"  # of Docker 20.10, which every later engine still speaks


class EngineError(Exception):
    """The engine does not answer, or says no; the text is a sentence."""


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout_seconds: float) -> None:
        super().__init__("localhost", timeout=timeout_seconds)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def socket_path(docker_host: str) -> str:
    """Raises EngineError for anything but a unix socket."""
    scheme, separator, path = docker_host.partition("://")
    if scheme != "unix" or not separator or not path.startswith("/"):
        raise EngineError(f"{docker_host!r} is not a unix socket: give unix:///var/run/docker.sock")
    return path


def version(docker_host: str, timeout_seconds: float = TIMEOUT_SECONDS) -> dict[str, Any]:
    """What GET /version answers: Version, ApiVersion, Os, Arch and more. Raises EngineError."""
    answer = _ask(docker_host, "GET", "/version", timeout_seconds)
    if not isinstance(answer, dict) or "Version" not in answer:
        raise EngineError(f"{docker_host} does not answer as a Docker Engine does")
    return answer


def containers_of(docker_host: str, cluster: str, instance_id: str) -> list[str]:
    """The ids of every container, running or not, that this agent made: of tasks, and what keeps networks for them."""
    found: list[str] = []
    of_tasks = [f"shoal.cluster={cluster}", f"shoal.instance={instance_id}"]
    for labels in (of_tasks, [f"shoal.ready-network={cluster}/{instance_id}"]):
        path = f"{_API}/containers/json?all=true&filters={quote(json.dumps({'label': labels}))}"
        found += [each["Id"] for each in _ask(docker_host, "GET", path, 30.0)]
    return list(dict.fromkeys(found))


def remove_container(docker_host: str, container_id: str) -> None:
    """Kills it if it runs, and removes it with its anonymous volumes. One that is gone already is fine."""
    _ask(docker_host, "DELETE", f"{_API}/containers/{container_id}?force=true&v=true", 60.0, missing_is_fine=True)


def running_containers(docker_host: str, labels: Mapping[str, str]) -> dict[str, Mapping[str, str]]:
    """By id, all labels of those that run and carry these. Raises EngineError."""
    filters = {"label": [f"{name}={value}" for name, value in labels.items()]}
    path = f"{_API}/containers/json?filters={quote(json.dumps(filters))}"
    return {each["Id"]: each["Labels"] or {} for each in _ask(docker_host, "GET", path, TIMEOUT_SECONDS)}


def kill_container(docker_host: str, container_id: str) -> None:
    """One that has ended already is fine."""
    _ask(docker_host, "POST", f"{_API}/containers/{container_id}/kill", 60.0, missing_is_fine=True)


def save_images(docker_host: str, names: Sequence[str], target: Path) -> None:
    """As `docker save`. Raises EngineError."""
    query = urlencode([("names", name) for name in names])
    with (
        _answer(docker_host, "GET", f"{_API}/images/get?{query}", TRANSFER_SECONDS) as answer,
        target.open("wb") as file,
    ):
        shutil.copyfileobj(answer, file)


def load_images(docker_host: str, archive: Path) -> None:
    """As `docker load`. Raises EngineError."""
    with archive.open("rb") as file:
        path = f"{_API}/images/load?quiet=1"
        with _answer(docker_host, "POST", path, TRANSFER_SECONDS, file, archive.stat().st_size) as answer:
            said = [json.loads(line) for line in answer.read().splitlines() if line.strip()]
    for each in said:
        if "error" in each:
            raise EngineError(f"{docker_host} takes it not: {each['error']}")


@contextlib.contextmanager
def _answer(
    docker_host: str, method: str, path: str, timeout_seconds: float, body: BinaryIO | None = None, length: int = 0
) -> Iterator[http.client.HTTPResponse]:
    """Good for as long as the block. Raises EngineError."""
    connection = _UnixConnection(socket_path(docker_host), timeout_seconds)
    headers = {"Content-Type": "application/x-tar", "Content-Length": str(length)} if body is not None else {}
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        if answer.status >= 400:
            raise EngineError(f"{docker_host} answered {answer.status}: {_message(answer.read())}")
        yield answer
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise EngineError(f"{docker_host} does not answer: {_words(error)}") from error
    finally:
        connection.close()


def _message(content: bytes) -> str:
    try:
        return str(json.loads(content)["message"])
    except (ValueError, KeyError, TypeError):
        return content.decode(errors="replace").strip()


def _ask(docker_host: str, method: str, path: str, timeout_seconds: float, missing_is_fine: bool = False) -> Any:
    connection = _UnixConnection(socket_path(docker_host), timeout_seconds)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        content = answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise EngineError(f"{docker_host} does not answer: {_words(error)}") from error
    finally:
        connection.close()
    if answer.status >= 400 and not (missing_is_fine and answer.status in (404, 409)):
        raise EngineError(f"{docker_host} answered {answer.status}: {content.decode(errors='replace').strip()}")
    try:
        return json.loads(content) if content else None
    except ValueError:
        raise EngineError(f"{docker_host} does not answer as a Docker Engine does") from None


def _words(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return (error.strerror or str(error)) if isinstance(error, OSError) else repr(error)
