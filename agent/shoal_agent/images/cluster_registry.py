"""The cluster's own image registry, as this host's engine pulls from it.

Each pull gets what it needs in exchange for the agent's certificate, and for one repository alone. So no host keeps a
password, and nothing runs out between two pulls. What it gets is neither kept nor logged.
"""

import asyncio
import base64
import json
import logging
import os
import ssl
from pathlib import Path
from typing import Any

import aiohttp
from shoal import engine_trust, image_reference
from shoal.joining.identity import IdentityFiles
from shoal.whole_file import write_whole

from shoal_agent.engine.port import CannotPull
from shoal_agent.images.credentials import HUB, registry_of

log = logging.getLogger(__name__)

TOKEN_SECONDS = 10.0
SERVICE = "shoal-registry"
# The status of a registry that was told to ask nobody who they are, and so has no tokens.
ASKS_NOBODY = 404


class ClusterRegistry:
    """`files`: what this agent is, read for each pull, as its certificate is renewed. `trusted`: the folder where the
    engine looks for authorities; None if it is not this agent's to write there.

    `address` is host:port, or empty of a cluster without a registry. It is remembered over restarts, so that a task can
    go on before a scheduler is heard.
    """

    def __init__(self, state: Path, files: IdentityFiles, trusted: Path | None) -> None:
        self._remembered = state / "registry"
        self._files = files
        self._trusted = trusted
        self.address = self._remembered.read_text() if self._remembered.exists() else ""

    async def learn(self, address: str) -> None:
        """What a scheduler says: it is trusted from now on, also by the engine."""
        if address and not engine_trust.is_address(address):
            log.error("no address of a registry, nothing is pulled from there address=%r", address[:100])
            return
        if address != self.address:
            await asyncio.to_thread(write_whole, self._remembered, address.encode())
            self.address = address
        if address and self._trusted is not None and engine_trust.needs_trust(address):
            await asyncio.to_thread(self._trust, address, self._trusted)

    def _trust(self, address: str, folder: Path) -> None:
        try:
            if engine_trust.trust(address, self._files.authority.read_bytes(), folder):
                log.info("the engine trusts the cluster's registry address=%s", address)
        except OSError as error:
            log.warning("the engine may not trust the cluster's registry address=%s error=%s", address, error)

    async def auth(self, image: str) -> str | None:
        """The X-Registry-Auth header for a pull of `image`; None if it is another registry's, or needs none. Raises
        CannotPull."""
        if not self.address or registry_of(image) != self.address:
            return None
        status, said = await self._ask(image_reference.split(image)[0].removeprefix(f"{self.address}/"))
        if status == ASKS_NOBODY:
            return None
        token = said.get("refresh_token") if isinstance(said, dict) else None
        if not isinstance(token, str):
            raise CannotPull(_refusal(self.address, status))
        # Of access tokens, which last five minutes, the engine gets as many by it as the pull takes.
        entry = {"identitytoken": token, "serveraddress": self.address}
        return base64.urlsafe_b64encode(json.dumps(entry).encode()).decode()

    async def _ask(self, repository: str) -> tuple[int, Any]:
        """The answer's status, and what it holds."""
        scope = {"service": SERVICE, "scope": f"repository:{repository}:pull", "offline_token": "true"}
        try:
            tls = await asyncio.to_thread(self._tls)
            timeout = aiohttp.ClientTimeout(total=TOKEN_SECONDS)
            async with (
                aiohttp.ClientSession(timeout=timeout) as client,
                client.get(f"https://{self.address}/token", params=scope, ssl=tls, allow_redirects=False) as answer,
            ):
                return answer.status, await answer.json()
        except aiohttp.ClientConnectorCertificateError as error:
            raise CannotPull(
                f"{self.address} is not the cluster's registry: its certificate is not of the cluster's authority, or "
                f"not for that address ({error.certificate_error})"
            ) from None
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            why = str(error) or error.__class__.__name__
            raise CannotPull(
                f"the cluster's registry {self.address} gives no token, temporarily: {why}{_whereabouts(self.address)}"
            ) from None

    def _tls(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self._files.authority))
        context.load_cert_chain(self._files.certificate, self._files.key)
        return context

    def hint(self, image: str, message: str) -> str:
        """What to do about a pull that failed so; empty if nothing is known of it."""
        return hint(self.address, self._files.authority, image, message)


def folder_of_authorities(docker_host: str) -> Path | None:
    """The engine's, if the engine is of this machine and this process may write there."""
    return engine_trust.FOLDER if docker_host.startswith("unix://") and os.geteuid() == 0 else None


def hint(registry: str, authority: Path, image: str, message: str) -> str:
    """Pure.

    >>> authority = Path("/authority.crt")
    >>> hint("10.0.0.5:7680", authority, "team/web:1", "pull access denied")
    "images of the cluster's registry have its address in their names: 10.0.0.5:7680/team/web:1"
    >>> hint("10.0.0.5:7680", authority, "10.0.0.5:7680/web", "x509: certificate signed by unknown authority")
    "the engine does not know the cluster's authority: copy /authority.crt to /etc/docker/certs.d/10.0.0.5:7680/ca.crt"
    """
    if not registry:
        return ""
    if registry_of(image) == registry and "x509" in message:
        wanted = engine_trust.FOLDER / registry / "ca.crt"
        return f"the engine does not know the cluster's authority: copy {authority} to {wanted}"
    if registry_of(image) == HUB and not image.startswith(f"{HUB}/"):
        return f"images of the cluster's registry have its address in their names: {registry}/{image}"
    return ""


def _whereabouts(address: str) -> str:
    if engine_trust.needs_trust(address):
        return ""
    return "; by that address it is reached on its own machine alone: shoal up --registry HOST:PORT gives it another"


def _refusal(address: str, status: int) -> str:
    """To strangers it gives a token, too: one that is good for what everybody may."""
    if status in (200, 401, 403):
        return (
            f"the cluster's registry {address} does not know this host: it has to be started with the cluster's"
            " --authority, and the host's certificate must be good"
        )
    return f"the cluster's registry {address} gives no token: it answers with {status}"
