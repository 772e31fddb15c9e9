"""The one HTTPS listener, for what gRPC does not fit: health probes, measurements, hosts that join.

Always TLS, with the scheduler's own certificate. A caller may show a certificate of the cluster's authority, and one
of another authority ends the handshake; who may call what, each route says. So: `for_anyone`, or `for_roles`.
"""

import asyncio
import json
import logging
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web
from aiohttp.web_protocol import RequestHandler
from shoal.rpc import Identity

from shoal_scheduler.engine import Unavailable
from shoal_scheduler.model.refusal import Kind, Refused

log = logging.getLogger(__name__)

BODY_BYTES_MAX = 64 * 1024
HEADER_BYTES_MAX = 8 * 1024
HANDSHAKE_SECONDS = 10.0
REQUEST_SECONDS = 10.0
IDLE_SECONDS = 30.0
STOP_SECONDS = 0.5

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_STATUSES: Mapping[Kind, int] = {
    "invalid": 400,
    "out_of_range": 400,
    "denied": 403,
    "not_found": 404,
    "conflict": 409,
    "failed_precondition": 412,
    "exhausted": 429,
}


@dataclass(frozen=True, slots=True)
class Files:
    """PEM files: the cluster's authority, the scheduler's certificate and its key."""

    authority: Path
    certificate: Path
    key: Path


class HttpServer:
    """Listens between `start` and `stop`. `routes`: (method, path) -> handler; anything else is 404."""

    def __init__(self, listen: str, files: Files, routes: Mapping[tuple[str, str], Handler]) -> None:
        self._host, _, port = listen.rpartition(":")
        self._tls = _server_tls(files)
        # Connections over which no request has come yet, and what will drop them.
        self._silent: dict[asyncio.BaseProtocol, asyncio.TimerHandle] = {}
        application = web.Application(client_max_size=BODY_BYTES_MAX, middlewares=[self._note, _answered])
        for (method, path), handler in {("GET", "/healthz"): _healthy, **routes}.items():
            application.router.add_route(method, path, handler)
        self._runner = web.AppRunner(
            application,
            access_log=None,
            keepalive_timeout=IDLE_SECONDS,
            shutdown_timeout=STOP_SECONDS,
            max_line_size=HEADER_BYTES_MAX,
            max_field_size=HEADER_BYTES_MAX,
        )
        self._server: asyncio.Server | None = None
        self.port = int(port)

    async def start(self) -> None:
        """`port` is then the one it listens on."""
        await self._runner.setup()
        assert self._runner.server is not None
        self._server = await asyncio.get_running_loop().create_server(
            self._connection,
            self._host.strip("[]"),
            self.port,
            ssl=self._tls,
            ssl_handshake_timeout=HANDSHAKE_SECONDS,
        )
        self.port = self._server.sockets[0].getsockname()[1]

    def _connection(self) -> asyncio.BaseProtocol:
        """One that says nothing, or too slowly, is dropped: each costs a descriptor."""
        assert self._runner.server is not None
        made = self._runner.server()
        seconds = HANDSHAKE_SECONDS + REQUEST_SECONDS
        self._silent[made] = asyncio.get_running_loop().call_later(seconds, self._drop, made)
        return made

    def _drop(self, made: RequestHandler) -> None:
        self._silent.pop(made)
        if made.transport is not None:
            made.transport.abort()

    @web.middleware
    async def _note(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if drops := self._silent.pop(request.protocol, None):
            drops.cancel()
        return await handler(request)

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        await self._runner.cleanup()


def caller_of(request: web.Request) -> Identity | None:
    """By the certificate that the handshake verified; None if there was none."""
    certificate = request.get_extra_info("peercert") or {}
    for kind, name in certificate.get("subjectAltName", ()):
        identity = Identity.parse(name) if kind == "URI" else None
        if identity is not None:
            return identity
    return None


def certificate_of(request: web.Request) -> bytes | None:
    """The caller's certificate (DER), if it showed one."""
    connection = request.get_extra_info("ssl_object")
    shown: bytes | None = connection.getpeercert(binary_form=True) if connection is not None else None
    return shown


def for_roles(roles: frozenset[str], handler: Handler) -> Handler:
    """The handler, for callers whose certificate names one of the roles."""

    async def guarded(request: web.Request) -> web.StreamResponse:
        caller = caller_of(request)
        if caller is None or caller.role not in roles:
            said = f"a certificate of role {caller.role!r}" if caller else "no certificate"
            wanted = " or ".join(sorted(roles))
            raise Refused("denied", f"This is for the role {wanted}; the caller showed {said}.")
        return await handler(request)

    return guarded


async def body_of(request: web.Request) -> dict[str, object]:
    """The request's JSON object. Raises Refused."""
    try:
        async with asyncio.timeout(REQUEST_SECONDS):
            content = await request.read()
    except TimeoutError:
        raise Refused("invalid", f"The request must come within {REQUEST_SECONDS:.0f} s.") from None
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        raise Refused("invalid", "The request must be a JSON object.") from None
    if not isinstance(document, dict):
        raise Refused("invalid", "The request must be a JSON object.")
    return document


async def _healthy(_request: web.Request) -> web.Response:
    return web.Response(text="ok\n")


@web.middleware
async def _answered(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refusals and faults as JSON; a fault of this program says no more than that it is one."""
    try:
        return await handler(request)
    except Refused as refused:
        return _error(_STATUSES[refused.kind], refused.message)
    except Unavailable as error:
        return _error(503, str(error))
    except web.HTTPException as error:
        return _error(error.status, error.reason)
    except Exception:
        log.exception("a request failed method=%s path=%s", request.method, request.path)
        return _error(500, "The scheduler failed on this request; its log says more.")


def _error(status: int, message: str) -> web.Response:
    headers = {"Retry-After": "1"} if status in (429, 503) else None
    return web.json_response({"message": message}, status=status, headers=headers)


def _server_tls(files: Files) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(files.certificate, files.key)
    context.load_verify_locations(files.authority)
    context.verify_mode = ssl.CERT_OPTIONAL
    return context
