"""The Docker Engine behind the port of port.py; with docker_exec.py, all that imports aiodocker.

aiodocker has no deadlines of its own and allows a hundred connections, which as many open log streams would use
up: each call here has a deadline, and there is no limit.
"""

import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Any
from weakref import WeakValueDictionary

import aiodocker
import aiodocker.execs
import aiohttp
from aiodocker.exceptions import DockerError
from shoal import image_reference

from shoal_agent.engine import answers
from shoal_agent.engine.docker_exec import DockerExecution, body_of, end_left
from shoal_agent.engine.layers import layers
from shoal_agent.engine.lines import LineReader
from shoal_agent.engine.log_position import Position, Resumption, following
from shoal_agent.engine.port import (
    CannotCreate,
    CannotExecute,
    CannotPull,
    CannotStart,
    Command,
    ContainerGone,
    EngineError,
    EngineFacts,
    EngineFault,
    EngineTimeout,
    EngineUnavailable,
    Event,
    Image,
    ImageInUse,
    ImageNotFound,
    Inspected,
    Layer,
    Listed,
    LogLine,
    NameConflict,
    Progress,
)

PING_SECONDS = 5.0
LOOK_SECONDS = 15.0
LIST_SECONDS = 10.0
CREATE_SECONDS = 240.0
START_SECONDS = 180.0
KILL_SECONDS = 20.0
REMOVE_SECONDS = 60.0
IMPORT_SECONDS = 60.0
STOP_MARGIN_SECONDS = 15.0

# A pull may take long, but not without a sign of life.
PULL_SILENCE_SECONDS = 120.0
CONNECT_SECONDS = 5.0

# aiodocker's number for "no connection"; the engine's own are HTTP's.
_NO_CONNECTION = 900


class DockerEngine:
    """`address` is unix:///path or tcp://host:port. Needs a running event loop."""

    def __init__(self, address: str) -> None:
        unix = self.local = address.startswith("unix://")
        connector = (
            aiohttp.UnixConnector(address.removeprefix("unix://"), limit=0) if unix else aiohttp.TCPConnector(limit=0)
        )
        # With a connector of ours aiodocker takes the address only for the host's name in its requests.
        url = "unix://localhost" if unix else address.replace("tcp://", "http://", 1)
        self._docker = aiodocker.Docker(url=url, connector=connector, timeout=_patience(LOOK_SECONDS))
        self._executions: WeakValueDictionary[str, DockerExecution] = WeakValueDictionary()

    async def close(self) -> None:
        await self._docker.close()
        await self._docker.connector.close()

    async def ping(self) -> None:
        async with self._answer("_ping", seconds=PING_SECONDS):
            pass

    async def facts(self) -> EngineFacts:
        answer = await self._json("info", seconds=LOOK_SECONDS)
        try:
            bridge = await self._json("networks/bridge", seconds=LOOK_SECONDS)
        except (EngineFault, ContainerGone):  # an engine without that network
            bridge = None
        return answers.facts(answer, bridge)

    async def containers(self, labels: Mapping[str, str]) -> list[Listed]:
        query = {"all": "true", "filters": json.dumps({"label": _label_filter(labels)})}
        return [answers.listed(entry) for entry in await self._json("containers/json", LIST_SECONDS, params=query)]

    async def create(self, name: str, body: Mapping[str, Any]) -> str:
        answer = await self._json("containers/create", CREATE_SECONDS, "POST", {"name": name}, body, _CREATING)
        return str(answer["Id"])

    async def start(self, container: str) -> None:
        await self._do(f"containers/{container}/start", START_SECONDS, refusals=_STARTING)

    async def stop(self, container: str, grace_seconds: int) -> None:
        params, patience_seconds = {"t": str(grace_seconds)}, grace_seconds + STOP_MARGIN_SECONDS
        await self._do(f"containers/{container}/stop", patience_seconds, params=params)

    async def kill(self, container: str) -> None:
        with suppress(_Already):
            await self._do(f"containers/{container}/kill", KILL_SECONDS)

    async def remove(self, container: str) -> None:
        params = {"force": "true", "v": "true"}
        with suppress(_Already, ContainerGone):
            await self._do(f"containers/{container}", REMOVE_SECONDS, "DELETE", params)

    async def remove_volume(self, name: str) -> None:
        with suppress(ContainerGone):
            await self._do(f"volumes/{name}", REMOVE_SECONDS, "DELETE")

    async def has_volume(self, name: str) -> bool:
        try:
            await self._json(f"volumes/{name}", LOOK_SECONDS)
        except ContainerGone:
            return False
        return True

    async def inspect(self, container: str) -> Inspected:
        return answers.inspected(await self._json(f"containers/{container}/json", LOOK_SECONDS))

    async def stats(self, container: str) -> Mapping[str, Any]:
        # Without `one-shot` the engine would wait a second for another sample to compare with.
        params = {"stream": "false", "one-shot": "true"}
        answer: Mapping[str, Any] = await self._json(f"containers/{container}/stats", LOOK_SECONDS, params=params)
        return answer

    async def image_digest(self, image: str) -> str | None:
        answer = await self._json(f"images/{image}/json", LOOK_SECONDS, refusals=_FINDING_IMAGE)
        return image_reference.digest_of(image, answer.get("RepoDigests") or ())

    async def local_images(self) -> list[Image]:
        return [answers.image(entry) for entry in await self._json("images/json", LIST_SECONDS)]

    async def image_layers(self, image: str) -> tuple[Layer, ...]:
        about = await self._json(f"images/{image}/json", LOOK_SECONDS, refusals=_FINDING_IMAGE)
        history = await self._json(f"images/{image}/history", LOOK_SECONDS, refusals=_FINDING_IMAGE)
        return layers((about.get("RootFS") or {}).get("Layers") or (), history)

    async def remove_image(self, reference: str) -> None:
        with suppress(ContainerGone):
            await self._do(f"images/{reference}", REMOVE_SECONDS, "DELETE", refusals=_REMOVING_IMAGE)

    async def pull(self, image: str, *, auth: str | None = None, progress: Progress | None = None) -> None:
        patience = aiohttp.ClientTimeout(sock_connect=CONNECT_SECONDS, sock_read=PULL_SILENCE_SECONDS)
        params = answers.pull_reference(image)
        headers = {"X-Registry-Auth": auth} if auth else None
        call = self._answer("images/create", patience, "POST", params, refusals=_PULLING, headers=headers)
        async with call as response:
            async for raw in response.content:
                told = json.loads(raw)
                if "error" in told:
                    raise CannotPull(str(told["error"]))
                if progress is not None and (moved := answers.pull_progress(told)):
                    progress(*moved)

    async def import_image(self, image: str, archive: bytes) -> None:
        repository, _, tag = image.rpartition(":")
        params = {"fromSrc": "-", "repo": repository, "tag": tag}
        await self._do("images/create", IMPORT_SECONDS, params=params, body=archive, refusals=_PULLING)

    async def events(self, labels: Mapping[str, str], since: float) -> AsyncIterator[Event]:
        patience = aiohttp.ClientTimeout(sock_connect=CONNECT_SECONDS)
        params = _event_query(labels, ("die", "destroy", "health_status"), since)
        async with self._answer("events", patience, params=params) as response:
            async for raw in response.content:
                yield answers.event(json.loads(raw))

    async def kills(self, labels: Mapping[str, str], since: float, until: float) -> list[Event]:
        params = _event_query(labels, ("kill",), since) | {"until": f"{until:.3f}"}
        async with self._answer("events", LOOK_SECONDS, params=params) as response:
            return [answers.event(json.loads(raw)) async for raw in response.content]

    async def lacked_memory(self, container: str, since: float, until: float) -> bool:
        params = _query_of_events({"container": [container], "event": ["oom"]}, since) | {"until": f"{until:.3f}"}
        async with self._answer("events", LOOK_SECONDS, params=params) as response:
            return bool(await response.content.readline())

    async def logs(
        self, container: str, *, follow: bool, since: float | None, tail: int | None
    ) -> AsyncGenerator[LogLine, None]:
        tty, began = (await self.inspect(container)).tty, time.time()
        last: Position | None = None
        async with aclosing(self._log_stream(container, tty, follow, since, tail)) as stream:
            async for found in stream:
                last = following(last, found)
                yield found
        if not follow:
            return
        # The engine ends a followed stream before it has flushed what the container wrote without a line end.
        if last is None:
            async for found in self._log_stream(container, tty, False, since if tail is None else began, None):
                yield found
            return
        rest = Resumption(last)
        async with aclosing(self._log_stream(container, tty, False, last.since, None)) as stream:
            async for found in stream:
                for line in rest.feed(found):
                    yield line

    async def log_bytes(self, container: str) -> AsyncGenerator[bytes, None]:
        params = {"stdout": "true", "stderr": "true", "timestamps": "true"}
        patience = aiohttp.ClientTimeout(sock_connect=CONNECT_SECONDS, sock_read=LOOK_SECONDS)
        async with self._answer(f"containers/{container}/logs", patience, params=params) as response:
            async for chunk in response.content.iter_any():
                yield chunk

    async def _log_stream(
        self, container: str, tty: bool, follow: bool, since: float | None, tail: int | None
    ) -> AsyncGenerator[LogLine, None]:
        reader = LineReader(tty)
        params = {"stdout": "true", "stderr": "true", "timestamps": "true", "follow": str(follow).lower()}
        params |= {"since": f"{since:.3f}"} if since is not None else {}
        params |= {"tail": str(tail)} if tail is not None else {}
        patience = aiohttp.ClientTimeout(sock_connect=CONNECT_SECONDS)
        async with self._answer(f"containers/{container}/logs", patience, params=params) as response:
            async for chunk in response.content.iter_any():
                for found in reader.feed(chunk):
                    yield found
            for found in reader.flush():
                yield found

    async def execute(self, container: str, command: Command) -> DockerExecution:
        body = body_of(command)
        container_id = (await self.inspect(container)).container_id
        exec_id = (await self._execute(f"containers/{container_id}/exec", "POST", None, body))["Id"]
        stream = aiodocker.execs.Exec(self._docker, exec_id, tty=command.tty).start()
        execution = DockerExecution(self._execute, exec_id, container_id, stream, command.tty)
        self._executions[exec_id] = execution
        try:
            await execution.begin(command.size)
        except BaseException:
            await execution.end()
            raise
        return execution

    async def end_executions(self, container: str) -> None:
        await end_left(self._execute, container, self._executions)  # itself: it grows meanwhile

    async def _execute(
        self, path: str, method: str = "GET", params: Mapping[str, str] | None = None, body: Any = None
    ) -> Any:
        """One call of many that a command takes; None for an answer that says nothing."""
        async with self._answer(path, LOOK_SECONDS, method, params, body, _EXECUTING) as response:
            return json.loads(await response.read() or "null")

    async def _do(
        self,
        path: str,
        seconds: float,
        method: str = "POST",
        params: Mapping[str, str] | None = None,
        body: bytes | None = None,
        refusals: "Refusals | None" = None,
    ) -> None:
        async with self._answer(path, seconds, method, params, body, refusals):
            pass

    async def _json(
        self,
        path: str,
        seconds: float,
        method: str = "GET",
        params: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        refusals: "Refusals | None" = None,
    ) -> Any:
        async with self._answer(path, seconds, method, params, body, refusals) as response:
            return json.loads(await response.read())

    @asynccontextmanager
    async def _answer(
        self,
        path: str,
        seconds: float | aiohttp.ClientTimeout,
        method: str = "GET",
        params: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | bytes | None = None,
        refusals: "Refusals | None" = None,
        headers: Mapping[str, str] | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The one door: every fault of the connection and every refusal leaves it as an EngineError."""
        patience = _patience(seconds)
        content = body if body is None or isinstance(body, bytes) else json.dumps(body)
        try:
            async with self._docker._query(
                path, method, params=dict(params or {}), data=content, headers=headers, timeout=patience
            ) as response:
                try:
                    yield response
                finally:
                    response.release()
        except DockerError as error:
            raise (refusals or _refused)(error) from None
        except TimeoutError:
            waited = f" after waiting {patience.total:g} s" if patience.total else ""
            raise EngineTimeout(f"timed out{waited} for {method} {path}") from None
        except (aiohttp.ClientError, ConnectionError, ValueError) as error:
            raise EngineUnavailable(f"the connection to the engine broke: {error}") from None


def _patience(seconds: float | aiohttp.ClientTimeout) -> aiohttp.ClientTimeout:
    if isinstance(seconds, aiohttp.ClientTimeout):
        return seconds
    return aiohttp.ClientTimeout(total=seconds, sock_connect=min(seconds, CONNECT_SECONDS))


class _Already(EngineFault):
    """The container is in the state that was asked for, or on its way there."""


Refusals = Callable[[DockerError], EngineError]


def _refused(error: DockerError) -> EngineError:
    if error.status == _NO_CONNECTION:
        return EngineUnavailable(error.message)
    kinds: dict[int, type[EngineError]] = {404: ContainerGone, 409: _Already}
    return kinds.get(error.status, EngineFault)(error.message)


def _refused_as(kind: type[EngineError], known: Mapping[tuple[int, str], type[EngineError]]) -> Refusals:
    """`known`: by status and the beginning of the engine's sentence; whatever else is a refusal of that `kind`."""

    def refusal(error: DockerError) -> EngineError:
        if error.status == _NO_CONNECTION:
            return EngineUnavailable(error.message)
        for (status, beginning), special in known.items():
            if error.status == status and error.message.lower().startswith(beginning):
                return special(error.message)
        return kind(error.message)

    return refusal


_CREATING = _refused_as(CannotCreate, {(404, "no such image"): ImageNotFound, (409, "conflict"): NameConflict})
_STARTING = _refused_as(CannotStart, {(404, "no such container"): ContainerGone})
_FINDING_IMAGE = _refused_as(EngineFault, {(404, "no such image"): ImageNotFound})
_EXECUTING = _refused_as(CannotExecute, {(404, "no such container"): ContainerGone})
_PULLING = _refused_as(CannotPull, {})
_REMOVING_IMAGE = _refused_as(EngineFault, {(404, "no such image"): ContainerGone, (409, ""): ImageInUse})


def _label_filter(labels: Mapping[str, str]) -> list[str]:
    return [f"{name}={value}" for name, value in labels.items()]


def _event_query(labels: Mapping[str, str], actions: tuple[str, ...], since: float) -> dict[str, str]:
    return _query_of_events({"event": list(actions), "label": _label_filter(labels)}, since)


def _query_of_events(filters: Mapping[str, list[str]], since: float) -> dict[str, str]:
    return {"since": f"{since:.3f}", "filters": json.dumps({"type": ["container"], **filters})}
