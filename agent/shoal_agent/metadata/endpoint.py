"""The task metadata endpoint, version 4, as the ECS agent serves it to containers of this host.

    GET http://ADDRESS:PORT/v4/<id>{,/task,/taskWithTags,/stats,/task/stats}

The one plaintext listener of the system. All that can be changed by it is the protection of the very task that asks
(`metadata.protection`). It listens where containers reach it: on the host's address
of the engine's bridge, and on the loopback address for tasks on the host's network. A request is answered only if
its path was given to a container and it comes from an address of that container; to everybody else there is
nothing here, and no hint what was wrong.

Running containers keep the address in their environment, so an agent that is started again has the same port and
the same paths: `metadata` in the state folder holds the port and the secret the paths are made of.
"""

import asyncio
import contextlib
import json
import logging
import os
import secrets
import socket
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any, cast
from weakref import WeakKeyDictionary

from aiohttp import web
from shoal import arn
from shoal.rate_limit import TokenBucket

from shoal_agent.definition import labels
from shoal_agent.definition.environment import LOOPBACK, Endpoint, task_of
from shoal_agent.engine.port import ContainerGone, EngineError, Inspected
from shoal_agent.life.case import Surroundings
from shoal_agent.life.runner import Lane
from shoal_agent.metadata.documents import (
    Document,
    Subject,
    container_document,
    since_joined,
    stats_document,
    tags_document,
    task_document,
)
from shoal_agent.metadata.protection import BODY_BYTES_MAX, TaskProtection
from shoal_agent.metadata.recent import Recent
from shoal_agent.pause import either
from shoal_agent.worker import Worker

log = logging.getLogger(__name__)

# As the ECS agent: of one task, in a steady flow and at once.
REQUESTS_PER_SECOND, REQUESTS_AT_ONCE = 40.0, 60.0
# What the engine said stays good for so long, so that a task that asks in a loop is no load on it.
FRESH_SECONDS = 1.0
CONNECTIONS_PER_ADDRESS_MAX = 64
KEEP_ALIVE_SECONDS = 15.0
BIND_RETRY_SECONDS = 10.0
SHARED_NETWORK = "container:"


class Metadata:
    """Serves what `around` and `worker` know. `around.endpoint` says where; `open` completes it."""

    def __init__(
        self, folder: Path, around: Surroundings, worker: Worker, protection: TaskProtection | None = None
    ) -> None:
        """Reads what an agent before this one kept in `folder`."""
        self._protection = protection or TaskProtection()
        self._path = folder / "metadata"
        self._around = around
        self._worker = worker
        self._listening: dict[str, asyncio.Server] = {}
        self._inspected: Recent[Inspected] = Recent(FRESH_SECONDS)
        self._sampled: Recent[Document] = Recent(FRESH_SECONDS)
        self._allowances: WeakKeyDictionary[Lane, TokenBucket] = WeakKeyDictionary()
        self._samples: WeakKeyDictionary[Lane, dict[str, Document]] = WeakKeyDictionary()
        app = web.Application(client_max_size=BODY_BYTES_MAX)
        app.router.add_get(r"/v4/{id:[^/]+}{about:(/.*)?}", self._answer)
        app.router.add_get("/api/{id:[^/]+}/task-protection/v1/state", self._answer_of_protection)
        app.router.add_put("/api/{id:[^/]+}/task-protection/v1/state", self._answer_of_protection)
        self._runner = web.AppRunner(app, access_log=None, keepalive_timeout=KEEP_ALIVE_SECONDS, shutdown_timeout=1.0)

    async def open(self) -> int:
        """Listens on the loopback address and returns the port, which is then this agent's for good."""
        kept = _read(self._path)
        secret = bytes.fromhex(kept["secret"]) if "secret" in kept else secrets.token_bytes(32)
        port = self._around.rules.metadata_port or kept.get("port") or _free_port()
        if kept != (keep := {"port": port, "secret": secret.hex()}):
            _write(self._path, keep)
        self._around.endpoint = Endpoint(port, secret)
        await self._runner.setup()
        await self._listen()
        return int(port)

    async def run(self) -> None:
        """Goes on listening where containers are told to look, also after the bridge got another address."""
        changed = self._around.endpoint_changed
        while True:
            changed.clear()
            complete = await self._listen()
            await either(changed, None if complete else BIND_RETRY_SECONDS)

    async def close(self) -> None:
        for server in self._listening.values():
            server.close()
        await self._runner.cleanup()
        await self._inspected.close()
        await self._sampled.close()

    async def _listen(self) -> bool:
        """False if an address could not be had."""
        endpoint = self._around.endpoint
        assert endpoint is not None, "opened before it runs"
        addresses = {LOOPBACK, endpoint.bridge_address} - {None}
        for gone in self._listening.keys() - addresses:
            self._listening.pop(gone).close()
        loop = asyncio.get_running_loop()
        for address in sorted(addresses - self._listening.keys(), key=str):
            try:
                door = await loop.create_server(self._admit, address, endpoint.port, reuse_address=True)
            except OSError as error:
                log.error("no metadata for containers address=%s port=%d error=%s", address, endpoint.port, error)
                continue
            self._listening[str(address)] = door
            log.info("metadata for containers address=%s port=%d", address, endpoint.port)
        return addresses <= self._listening.keys()

    def _admit(self) -> asyncio.Protocol:
        server = self._runner.server
        assert server is not None
        return _Door(server)

    async def _answer(self, request: web.Request) -> web.Response:
        about = _ABOUT.get(request.match_info["about"].strip("/"))
        if about is None:
            raise web.HTTPNotFound

        async def answer(lane: Lane, container: str) -> web.Response:
            return web.json_response(await about(self, lane, container))

        return await self._admitted(request, answer)

    async def _answer_of_protection(self, request: web.Request) -> web.Response:
        async def answer(lane: Lane, _container: str) -> web.Response:
            body = await _body(request) if request.method == "PUT" else None
            task_arn = arn.task_arn(self._around.owner.cluster, lane.task.id)
            status, document = await self._protection.answer(lane.task.id, task_arn, body)
            return web.json_response(document, status=status)

        return await self._admitted(request, answer)

    async def _admitted(
        self, request: web.Request, answer: Callable[[Lane, str], Awaitable[web.Response]]
    ) -> web.Response:
        """The answer to a container whose path this is, if it does not ask too often."""
        found = self._asked_by(request.match_info["id"])
        if found is None:
            raise web.HTTPNotFound
        lane, container = found
        allowance = self._allowances.setdefault(
            lane, TokenBucket(REQUESTS_PER_SECOND, REQUESTS_AT_ONCE, time.monotonic())
        )
        if not allowance.take(time.monotonic()):
            raise web.HTTPTooManyRequests
        try:
            if not await self._is_from(request.remote, lane.handle(container)):
                raise web.HTTPNotFound
            return await answer(lane, container)
        except ContainerGone:
            raise web.HTTPNotFound from None
        except EngineError:
            raise web.HTTPServiceUnavailable(text="the container engine does not answer; ask again later") from None

    def _asked_by(self, endpoint_id: str) -> tuple[Lane, str] | None:
        endpoint, lane = self._around.endpoint, self._worker.lane(task_of(endpoint_id))
        if endpoint is None or lane is None:
            return None
        container = endpoint.container_of(endpoint_id, lane.task.id, (it.name for it in lane.task.containers))
        return (lane, container) if container is not None else None

    async def _is_from(self, remote: str | None, handle: str) -> bool:
        """A container without a network of its own has the addresses of the one whose network it shares."""
        found = await self._inspect(handle)
        if found.network_mode.startswith(SHARED_NETWORK):
            found = await self._inspect(found.network_mode.removeprefix(SHARED_NETWORK))
        if remote is None:
            return False
        if found.network_mode == "host":
            return ip_address(remote).is_loopback
        return remote in {address for it in found.networks for address in (it.address, it.address_v6) if address}

    # What may be asked about.

    async def _container(self, lane: Lane, container: str) -> Document:
        return container_document(self._subject(lane), container, await self._found(lane, container))

    async def _task(self, lane: Lane, container: str) -> Document:
        names = _visible(lane)
        found = await asyncio.gather(*(self._found(lane, name) for name in names))
        return task_document(self._subject(lane), dict(zip(names, found, strict=True)))

    async def _task_with_tags(self, lane: Lane, container: str) -> Document:
        document = await self._task(lane, container)
        return {**document, **tags_document(lane.wanted, self._around.rules.tags)}

    async def _stats(self, lane: Lane, container: str) -> Document:
        found = await self._inspect(lane.handle(container))
        return await self._sampled.answer(found.container_id, lambda: self._sample(lane, found.container_id))

    async def _task_stats(self, lane: Lane, container: str) -> Mapping[str, Document | None]:
        found = await asyncio.gather(*(self._found(lane, name) for name in _visible(lane)))
        running = {it.container_id: it.state == "running" for it in found if it is not None}
        samples = await asyncio.gather(*(self._sample_or_none(lane, it, up) for it, up in running.items()))
        return dict(zip(running, samples, strict=True))

    async def _sample_or_none(self, lane: Lane, container_id: str, running: bool) -> Document | None:
        if not running:
            return None
        try:
            return await self._sampled.answer(container_id, lambda: self._sample(lane, container_id))
        except ContainerGone:
            return None

    async def _sample(self, lane: Lane, container_id: str) -> Document:
        counters = (await self._inspect(container_id)).labels.get(labels.NETWORK_COUNTERS, "")
        sample = since_joined(await self._around.engine.stats(container_id), labels.counters_from(counters))
        kept = self._samples.setdefault(lane, {})
        before, kept[container_id] = kept.get(container_id), sample
        return stats_document(sample, before)

    async def _found(self, lane: Lane, container: str) -> Inspected | None:
        try:
            found = await self._inspect(lane.handle(container))
            if found.network_mode.startswith(SHARED_NETWORK):
                shared = await self._inspect(found.network_mode.removeprefix(SHARED_NETWORK))
                return replace(found, networks=shared.networks, network_mode=shared.network_mode)
        except ContainerGone:
            return None
        return found

    async def _inspect(self, handle: str) -> Inspected:
        return await self._inspected.answer(handle, lambda: self._around.engine.inspect(handle))

    def _subject(self, lane: Lane) -> Subject:
        zone = self._around.rules.availability_zone
        return Subject(lane.task, lane.wanted, lane.report(), self._around.owner, zone)


_About = Callable[[Metadata, Lane, str], Awaitable[Mapping[str, Any]]]
_ABOUT: Mapping[str, _About] = {
    "": Metadata._container,
    "task": Metadata._task,
    "taskWithTags": Metadata._task_with_tags,
    "stats": Metadata._stats,
    "task/stats": Metadata._task_stats,
}


async def _body(request: web.Request) -> bytes:
    try:
        return await request.read()
    except ConnectionError:  # who asked is gone, and that is nothing to log
        raise web.HTTPBadRequest from None


def _visible(lane: Lane) -> list[str]:
    """Containers of the user's, and none that the agent adds."""
    return [plan.name for plan in lane.task.containers if not plan.internal]


class _Door(asyncio.Protocol):
    """Lets a connection in to `server`, unless its address has too many: a task must not use up the agent's files."""

    def __init__(self, server: web.Server) -> None:
        self._server = server

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        door = cast(asyncio.Transport, transport)  # uvloop's is one without saying so
        address = _peer(door)
        same = [it for it in self._server.connections if it.transport is not None and _peer(it.transport) == address]
        if len(same) >= CONNECTIONS_PER_ADDRESS_MAX:
            door.abort()
            return
        inside = self._server()
        door.set_protocol(inside)
        inside.connection_made(transport)


def _peer(transport: asyncio.BaseTransport) -> str:
    name = transport.get_extra_info("peername")
    return str(name[0]) if name else ""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def _read(path: Path) -> dict[str, Any]:
    """What was kept; nothing if there is none. What cannot be read is made anew: containers that run already then
    find no metadata any more."""
    with contextlib.suppress(FileNotFoundError):
        content = path.read_bytes()
        try:
            kept = json.loads(content)
            bytes.fromhex(kept["secret"])
            return {"port": int(kept["port"]), "secret": str(kept["secret"])}
        except (ValueError, KeyError, TypeError):
            log.warning("damaged, running containers lose their metadata path=%s", path)
    return {}


def _write(path: Path, kept: Mapping[str, Any]) -> None:
    beside = path.with_name("metadata.new")
    beside.touch(mode=0o600)
    with beside.open("w") as file:
        json.dump(kept, file)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
