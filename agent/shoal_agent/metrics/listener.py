"""GET /metrics of the agent, for Prometheus: HTTPS with the agent's own certificate, for callers whose certificate of
the same authority names an operator or a monitor. Off unless the host's configuration has `metrics_listen`.
"""

import asyncio
import logging
import ssl
from collections.abc import Callable
from pathlib import Path

from aiohttp import web
from shoal.rpc import Identity

from shoal_agent.metrics.sampler import Sampler

log = logging.getLogger(__name__)

ROLES = frozenset({"operator", "monitor"})
HANDSHAKE_SECONDS = 10.0
IDLE_SECONDS = 75.0  # scrapers ask once a minute or more often
RENEWED_SECONDS = 60.0
BIND_RETRY_SECONDS = 10.0
HEADER_BYTES_MAX = 8 * 1024


class MetricsListener:
    """`listen` is host:port. The files are read again when they change: certificates are renewed."""

    def __init__(self, listen: str, authority: Path, certificate: Path, key: Path, sampler: Sampler) -> None:
        self._host, _, port = listen.rpartition(":")
        self.port = int(port)
        self._files = certificate, key
        self._sampler = sampler
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.minimum_version = ssl.TLSVersion.TLSv1_2
        self._tls.load_verify_locations(authority)
        self._tls.verify_mode = ssl.CERT_REQUIRED
        self._loaded_at = 0
        self._page = _exposition()

    async def run(self) -> None:
        """For ever: an address that cannot be had now is tried again, and never keeps the agent from its work."""
        application = web.Application()
        application.router.add_get("/metrics", self._answer)
        runner = web.AppRunner(
            application,
            access_log=None,
            keepalive_timeout=IDLE_SECONDS,
            shutdown_timeout=1.0,
            max_line_size=HEADER_BYTES_MAX,
            max_field_size=HEADER_BYTES_MAX,
        )
        await runner.setup()
        server: asyncio.Server | None = None
        try:
            while True:
                self._load()
                server = server or await self._listen(runner)
                await asyncio.sleep(RENEWED_SECONDS if server is not None else BIND_RETRY_SECONDS)
        finally:
            if server is not None:
                server.close()
            await runner.cleanup()

    def _load(self) -> None:
        """New connections then show the new certificate."""
        certificate, key = self._files
        try:
            changed_at = certificate.stat().st_mtime_ns
            if changed_at != self._loaded_at:
                # A key that is not the certificate's would spoil the context that serves: tried on another one first.
                ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
                self._tls.load_cert_chain(certificate, key)
                self._loaded_at = changed_at
        except (OSError, ssl.SSLError) as error:  # being replaced just now, or for good: the one before still serves
            log.warning("certificate not read path=%s error=%s", certificate, error)

    async def _listen(self, runner: web.AppRunner) -> asyncio.Server | None:
        assert runner.server is not None
        try:
            server = await asyncio.get_running_loop().create_server(
                runner.server,
                self._host.strip("[]"),
                self.port,
                ssl=self._tls,
                ssl_handshake_timeout=HANDSHAKE_SECONDS,
            )
        except OSError as error:
            log.error("no metrics for scrapers address=%s port=%d error=%s", self._host, self.port, error)
            return None
        self.port = server.sockets[0].getsockname()[1]
        log.info("metrics for scrapers address=%s port=%d", self._host, self.port)
        return server

    async def _answer(self, request: web.Request) -> web.Response:
        caller = _caller_of(request)
        if caller is None or caller.role not in ROLES:
            raise web.HTTPForbidden(text="This is for the roles monitor and operator.\n")
        content = self._page(self._sampler)
        return web.Response(body=content, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})


def _exposition() -> Callable[[Sampler], bytes]:
    """Loaded only where somebody listens: a library that every agent would carry otherwise."""
    from shoal_agent.metrics.exposition import text_of

    return lambda sampler: text_of(sampler.newest, sampler.dropped)


def _caller_of(request: web.Request) -> Identity | None:
    """By the certificate that the handshake demanded and verified."""
    certificate = request.get_extra_info("peercert") or {}
    names = (Identity.parse(name) for kind, name in certificate.get("subjectAltName", ()) if kind == "URI")
    return next((identity for identity in names if identity is not None), None)
