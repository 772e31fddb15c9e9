"""The HTTPS listener: one place where calls come in and refusals and faults become answers."""

import asyncio
import errno
import logging
import ssl
from pathlib import Path

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from shoal_registry import routes
from shoal_registry.errors import Refused
from shoal_registry.registry import Call, Registry
from shoal_registry.storage.damage import Damaged
from shoal_registry.storage.master_keys import KeyFileUnusable, MasterKeyUnknown
from shoal_registry.storage.store import StoreUnavailableError

log = logging.getLogger(__name__)

HEADER_BYTES_MAX = 16 * 1024
HANDSHAKE_SECONDS = 10.0
# A connection over which no call has come by then costs a descriptor for nothing.
SILENT_SECONDS = 30.0
IDLE_SECONDS = 75.0
STOP_SECONDS = 5.0
FULL = (errno.ENOSPC, errno.EDQUOT)


class Server:
    """Listens between `start` and `stop`. `port` is then the one it listens on; other processes may share it."""

    def __init__(
        self,
        listen: str,
        certificate: Path,
        key: Path,
        authority: Path | None,
        registry: Registry,
        *,
        shares_port: bool = False,
    ) -> None:
        self._host, _, port = listen.rpartition(":")
        self.port = int(port)
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.minimum_version = ssl.TLSVersion.TLSv1_2
        # Of files that it cannot read, the library does not say which.
        for path in (certificate, key, *(() if authority is None else (authority,))):
            path.read_bytes()
        self._tls.load_cert_chain(certificate, key)
        if authority is not None:
            # Who has none may have a secret; who shows one has to have a good one.
            self._tls.verify_mode = ssl.CERT_OPTIONAL
            self._tls.load_verify_locations(authority)
        self._registry = registry
        self._shares_port = shares_port
        self._silent: dict[asyncio.BaseProtocol, asyncio.TimerHandle] = {}
        application = web.Application()
        application.router.add_route("*", r"/{path:[\s\S]*}", self._answer)
        application.on_response_prepare.append(_say_version)
        self._runner = web.AppRunner(
            application,
            access_log=None,
            # Bytes are stored as they are sent: a digest is of those.
            auto_decompress=False,
            keepalive_timeout=IDLE_SECONDS,
            shutdown_timeout=STOP_SECONDS,
            max_line_size=HEADER_BYTES_MAX,
            max_field_size=HEADER_BYTES_MAX,
        )
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        await self._runner.setup()
        self._server = await asyncio.get_running_loop().create_server(
            self._connection,
            self._host.strip("[]"),
            self.port,
            reuse_port=self._shares_port or None,
            ssl=self._tls,
            ssl_handshake_timeout=HANDSHAKE_SECONDS,
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """What is under way has a few seconds."""
        if self._server is not None:
            self._server.close()
        await self._runner.cleanup()

    def _connection(self) -> asyncio.BaseProtocol:
        assert self._runner.server is not None
        made = self._runner.server()
        self._silent[made] = asyncio.get_running_loop().call_later(SILENT_SECONDS, self._drop, made)
        return made

    def _drop(self, made: RequestHandler) -> None:
        self._silent.pop(made)
        if made.transport is not None:
            made.transport.abort()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if drops := self._silent.pop(request.protocol, None):
            drops.cancel()
        response: web.StreamResponse
        try:
            matched = routes.match(request.method, request.raw_path)
            response = await matched.handler(await self._admitted(request, matched))
        except Refused as refused:
            response = _refusal(refused)
        except (ConnectionError, web.RequestPayloadError):
            # The caller is gone, or sent less than it said: what it sent of an upload waits for it.
            response = _refusal(Refused("SIZE_INVALID", "The body ended before its end."))
            response.force_close()
        except Damaged as damaged:
            log.error("damaged in the store path=%s reason=%s", request.path, damaged)
            if damaged.path is not None:
                self._registry.suspects.add(damaged.path)
            response = _refusal(
                Refused(
                    "INTERNAL", "The registry's copy of this is damaged. It is whole again once it is pushed again."
                )
            )
        except Exception as error:
            response = _fault(request, error)
        return response

    async def _admitted(self, request: web.Request, matched: routes.Match) -> Call:
        """Raises Refused."""
        caller = await self._registry.gate.caller(request)
        call = Call(self._registry, request, matched.parts, caller)
        await call.demand(matched.need, call.repository if "name" in matched.parts else None)
        return call


async def _say_version(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers["Docker-Distribution-API-Version"] = "registry/2.0"


def _fault(request: web.Request, error: Exception) -> web.Response:
    if isinstance(error, OSError) and error.errno in FULL:
        log.error("no room left on the store's disk path=%s", request.path)
        return _refusal(Refused("INSUFFICIENT_STORAGE", "The registry's disk is full.", headers={"Retry-After": "60"}))
    if isinstance(error, StoreUnavailableError):
        log.error("the store did not answer as it should path=%s reason=%s", request.path, error)
        return _refusal(Refused("UNAVAILABLE", "The registry's store does not answer.", headers={"Retry-After": "5"}))
    if isinstance(error, MasterKeyUnknown | KeyFileUnusable):
        log.error("no master key for this path=%s reason=%s", request.path, error)
        return _refusal(Refused("INTERNAL", "The registry has no master key at hand for this; its log says more."))
    log.error("a call failed method=%s path=%s", request.method, request.path, exc_info=error)
    return _refusal(Refused("INTERNAL", "The registry failed on this call; its log says more."))


def _refusal(refused: Refused) -> web.Response:
    return web.json_response(refused.document(), status=refused.status, headers=refused.headers)
